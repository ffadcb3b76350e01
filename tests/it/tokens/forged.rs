//! Tokens that somebody made up, bent or dressed: rows F1 to F4, F6 and F10.

use serde_json::{Value, json};
use vestibule::config::TokenAlgorithm::{ES256, HS256, RS256};
use vestibule::config::TokenKeys;
use vestibule::model::Secret;
use vestibule::resolve::{TokenVerdict, TokensError};

use super::bench::{Bench, ISSUER, TIMINGS, issuer, jwks, one_key, server_of};
use crate::harness::jwks_server::{Answer, JwksServer};
use crate::harness::mint::{Signer, encode};

#[test]
fn f1_a_token_that_says_it_needs_no_signature_is_refused() {
    let (signer, server, bench) = one_key();
    let good = bench.good(&signer);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let payload = message.split_once('.').unwrap().1;
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS256", "es256", "ES256K",
    ] {
        for header in [
            json!({ "alg": alg }),
            json!({ "alg": alg, "kid": "k", "typ": "JWT" }),
        ] {
            let header = encode(header.to_string().as_bytes());
            for signature in ["", "AA", signature] {
                bench.refuses(&format!("{header}.{payload}.{signature}"));
            }
        }
    }
    assert_eq!(bench.refuses(&format!("{message}.")), "it is not signed");
    for header in [
        json!({}),
        json!({ "alg": null }),
        json!({ "alg": ["ES256"] }),
    ] {
        bench.refuses(&signer.raw(&header.to_string(), &bench.claims(json!({})).to_string()));
    }
    assert_eq!(server.requests(), 1);
}

#[test]
fn f2_a_public_key_is_no_shared_secret() {
    let rsa = Signer::rs256("r");
    let server = server_of(&[&rsa]);
    let own = issuer(TokenKeys::Hmac(Secret::new(vec![7; 32])), &[HS256]);
    // The worst that can be configured: one issuer with a secret beside its public keys.
    let bench = Bench::new(&[issuer(TokenKeys::Url(server.url()), &[RS256]), own]);
    bench.accepts(&bench.good(&rsa));
    let jwk = rsa.jwk();
    let modulus = jwk["n"].as_str().unwrap();
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, modulus).unwrap();
    for secret in [
        &bytes[..],
        modulus.as_bytes(),
        jwk.to_string().as_bytes(),
        b"",
    ] {
        let forger = Signer::hs256(secret);
        for kid in [json!("r"), Value::Null] {
            let token = forger.token_with(json!({ "kid": kid }), &bench.claims(json!({})));
            bench.refuses(&token);
        }
    }
    let confused = Bench::try_new(
        &[issuer(TokenKeys::Url(server.url()), &[RS256, HS256])],
        TIMINGS,
    );
    assert!(matches!(confused, Err(TokensError::Algorithm { .. })));
    let secret = TokenKeys::Hmac(Secret::new(vec![7; 32]));
    let confused = Bench::try_new(&[issuer(secret, &[HS256, RS256])], TIMINGS);
    assert!(matches!(confused, Err(TokensError::Algorithm { .. })));
}

#[test]
fn f2_a_published_secret_is_no_key() {
    let (secret, good) = (Signer::hs256(&[7; 32]), Signer::es256("k"));
    let mut jwk = secret.jwk();
    jwk["kid"] = "s".into();
    let server = JwksServer::start(Answer::Keys(vec![jwk, good.jwk()]));
    let bench = Bench::with_server(&server, &[ES256]);
    bench.accepts(&bench.good(&good));
    for alg in ["HS256", "ES256"] {
        bench.refuses(
            &secret.token_with(json!({ "kid": "s", "alg": alg }), &bench.claims(json!({}))),
        );
    }
}

