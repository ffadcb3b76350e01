//! Good tokens: every algorithm, every source of keys, every shape of the claim.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use vestibule::config::TokenAlgorithm::{ES256, ES384, EdDSA, HS256, PS512, RS256};
use vestibule::config::{TokenIssuer, TokenKeys};
use vestibule::model::{LookupKey, Secret, TenantId};
use vestibule::resolve::{TokenVerdict, TokensError};

use super::bench::{Bench, ISSUER, TIMINGS, acme, issuer, server_of, slug};
use crate::harness::mint::Signer;

const SECRET: &[u8] = b"a secret of thirty-two bytes or more";
const UUID: &str = "0190163d-8694-739b-aea5-966c26f8ad90";

fn hmac_issuer() -> TokenIssuer {
    issuer(TokenKeys::Hmac(Secret::new(SECRET.to_vec())), &[HS256])
}

/// What a token with this `tenant_id` claim is, with and without the claim being required.
fn claimed(claim: Value) -> (TokenVerdict, TokenVerdict) {
    let signer = Signer::hs256(SECRET);
    let lenient = TokenIssuer {
        claim_required: false,
        ..hmac_issuer()
    };
    let verdict = |issuer| {
        let bench = Bench::new(&[issuer]);
        bench.verify(&signer.token(&bench.claims(json!({ "tenant_id": claim }))))
    };
    (verdict(hmac_issuer()), verdict(lenient))
}

fn valid(claim: Option<Vec<Option<LookupKey>>>) -> TokenVerdict {
    TokenVerdict::Valid { issuer: 0, claim }
}

#[test]
fn tokens_of_every_algorithm_are_valid() {
    let signers = [
        (Signer::rs256("r"), RS256),
        (Signer::ps512("p"), PS512),
        (Signer::es256("e"), ES256),
        (Signer::es384("f"), ES384),
        (Signer::eddsa("o"), EdDSA),
    ];
    let server = server_of(&signers.iter().map(|(signer, _)| signer).collect::<Vec<_>>());
    for (signer, algorithm) in &signers {
        let bench = Bench::with_server(&server, &[*algorithm]);
        bench.accepts(&bench.good(signer));
        bench.accepts(&signer.token_with(json!({ "kid": null }), &bench.claims(json!({}))));
    }
    let bench = Bench::new(&[hmac_issuer()]);
    bench.accepts(&bench.good(&Signer::hs256(SECRET)));
    bench.accepts(
        &Signer::hs256(SECRET).token_with(json!({ "kid": "any" }), &bench.claims(json!({}))),
    );
}

#[test]
fn a_token_without_kid_is_tried_with_every_key_of_its_kind_up_to_sixteen() {
    let signers: Vec<_> = (0..17).map(|_| Signer::es256("").nameless()).collect();
    let server = server_of(&signers.iter().collect::<Vec<_>>());
    let bench = Bench::with_server(&server, &[ES256]);
    bench.accepts(&bench.good(&signers[0]));
    bench.accepts(&bench.good(&signers[15]));
    assert_eq!(
        bench.refuses(&bench.good(&signers[16])),
        "its signature is wrong"
    );
    let named = signers[0].token_with(json!({ "kid": "k" }), &bench.claims(json!({})));
    assert_eq!(bench.refuses(&named), "its key is not among the issuer's");
}

#[test]
fn keys_that_share_a_name_are_told_apart_by_trying() {
    let (one, two, rsa) = (Signer::es256("k"), Signer::es256("k"), Signer::rs256("k"));
    let server = server_of(&[&rsa, &one, &two]);
    let bench = Bench::with_server(&server, &[ES256]);
    bench.accepts(&bench.good(&one));
    bench.accepts(&bench.good(&two));
    bench.refuses(&bench.good(&rsa));
    bench.refuses(&bench.good(&Signer::es256("k")));
}

#[test]
fn tokens_of_another_maker_are_valid() {
    let (rsa, ec) = (Signer::rs256("r"), Signer::es256("e"));
    let server = server_of(&[&rsa, &ec]);
    let bench = Bench::with_server(&server, &[RS256, ES256]);
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, rsa.pkcs8())
    );
    let makers = [
        (
            "r",
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        ),
        ("e", Algorithm::ES256, EncodingKey::from_ec_der(&ec.pkcs8())),
    ];
    for (kid, algorithm, key) in makers {
        let mut header = Header::new(algorithm);
        header.kid = Some(kid.to_owned());
        bench.accepts(&jsonwebtoken::encode(&header, &bench.claims(json!({})), &key).unwrap());
    }
}

#[test]
fn a_claim_names_by_id_or_slug_and_an_array_names_all_its_members() {
    let id = || Some(LookupKey::Id(TenantId(UUID.parse().unwrap())));
    for (claim, names) in [
        (json!("acme"), vec![slug("acme")]),
        (json!(UUID), vec![id()]),
        (json!("Acme"), vec![None]),
        (json!("no/slug"), vec![None]),
        (json!(""), vec![None]),
        (json!(42), vec![None]),
        (json!(true), vec![None]),
        (json!([]), vec![]),
        (
            json!(["acme", UUID, "-", 7, null]),
            vec![slug("acme"), id(), None, None, None],
        ),
    ] {
        let expected = valid(Some(names));
        assert_eq!(
            claimed(claim.clone()),
            (expected.clone(), expected),
            "{claim}"
        );
    }
}

