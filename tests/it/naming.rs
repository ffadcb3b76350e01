//! Which tenant? Every source that applies, with every kind of token, as a visitor sends them and as the upstream sees it.

use serde_json::{Value, json};

use crate::harness::assertion::Assertion;
use crate::harness::client::{Answer, get};
use crate::harness::edge::Edge;
use crate::harness::issuer::Issuer;
use crate::harness::upstream::{Seen, TestUpstream};

mod addresses;
mod conflict_page;
mod platform;
mod tokens;

/// Where a request can go, and the source that names acme there.
const PLACES: [(&str, &str, &str); 4] = [
    ("subdomain", "acme.localhost", "/x"),
    ("domain", "shop.acme.test", "/x"),
    ("domain", "any.wild.test", "/x"),
    ("path", "app.localhost", "/t/acme/x"),
];
/// A place that names nobody.
const NOWHERE: (&str, &str) = ("app.localhost", "/x");

/// How a token is brought.
const CARRIERS: [fn(&str) -> String; 2] = [bearer, cookie];

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn cookie(token: &str) -> String {
    format!("Cookie: theme=dark; session={token}; last=1")
}

/// An edge on which acme can be named in every way there is.
struct Bench {
    upstream: TestUpstream,
    issuer: Issuer,
    edge: Edge,
}

impl Bench {
    async fn start() -> Self {
        let (upstream, issuer) = (TestUpstream::echo(), Issuer::with_secret());
        let edge = issuer
            .believed_by(Edge::with(upstream.address))
            .config("[routing]\nplatform_upstream = \"default\"")
            .tenants(&["acme", "globex", "initech"])
            .domain("acme", "shop.acme.test")
            .domain("acme", "*.wild.test")
            .start()
            .await;
        Self {
            upstream,
            issuer,
            edge,
        }
    }

    async fn ask(&self, host: &str, path: &str, lines: &[&str]) -> Answer {
        self.edge.visit().await.ask(get(host, path, lines)).await
    }

    /// Asks for something that is refused without a connection to an upstream, and gives status and code.
    async fn refused(&self, host: &str, path: &str, lines: &[&str]) -> (u16, String) {
        let before = self.upstream.connections();
        let answer = self.ask(host, path, lines).await;
        assert!(answer.status >= 400, "{host}{path} {lines:?}");
        assert_eq!(self.upstream.connections(), before);
        (answer.status, answer.code())
    }

    /// Asks for something that is sent on, and gives what the upstream saw with what the assertion claims.
    async fn forwarded(&self, host: &str, path: &str, lines: &[&str]) -> (Seen, Value) {
        let answer = self.ask(host, path, lines).await;
        assert_eq!(
            answer.status,
            200,
            "{host}{path} {lines:?}: {}",
            answer.text()
        );
        let seen = self.upstream.seen().await;
        let claims = Assertion::of(&seen).claims;
        (seen, claims)
    }

    async fn id(&self, slug: &str) -> String {
        let tenant = self.edge.store.tenant(&slug.parse().unwrap()).await;
        tenant.unwrap().id.to_string()
    }
}

/// Via whom, and who agrees.
fn named(claims: &Value) -> (&Value, &Value, &Value) {
    (&claims["slug"], &claims["via"], &claims["agree"])
}

#[tokio::test]
async fn a_place_alone_names_its_tenant() {
    let bench = Bench::start().await;
    for (source, host, path) in PLACES {
        let (seen, claims) = bench.forwarded(host, path, &[]).await;
        assert_eq!(
            named(&claims),
            (&json!("acme"), &json!(source), &json!([source]))
        );
        assert_eq!(seen.target, "/x");
        assert_eq!(seen.header("x-tenant-id"), claims["sub"].as_str());
        assert_eq!(seen.header("x-tenant-slug"), Some("acme"));
        let prefix = (source == "path").then_some("/t/acme");
        assert_eq!(seen.header("x-forwarded-prefix"), prefix);
    }
}

#[tokio::test]
async fn f7_f9_a_token_for_somebody_else_is_a_conflict_and_opens_no_connection() {
    let bench = Bench::start().await;
    let stranger = "01890a5d-ac96-774b-bcce-b302099a8057";
    let others = [
        json!("globex"),
        json!(bench.id("globex").await),
        json!(["globex"]),
        json!(["globex", "initech"]),
        json!("nobody"),
        json!(stranger),
        json!(["nobody", stranger]),
        json!("ACME"),
        json!([]),
    ];
    for (_, host, path) in PLACES {
        for claim in &others {
            let token = bench.issuer.names(claim.clone());
            for carrier in CARRIERS {
                let refused = bench.refused(host, path, &[&carrier(&token)]).await;
                assert_eq!(refused, (403, "tenant_conflict".into()), "{host} {claim}");
            }
        }
    }
    assert_eq!(bench.upstream.connections(), 0);
}

#[tokio::test]
async fn a_token_that_agrees_is_among_those_who_do() {
    let bench = Bench::start().await;
    let ours = [
        json!("acme"),
        json!(bench.id("acme").await),
        json!(["acme"]),
        json!(["globex", "acme", "nobody"]),
    ];
    for (source, host, path) in PLACES {
        for claim in &ours {
            let token = bench.issuer.names(claim.clone());
            for carrier in CARRIERS {
                let line = carrier(&token);
                let (seen, claims) = bench.forwarded(host, path, &[&line]).await;
                let agree = json!([source, "token"]);
                assert_eq!(named(&claims), (&json!("acme"), &json!(source), &agree));
                // The application may read it as well.
                let (name, value) = line.split_once(": ").unwrap();
                assert_eq!(seen.header(name), Some(value));
            }
        }
    }
}

#[tokio::test]
async fn a_token_alone_names_its_tenant_on_a_platform_host() {
    let bench = Bench::start().await;
    let (host, path) = NOWHERE;
    for claim in [
        json!("acme"),
        json!(bench.id("acme").await),
        json!(["acme"]),
    ] {
        for carrier in CARRIERS {
            let token = bench.issuer.names(claim.clone());
            let (_, claims) = bench.forwarded(host, path, &[&carrier(&token)]).await;
            assert_eq!(
                named(&claims),
                (&json!("acme"), &json!("token"), &json!(["token"]))
            );
        }
    }
    for claim in [json!("nobody"), json!(["nobody"])] {
        for carrier in CARRIERS {
            let token = bench.issuer.names(claim.clone());
            let refused = bench.refused(host, path, &[&carrier(&token)]).await;
            assert_eq!(refused, (404, "unknown_tenant".into()), "{claim}");
        }
    }
}

#[tokio::test]
async fn a_token_that_names_nobody_in_particular_leaves_the_place_to_say_it() {
    let bench = Bench::start().await;
    let silent = bench.issuer.says(&json!({}));
    for carrier in CARRIERS {
        for (source, host, path) in PLACES {
            let (_, claims) = bench.forwarded(host, path, &[&carrier(&silent)]).await;
            let expected = (&json!("acme"), &json!(source), &json!([source]));
            assert_eq!(named(&claims), expected);
        }
    }
    // A list of several agrees with any of them, and alone it names none; nor does an empty one.
    let several = bench.issuer.names(json!(["acme", "globex"]));
    let empty = bench.issuer.names(json!([]));
    for token in [&silent, &several, &empty] {
        for carrier in CARRIERS {
            let (seen, claims) = bench
                .forwarded(NOWHERE.0, NOWHERE.1, &[&carrier(token)])
                .await;
            assert_eq!(named(&claims), (&Value::Null, &json!("none"), &json!([])));
            assert_eq!(seen.header("x-tenant-id"), None);
        }
    }
}