#[test]
fn f3_a_kid_is_looked_up_exactly_and_asks_for_keys_only_so_often() {
    let (signer, server, bench) = one_key();
    let forger = Signer::es256("x");
    let with_kid = |kid: Value| forger.token_with(json!({ "kid": kid }), &bench.claims(json!({})));
    let long = "k".repeat(10_000);
    for kid in [
        "../../dev/null",
        "k' OR '1'='1",
        "K",
        " k",
        "k\0",
        "",
        &long,
        "unknown",
    ] {
        assert_eq!(
            bench.refuses(&with_kid(json!(kid))),
            "its key is not among the issuer's",
            "{kid}"
        );
        assert_eq!(
            server.requests(),
            2,
            "one fetch at start, one for all unknown keys"
        );
    }
    for kid in [json!(1), json!(["k"]), json!({ "k": 1 })] {
        assert_eq!(bench.refuses(&with_kid(kid)), "its kid is no text");
    }
    assert_eq!(
        bench.refuses(&with_kid(json!("k"))),
        "its signature is wrong"
    );
    bench.accepts(&bench.good(&signer));

    bench.pass(TIMINGS.refetch - std::time::Duration::from_millis(2000));
    bench.refuses(&with_kid(json!("unknown")));
    assert_eq!(server.requests(), 2);
    bench.pass(std::time::Duration::from_millis(2000));
    bench.refuses(&with_kid(json!("unknown")));
    assert_eq!(server.requests(), 3);
}

#[test]
fn f4_keys_that_a_token_brings_along_are_not_looked_at() {
    let (_, server, bench) = one_key();
    let forger = Signer::es256("k");
    let theirs = server_of(&[&forger]);
    let url = theirs.url();
    for header in [
        json!({ "jwk": forger.jwk() }),
        json!({ "jwk": forger.jwk(), "kid": null }),
        json!({ "jku": url }),
        json!({ "jku": url, "kid": "new" }),
        json!({ "x5u": url, "x5c": ["AAAA"], "x5t": "AAAA" }),
    ] {
        bench.refuses(&forger.token_with(header, &bench.claims(json!({}))));
    }
    assert_eq!(theirs.requests(), 0);
    assert!(server.requests() <= 2);
}

#[test]
fn f4_what_a_good_token_brings_along_does_no_harm() {
    let (signer, _server, bench) = one_key();
    let forger = Signer::es256("k");
    let header = json!({ "jwk": forger.jwk(), "jku": "http://127.0.0.1:1/", "x5u": 7 });
    bench.accepts(&signer.token_with(header, &bench.claims(json!({}))));
}

#[test]
fn f6_a_token_of_another_type_is_refused() {
    let (signer, _server, bench) = one_key();
    let with = |header: Value| signer.token_with(header, &bench.claims(json!({})));
    for kind in [
        json!("tenant+jwt"),
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("JWE"),
        json!(""),
        json!(1),
    ] {
        assert_eq!(
            bench.refuses(&with(json!({ "typ": kind }))),
            "it is of another type"
        );
    }
    for kind in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
        bench.accepts(&with(json!({ "typ": kind })));
    }
    bench.accepts(&with(json!({ "typ": null })));
    for crit in [json!(["b64"]), json!([]), json!("x")] {
        assert_eq!(
            bench.refuses(&with(json!({ "crit": crit, "b64": true }))),
            "its header asks for an extension"
        );
    }
}

