//! What goes into a ring, and what of it is published.

use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Value, json};

use super::*;
use crate::model::Secret;
use crate::sign::tests::{
    START, claims, decode, host, part, route, sealer, signing, verifies, with_key,
};
use crate::sign::{Signer, keys};

#[test]
fn a_key_that_cannot_be_opened_is_named_published_and_not_used() {
    let (signer, first, ours) = with_key();
    let theirs = sealer();
    let later = START.plus(Duration::from_secs(1));
    let strange = keys::generate(&theirs, later).unwrap();
    let error = signer
        .load(&[first.clone(), strange.clone()], &ours)
        .unwrap_err();
    assert!(error.to_string().contains(&strange.kid), "{error}");
    let (route, host) = (route(3), host("acme.example.com"));
    let value = signer
        .thread()
        .assertion(&claims(&route, &host), later)
        .unwrap();
    assert_eq!(part(&value, 0)["kid"], first.kid.as_str());
    let jwks: Value = serde_json::from_slice(&signer.jwks(later)).unwrap();
    assert_eq!(jwks["keys"].as_array().unwrap().len(), 2);

    // The store is sealed anew under a key that this node does not have: what it has opened it keeps.
    let resealed = keys::reseal(&[first], &ours, &theirs).unwrap();
    signer.load(&resealed, &ours).unwrap();
    with_key().0.load(&resealed, &theirs).unwrap();
    assert!(
        signer
            .thread()
            .assertion(&claims(&route, &host), later)
            .is_ok()
    );
}

#[test]
fn a_record_with_another_keys_halves_is_refused() {
    let (signer, first, sealer) = with_key();
    let second = keys::generate(&sealer, START).unwrap();
    let swapped = SigningKeyRecord {
        sealed_private_key: first.sealed_private_key,
        ..second.clone()
    };
    assert!(
        matches!(signer.load(&[swapped], &sealer), Err(SignError::Unseal { kid, .. }) if kid == second.kid)
    );
    let published = SigningKeyRecord {
        public_key: first.public_key,
        ..second
    };
    assert!(matches!(
        signer.load(&[published], &sealer),
        Err(SignError::WrongKey(_))
    ));
    let (route, host) = (route(3), host("acme.example.com"));
    let nothing = signer.thread().assertion(&claims(&route, &host), START);
    assert!(matches!(nothing, Err(SignError::NoKey)));
}

#[test]
fn under_hs256_every_upstream_has_its_own_secret_and_none_is_published() {
    let secrets = [
        b"0123456789abcdef0123456789abcdef",
        b"fedcba9876543210fedcba9876543210",
    ];
    let upstreams = [
        upstream("default", Some(secrets[0])),
        upstream("api", Some(secrets[1])),
    ];
    let config = signing(SigningAlgorithm::Hs256, 60);
    let signer = Signer::new(&config, &upstreams, None).unwrap();
    let (route, host) = (route(3), host("acme.example.com"));
    let claims = claims(&route, &host);
    let value = signer.thread().assertion(&claims, START).unwrap();
    let header = part(&value, 0);
    assert_eq!(
        (&header["alg"], &header["typ"]),
        (&json!("HS256"), &json!("tenant+jwt"))
    );
    let verify = |secret: &[u8]| {
        decode(
            value.to_str().unwrap(),
            &DecodingKey::from_secret(secret),
            Algorithm::HS256,
        )
    };
    assert!(verify(secrets[0]).is_some());
    assert!(verify(secrets[1]).is_none());
    assert_eq!(&*signer.jwks(START), br#"{"keys":[]}"#);

    let again = Signer::new(&config, &upstreams, None)
        .unwrap()
        .thread()
        .assertion(&claims, START)
        .unwrap();
    assert_eq!(again, value, "the kid is the same on every node");
    let api = signer
        .thread()
        .assertion(
            &Claims {
                upstream: "api",
                ..claims
            },
            START,
        )
        .unwrap();
    assert_ne!(part(&api, 0)["kid"], header["kid"]);
    let stranger = signer.thread().assertion(
        &Claims {
            upstream: "x",
            ..claims
        },
        START,
    );
    assert!(matches!(stranger, Err(SignError::UnknownUpstream(_))));
    assert!(matches!(
        Signer::new(&config, &[upstream("bare", None)], None),
        Err(SignError::NoSecret(_))
    ));
}

fn upstream(name: &str, secret: Option<&[u8]>) -> Upstream {
    let second = Duration::from_secs(1);
    Upstream {
        name: name.into(),
        endpoints: Vec::new(),
        balance: crate::config::Balance::PowerOfTwo,
        host: crate::config::HostPolicy::Preserve,
        timeouts: crate::config::UpstreamTimeouts {
            connect: second,
            response: second,
            idle: second,
            keep_alive: second,
        },
        idle_connections: 1,
        hmac_secret: secret.map(|bytes| Secret::new(bytes.to_vec())),
        ca_file: None,
    }
}

#[test]
fn any_bit_of_the_public_key_matters() {
    let (signer, key, sealer) = with_key();
    let (route, host) = (route(3), host("acme.example.com"));
    let value = signer
        .thread()
        .assertion(&claims(&route, &host), START)
        .unwrap();
    let jwks = signer.jwks(START);
    assert!(verifies(&value, &jwks).is_some());
    let text = std::str::from_utf8(&jwks).unwrap();
    let x = URL_SAFE_NO_PAD.encode(&key.public_key);
    for bit in 0..256 {
        let mut flipped = key.public_key.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let jwks = text.replace(&x, &URL_SAFE_NO_PAD.encode(flipped));
        assert!(verifies(&value, jwks.as_bytes()).is_none(), "bit {bit}");
    }
    // As text: whatever still verifies still has the key and its name.
    for bit in 0..jwks.len() * 8 {
        let mut flipped = jwks.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if verifies(&value, &flipped).is_some() {
            let text = String::from_utf8(flipped).unwrap();
            assert!(
                text.contains(&x) && text.contains(&key.kid),
                "bit {bit}: {text}"
            );
        }
    }
    // A key of that name that is another one.
    let other = keys::generate(&sealer, START).unwrap();
    let wrong = text.replace(&x, &URL_SAFE_NO_PAD.encode(other.public_key));
    assert!(verifies(&value, wrong.as_bytes()).is_none());
}