#[test]
fn without_the_claim_a_token_is_invalid_or_names_nobody_as_configured() {
    let absent = (TokenVerdict::Invalid("it has no tenant claim"), valid(None));
    // `claimed` leaves a null claim out; an explicit null says as little.
    assert_eq!(claimed(Value::Null), absent);
    let bench = Bench::new(&[hmac_issuer()]);
    let now = bench.clock.now().seconds();
    let null = format!(
        r#"{{"iss":"{ISSUER}","aud":"app","exp":{},"tenant_id":null}}"#,
        now + 60
    );
    assert_eq!(
        bench.refuses(&Signer::hs256(SECRET).raw(r#"{"alg":"HS256"}"#, &null)),
        "it has no tenant claim"
    );
}

#[test]
fn a_claim_is_found_by_its_path_or_by_a_name_with_dots_in_it() {
    let signer = Signer::hs256(SECRET);
    let at = |path: &[&str]| {
        let claim = path.iter().map(ToString::to_string).collect();
        Bench::new(&[TokenIssuer {
            claim,
            ..hmac_issuer()
        }])
    };
    let bench = at(&["org", "tenant", "slug"]);
    let nested = json!({ "tenant": { "slug": "acme" } });
    bench.accepts(&signer.token(&bench.claims(json!({ "org": nested }))));
    assert_eq!(
        bench.refuses(&signer.token(&bench.claims(json!({ "org": "acme" })))),
        "it has no tenant claim"
    );
    let both = json!({ "org": nested, "org.tenant.slug": "globex" });
    assert_eq!(
        bench.refuses(&signer.token(&bench.claims(both))),
        "its tenant claim is there twice"
    );
    let bench = at(&["https://acme", "example/tenant"]);
    bench.accepts(&signer.token(&bench.claims(json!({ "https://acme.example/tenant": "acme" }))));
}

#[test]
fn entries_that_share_an_issuer_are_told_apart_by_audience() {
    let other = TokenIssuer {
        audience: vec!["admin".to_owned()],
        claim: vec!["sub".to_owned()],
        ..hmac_issuer()
    };
    let bench = Bench::new(&[hmac_issuer(), other]);
    let signer = Signer::hs256(SECRET);
    let of =
        |audience: Value| bench.verify(&signer.token(&bench.claims(json!({ "aud": audience }))));
    assert_eq!(of(json!("mobile")), acme());
    let second = TokenVerdict::Valid {
        issuer: 1,
        claim: Some(vec![slug("somebody")]),
    };
    assert_eq!(of(json!(["x", "admin"])), second);
    assert_eq!(of(json!(["admin", "app"])), acme());
    assert!(matches!(of(json!("x")), TokenVerdict::Invalid(_)));
}

#[test]
fn keys_come_from_a_file_that_is_checked_at_start() {
    let (signer, other) = (Signer::es256("e"), Signer::rs256("r"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let from_file = |content: &str| {
        std::fs::write(file.path(), content).unwrap();
        let keys = TokenKeys::File(file.path().to_owned());
        Bench::try_new(&[issuer(keys, &[ES256])], TIMINGS)
    };
    let bench = from_file(&json!({ "keys": [signer.jwk()] }).to_string()).unwrap();
    bench.accepts(&bench.good(&signer));
    bench.refuses(&bench.good(&Signer::es256("e")));
    bench.refuses(&bench.good(&Signer::es256("other")));

    let secret = Signer::hs256(SECRET).jwk();
    assert!(matches!(from_file("[]"), Err(TokensError::KeySet { .. })));
    assert!(matches!(
        from_file(r#"{"keys":[]}"#),
        Err(TokensError::NoKey { .. })
    ));
    let wrong_kind = json!({ "keys": [other.jwk()] }).to_string();
    assert!(matches!(
        from_file(&wrong_kind),
        Err(TokensError::NoKey { .. })
    ));
    let with_secret = json!({ "keys": [signer.jwk(), secret] }).to_string();
    assert!(matches!(
        from_file(&with_secret),
        Err(TokensError::Key { index: 1, .. })
    ));
    let missing = issuer(TokenKeys::File("/nowhere/keys.json".into()), &[ES256]);
    assert!(matches!(
        Bench::try_new(&[missing], TIMINGS),
        Err(TokensError::Read { .. })
    ));
}

#[test]
fn a_verified_token_ends_when_it_expires() {
    let bench = Bench::new(&[hmac_issuer()]);
    let signer = Signer::hs256(SECRET);
    let now = bench.clock.now().seconds();
    let token = signer.token(&bench.claims(json!({ "exp": now + 100 })));
    bench.accepts(&token);
    assert_eq!(bench.tokens.peek(&token), Some(acme()));
    bench.pass(std::time::Duration::from_secs(150));
    bench.accepts(&token);
    bench.pass(std::time::Duration::from_secs(15));
    assert_eq!(bench.refuses(&token), "it has expired");
}
