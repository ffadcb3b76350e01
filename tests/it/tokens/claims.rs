//! Tokens that are really signed, and say what they must not: rows F5, F6 and F8.

use serde_json::{Value, json};

use super::bench::{ISSUER, one_key};

#[test]
fn f5_time_claims_are_kept_to_within_a_minute() {
    let (signer, _server, bench) = one_key();
    let now = bench.clock.now().seconds();
    let with = |claims: Value| signer.token(&bench.claims(claims));
    for (claims, reason) in [
        (json!({ "exp": now - 61 }), "it has expired"),
        (json!({ "exp": 0 }), "it has expired"),
        (json!({ "exp": -1e300 }), "it has expired"),
        (json!({ "exp": null }), "it never expires"),
        (
            json!({ "exp": (now + 60).to_string() }),
            "its exp is no number",
        ),
        (json!({ "exp": true }), "its exp is no number"),
        (json!({ "exp": [now + 60] }), "its exp is no number"),
        (json!({ "nbf": now + 120 }), "it is from the future"),
        (json!({ "iat": now + 120 }), "it is from the future"),
        (json!({ "nbf": 1e300 }), "it is from the future"),
        (json!({ "nbf": "0" }), "its nbf or iat is no number"),
        (json!({ "iat": {} }), "its nbf or iat is no number"),
    ] {
        assert_eq!(bench.refuses(&with(claims.clone())), reason, "{claims}");
    }
    for claims in [
        json!({ "exp": now - 30 }),
        json!({ "exp": now as f64 + 0.5 }),
        json!({ "exp": 1e300 }),
        json!({ "nbf": now + 55, "iat": now + 55 }),
        json!({ "iat": null }),
    ] {
        bench.accepts(&with(claims));
    }
}

#[test]
fn f5_numbers_that_are_none_are_refused() {
    let (signer, _server, bench) = one_key();
    let header = r#"{"alg":"ES256","kid":"k"}"#;
    for exp in [
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "0x7fffffff",
        "99999999999999999999e999",
        "null",
    ] {
        let payload = format!(r#"{{"iss":"{ISSUER}","aud":"app","tenant_id":"acme","exp":{exp}}}"#);
        bench.refuses(&signer.raw(header, &payload));
    }
}

#[test]
fn f6_a_token_for_somebody_else_is_refused() {
    let (signer, _server, bench) = one_key();
    for audience in [
        json!("other"),
        json!(["a", "b"]),
        json!([]),
        json!("App"),
        json!(null),
        json!(1),
        json!({ "app": 1 }),
        json!([["app"]]),
    ] {
        let token = signer.token(&bench.claims(json!({ "aud": audience })));
        assert_eq!(
            bench.refuses(&token),
            "it is meant for another audience",
            "{audience}"
        );
    }
    bench.accepts(&signer.token(&bench.claims(json!({ "aud": ["other", "mobile"] }))));
}

#[test]
fn f8_a_payload_that_says_something_twice_is_refused() {
    let (signer, _server, bench) = one_key();
    let exp = bench.clock.now().seconds() + 60;
    let header = r#"{"alg":"ES256","kid":"k"}"#;
    let usual = format!(r#""iss":"{ISSUER}","aud":"app","exp":{exp},"tenant_id":"acme""#);
    for more in [
        r#""tenant_id":"globex""#.to_owned(),
        r#""tenant\u005fid":"globex""#.to_owned(),
        format!(r#""exp":{}"#, exp + 1),
        r#""aud":"app""#.to_owned(),
        r#""iss":"https://other.example""#.to_owned(),
        r#""deep":{"a":1,"a":2}"#.to_owned(),
    ] {
        for payload in [format!("{{{usual},{more}}}"), format!("{{{more},{usual}}}")] {
            assert_eq!(
                bench.refuses(&signer.raw(header, &payload)),
                "its payload says something twice"
            );
        }
    }
    let doubled = r#"{"alg":"none","alg":"ES256","kid":"k"}"#;
    assert_eq!(
        bench.refuses(&signer.raw(doubled, &format!("{{{usual}}}"))),
        "its header says something twice"
    );
    bench.accepts(&signer.raw(header, &format!("{{{usual}}}")));
}

#[test]
fn f8_a_nested_tenant_is_refused() {
    let (signer, _server, bench) = one_key();
    for claim in [
        json!({ "id": "acme" }),
        json!([["acme"]]),
        json!(["acme", { "id": "globex" }]),
    ] {
        let token = signer.token(&bench.claims(json!({ "tenant_id": claim })));
        assert_eq!(bench.refuses(&token), "its tenant claim is no name");
    }
}

#[test]
fn f8_what_is_too_long_or_too_deep_is_refused_unread() {
    let (signer, server, bench) = one_key();
    let padded = |length: usize| signer.token(&bench.claims(json!({ "more": "x".repeat(length) })));
    bench.accepts(&padded(8 * 1024));
    assert_eq!(bench.refuses(&padded(48 * 1024)), "it is too long");
    let mut deep = json!(1);
    for _ in 0..1000 {
        deep = json!([deep]);
    }
    let token = signer.token(&bench.claims(json!({ "more": deep })));
    assert_eq!(bench.refuses(&token), "its payload cannot be read");
    let header = format!(r#"{{"alg":"ES256","kid":"k","more":{deep}}}"#);
    assert_eq!(
        bench.refuses(&signer.raw(&header, &bench.claims(json!({})).to_string())),
        "its header cannot be read"
    );
    let surrogate = format!(r#"{{"iss":"{ISSUER}","name":"\ud800"}}"#);
    assert_eq!(
        bench.refuses(&signer.raw(r#"{"alg":"ES256"}"#, &surrogate)),
        "its payload cannot be read"
    );
    assert_eq!(server.requests(), 1);
}
