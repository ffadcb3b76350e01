//! Tokens that are not to be believed, tokens of others, and the keys of those who are.

use serde_json::json;

use super::{Bench, CARRIERS, NOWHERE, PLACES, bearer, cookie, named};
use crate::harness::assertion::Assertion;
use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::issuer::Issuer;
use crate::harness::jwks_server::{Answer, JwksServer};
use crate::harness::mint::Signer;
use crate::harness::upstream::TestUpstream;

/// Tokens that say they are the issuer's and name acme, and cannot be believed.
fn invalid(issuer: &Issuer) -> Vec<String> {
    let forger = Issuer::of(Signer::hs256(b"another secret, as long as it must be"));
    let unsigned = issuer.names("acme");
    let unsigned = unsigned.rsplit_once('.').unwrap().0;
    vec![
        forger.names("acme"),
        issuer.says(&json!({ "tenant_id": "acme", "exp": 1 })),
        issuer.says(&json!({ "tenant_id": "acme", "aud": "other" })),
        issuer.says(&json!({ "tenant_id": { "id": "acme" } })),
        format!("{unsigned}."),
    ]
}

#[tokio::test]
async fn f1_f5_f6_a_bearer_token_that_fails_is_refused_wherever_it_goes() {
    let bench = Bench::start().await;
    let nowhere = ("", NOWHERE.0, NOWHERE.1);
    for (_, host, path) in PLACES.into_iter().chain([nowhere]) {
        for token in invalid(&bench.issuer) {
            let answer = bench.ask(host, path, &[&bearer(&token)]).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "token_invalid")
            );
            let challenge = answer.header("www-authenticate").unwrap();
            assert_eq!(challenge, "Bearer error=\"invalid_token\"");
        }
    }
    assert_eq!(bench.upstream.connections(), 0);
}

#[tokio::test]
async fn a_cookie_that_fails_is_taken_out_and_counts_as_absent() {
    let bench = Bench::start().await;
    for token in invalid(&bench.issuer) {
        for (source, host, path) in PLACES {
            let (seen, claims) = bench.forwarded(host, path, &[&cookie(&token)]).await;
            assert_eq!(seen.header("cookie"), Some("theme=dark; last=1"));
            assert_eq!(named(&claims).2, &json!([source]));
        }
        let lines = [&*cookie(&token), "X-A: b"];
        let (seen, claims) = bench.forwarded(NOWHERE.0, NOWHERE.1, &lines).await;
        assert_eq!(seen.header("cookie"), Some("theme=dark; last=1"));
        assert_eq!(claims["via"], "none");
        let only = format!("Cookie: session={token}");
        let (seen, _) = bench.forwarded(NOWHERE.0, NOWHERE.1, &[&only]).await;
        assert_eq!(seen.header("cookie"), None);
    }
}

#[tokio::test]
async fn a_stale_cookie_of_the_same_name_does_not_take_the_good_one_along() {
    let bench = Bench::start().await;
    let stale = bench.issuer.says(&json!({ "tenant_id": "acme", "exp": 1 }));
    let good = bench.issuer.names("acme");
    let line = format!("Cookie: session={stale}; session={good}");
    let (seen, claims) = bench.forwarded("acme.localhost", "/", &[&line]).await;
    assert_eq!(seen.header("cookie"), Some(&*format!("session={good}")));
    assert_eq!(claims["agree"], json!(["subdomain", "token"]));
}

#[tokio::test]
async fn nothing_beside_a_token_hides_it() {
    let bench = Bench::start().await;
    let globex = bench.issuer.names("globex");
    for line in [
        format!("Cookie: name=größe; session={globex}"),
        format!("Cookie: session={globex}; \u{80}\u{ff}"),
        format!("Cookie: a=b;session=\"{globex}\""),
        format!("Cookie: theme=dark\r\nCookie: session={globex}"),
        format!("AUTHORIZATION:bEaReR   {globex}  "),
    ] {
        let refused = bench.refused("acme.localhost", "/", &[&line]).await;
        assert_eq!(refused, (403, "tenant_conflict".into()), "{line}");
    }
    for dressed in [
        format!("Bearer\t{globex}"),
        format!("Bearer \u{a0}{globex}"),
        format!("Bearer \"{globex}\""),
        format!("Bearer: {globex}"),
        format!("Bearer, {globex}"),
        format!("Bearer Bearer {globex}"),
    ] {
        let line = format!("Authorization: {dressed}");
        let (status, code) = bench.refused("acme.localhost", "/", &[&line]).await;
        let refused = matches!(
            (status, &*code),
            (401, "token_invalid") | (403, "tenant_conflict")
        );
        assert!(refused, "{status} {code} {line:?}");
    }
}