#[test]
fn f6_a_token_of_another_issuer_is_foreign_and_so_is_what_is_no_token() {
    let (signer, server, bench) = one_key();
    let jwt = |claims: Value| bench.verify(&signer.token(&bench.claims(claims)));
    for issuer in [
        json!("https://other.example"),
        json!("https://auth.example.com/"),
        json!("HTTPS://AUTH.EXAMPLE.COM"),
        json!(null),
        json!([ISSUER]),
    ] {
        assert_eq!(
            jwt(json!({ "iss": issuer })),
            TokenVerdict::Foreign { jwt: true },
            "{issuer}"
        );
    }
    let encrypted = format!("{}.a.b.c.d", encode(br#"{"alg":"dir","enc":"A256GCM"}"#));
    assert_eq!(
        bench.verify(&encrypted),
        TokenVerdict::Foreign { jwt: true }
    );
    for opaque in [
        "",
        ".",
        "..",
        "abc",
        "a.b.c",
        "v2.local.abcdef",
        "ghp_0123456789",
        "eyJhbGciOiJub25lIn0",
        "eyJ.eyJ",
        "é.é.é",
    ] {
        assert_eq!(
            bench.verify(opaque),
            TokenVerdict::Foreign { jwt: false },
            "{opaque}"
        );
        assert_eq!(
            bench.tokens.peek(opaque),
            Some(TokenVerdict::Foreign { jwt: false })
        );
    }
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_good_token_in_another_dress_is_still_ours_and_refused() {
    let (signer, _server, bench) = one_key();
    let good = bench.good(&signer);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let escaped: String = good.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for dressed in [
        format!(" {good}"),
        format!("{good}\n"),
        format!("\"{good}\""),
        format!("Bearer {good}"),
        format!("Bearer%20{good}"),
        format!("s:{good}"),
        format!("{good}="),
        format!("{good}=="),
        format!("{good}."),
        format!("{good}.x"),
        format!("{good}.x.y"),
        format!("{message}. {signature}"),
        format!("{message}.{}", signature.replace(['-', '_'], "+") + "/"),
        good.replace('.', "%2E"),
        good.replacen("eyJ", "%65yJ", 1),
        escaped,
    ] {
        bench.refuses(&dressed);
    }
    // The last character of a 64-byte signature carries four bits that say nothing.
    let last = signature.chars().last().unwrap();
    for other in ('A'..='Z').chain('a'..='z').filter(|other| *other != last) {
        bench.refuses(&format!(
            "{message}.{}{other}",
            &signature[..signature.len() - 1]
        ));
    }
}

#[test]
fn f10_signatures_of_zeros_and_of_other_forms_are_refused() {
    let (signer, _server, bench) = one_key();
    let good = bench.good(&signer);
    let message = good.rsplit_once('.').unwrap().0;
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25,
        0x51_u8,
    ];
    let mut one = [0; 64];
    (one[31], one[63]) = (1, 1);
    for signature in [
        vec![0; 64],
        one.to_vec(),
        [order, order].concat(),
        [order.to_vec(), vec![0; 32]].concat(),
        vec![0xff; 64],
        vec![0; 63],
        vec![0; 96],
        vec![0x30, 6, 2, 1, 0, 2, 1, 0],
    ] {
        assert_eq!(
            bench.refuses(&format!("{message}.{}", encode(&signature))),
            "its signature is wrong"
        );
    }
}

#[test]
fn f10_a_short_rsa_key_is_not_used() {
    // Really signed with the 512-bit key below (openssl); expires in 2100.
    let modulus =
        "w9NCNU1697gOjSrJHn6x7SD4n_hTH6FIM0hIshtTH9IQd1EPOlypuXIBECQWkyf5T3o2nK5r-kC_UJV0zGuq6w";
    let token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6IndlYWsifQ.eyJpc3MiOiJodHRwczovL2F1dGguZXhhbXBsZS5jb20iLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDAsInRlbmFudF9pZCI6ImFjbWUifQ.W4boiaFFdXj-Jy2ROQXxSiMktPpa1mSSih2kB6m95VclIB-qegZwG8n7pxP8kIV9glW8JGTi8iKruYbbaf9baQ";
    let weak = json!({ "kty": "RSA", "kid": "weak", "n": modulus, "e": "AQAB" });
    let strong = Signer::rs256("strong");
    let server = JwksServer::start(Answer::Keys(vec![weak, strong.jwk()]));
    let bench = Bench::with_server(&server, &[RS256]);
    assert_eq!(bench.refuses(token), "its key is not among the issuer's");
    bench.accepts(&bench.good(&strong));
}

#[test]
fn f10_a_point_off_the_curve_is_not_used() {
    let (signer, good) = (Signer::es256("k"), Signer::es256("good"));
    let mut bent = signer.jwk();
    let y = bent["y"].as_str().unwrap().to_owned();
    let first = if y.starts_with('A') { 'B' } else { 'A' };
    bent["y"] = format!("{first}{}", &y[1..]).into();
    let mut keys = jwks(&[&good]);
    keys.push(bent);
    let server = JwksServer::start(Answer::Keys(keys));
    let bench = Bench::with_server(&server, &[ES256]);
    assert_eq!(
        bench.refuses(&bench.good(&signer)),
        "its key is not among the issuer's"
    );
    bench.accepts(&bench.good(&good));
}