#[tokio::test]
async fn f9_bearer_and_cookie_both_count() {
    let bench = Bench::start().await;
    let (acme, globex) = (bench.issuer.names("acme"), bench.issuer.names("globex"));
    let both = |one: &str, other: &str| [bearer(one), cookie(other)];
    for [first, second] in [both(&acme, &globex), both(&globex, &acme)] {
        for (_, host, path) in PLACES.into_iter().chain([("", NOWHERE.0, NOWHERE.1)]) {
            let refused = bench.refused(host, path, &[&first, &second]).await;
            assert_eq!(refused, (403, "tenant_conflict".into()));
        }
    }
    for (name, place) in [("x", NOWHERE), ("y", ("acme.localhost", "/x"))] {
        let [first, second] = both(&acme, &acme);
        let (_, claims) = bench.forwarded(place.0, place.1, &[&first, &second]).await;
        assert_eq!(claims["slug"], "acme", "{name}");
    }
    // One of two cookies with the name may be the one that the application reads.
    let two = format!("Cookie: session={acme}; session={globex}");
    let refused = bench.refused("acme.localhost", "/", &[&two]).await;
    assert_eq!(refused, (403, "tenant_conflict".into()));
}

#[tokio::test]
async fn f9_two_authorization_fields_are_refused() {
    let bench = Bench::start().await;
    let acme = bearer(&bench.issuer.names("acme"));
    for second in [&*acme, "Authorization: Basic dTpw", "authorization: x"] {
        let refused = bench.refused("acme.localhost", "/", &[&acme, second]).await;
        assert_eq!(refused, (400, "bad_request".into()));
    }
}

#[tokio::test]
async fn tokens_of_others_are_the_applications_business() {
    let bench = Bench::start().await;
    let other = Issuer::of(Signer::hs256(b"another secret, as long as it must be"));
    let other = other.says(&json!({ "iss": "https://elsewhere.example", "tenant_id": "globex" }));
    for token in [&*other, "opaque", "a.b.c"] {
        for carrier in CARRIERS {
            let line = carrier(token);
            let (seen, claims) = bench.forwarded("acme.localhost", "/", &[&line]).await;
            let (name, value) = line.split_once(": ").unwrap();
            assert_eq!(seen.header(name), Some(value));
            assert_eq!(claims["agree"], json!(["subdomain"]));
        }
    }
    let basic = "Authorization: Basic dTpw";
    let (seen, _) = bench.forwarded("acme.localhost", "/", &[basic]).await;
    assert_eq!(seen.header("authorization"), Some("Basic dTpw"));
}

#[tokio::test]
async fn f6_another_issuers_bearer_token_is_refused_where_that_is_set() {
    let (upstream, issuer) = (TestUpstream::echo(), Issuer::with_secret());
    let edge = issuer
        .believed_by(Edge::with(upstream.address))
        .config("[routing]\nforeign_tokens = \"refuse\"")
        .tenants(&["acme"])
        .start()
        .await;
    let other = issuer.says(&json!({ "iss": "https://elsewhere.example" }));
    let ask = async |line: &str| {
        let request = get("acme.localhost", "/", &[line]);
        edge.visit().await.ask(request).await
    };
    let answer = ask(&bearer(&other)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "token_invalid")
    );
    assert_eq!(upstream.connections(), 0);
    for line in [
        cookie(&other),
        bearer("opaque"),
        "Authorization: Basic dTpw".to_owned(),
        bearer(&issuer.names("acme")),
    ] {
        assert_eq!(ask(&line).await.status, 200, "{line}");
    }
}

#[tokio::test]
async fn keys_by_url_are_followed_while_they_rotate() {
    let (first, second) = (Signer::es256("first"), Signer::es256("second"));
    let server = JwksServer::start(Answer::Keys(vec![first.jwk()]));
    let second_key = second.jwk();
    let (old, new) = (Issuer::of(first), Issuer::of(second));
    let upstream = TestUpstream::echo();
    let keys = format!("jwks_url = {:?}", server.url());
    let edge = old
        .believed_with(Edge::with(upstream.address), &keys)
        .config("[routing.jwks]\nrefetch = \"1s\"")
        .tenants(&["acme"])
        .start()
        .await;
    let ask = async |issuer: &Issuer| {
        let request = get("app.localhost", "/", &[&bearer(&issuer.names("acme"))]);
        edge.visit().await.ask(request).await.status
    };
    assert_eq!(ask(&old).await, 200);
    assert_eq!(Assertion::of(&upstream.seen().await).claims["via"], "token");
    assert_eq!(ask(&new).await, 401);
    server.publishes(vec![second_key]);
    // A key that is not known is asked for again once the pause is over.
    edge.clock.shift(2000);
    crate::harness::eventually("the new key is accepted", async || {
        (ask(&new).await == 200).then_some(())
    })
    .await;
    // The old key is gone, and with it what was signed under it.
    assert_eq!(ask(&old).await, 401);
}
