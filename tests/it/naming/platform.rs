//! Platform hosts where nobody is named, rules for paths, and preflights.

use serde_json::json;

use super::{Bench, NOWHERE};
use crate::harness::assertion::Assertion;
use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

#[tokio::test]
async fn where_nobody_is_named_the_platform_upstream_answers_and_knows_it() {
    let bench = Bench::start().await;
    let spoofed = [
        "X-Tenant-Id: evil",
        "X-Tenant-Slug: globex",
        "X-Tenant-Assertion: a.b.c",
    ];
    let (seen, claims) = bench.forwarded(NOWHERE.0, "/login?next=/x", &spoofed).await;
    assert_eq!(seen.target, "/login?next=/x");
    let ours = |name: &&(String, String)| name.0.to_ascii_lowercase().starts_with("x-tenant");
    let names: Vec<_> = seen
        .headers
        .iter()
        .filter(ours)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(
        (&claims["via"], &claims["agree"]),
        (&json!("none"), &json!([]))
    );
    assert_eq!(claims["host"], NOWHERE.0);
    for absent in ["sub", "slug", "plan", "placement", "meta"] {
        assert!(claims.get(absent).is_none(), "{absent}: {claims}");
    }
}

#[tokio::test]
async fn without_a_platform_upstream_nobody_is_unknown() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for path in ["/", "/login", "/t", "/T/acme"] {
        let answer = edge
            .visit()
            .await
            .ask(get("app.localhost", path, &[]))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_tenant"),
            "{path}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_rule_for_a_path_sends_it_to_its_own_upstream() {
    let (app, api, admin) = (
        TestUpstream::echo(),
        TestUpstream::echo(),
        TestUpstream::echo(),
    );
    let more = |name: &str, at: &TestUpstream| {
        format!(
            "[[upstream]]\nname = {name:?}\nendpoints = [\"http://{}\"]\n",
            at.address
        )
    };
    let rules = "[[route]]\npath = \"/api\"\nupstream = \"api\"\n\
                 [[route]]\npath = \"/api/admin\"\nupstream = \"admin\"\n";
    let edge = Edge::with(app.address)
        .config_behind(&(more("api", &api) + &more("admin", &admin)))
        .config(rules)
        .tenants(&["acme"])
        .start()
        .await;
    let cases = [
        ("/", &app, "default"),
        ("/apis", &app, "default"),
        ("/x/api", &app, "default"),
        ("/api", &api, "api"),
        ("/api/x?y", &api, "api"),
        ("/api/administrator", &api, "api"),
        ("/api/admin", &admin, "admin"),
        ("/api/admin/x", &admin, "admin"),
    ];
    for (path, upstream, name) in cases {
        // On the tenant's own host, and behind the prefix, which is cut first.
        for (host, target) in [
            ("acme.localhost", path.to_owned()),
            ("app.localhost", format!("/t/acme{path}")),
        ] {
            let answer = edge.visit().await.ask(get(host, &target, &[])).await;
            assert_eq!(answer.status, 200, "{host}{target}");
            let seen = upstream.seen().await;
            assert_eq!(seen.target, path);
            assert_eq!(Assertion::of(&seen).claims["aud"], name);
        }
    }
}

#[tokio::test]
async fn a_preflight_has_nobody_to_go_to_and_is_answered_for_origins_that_are_known() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[routing]\ncors_origins = [\"https://spa.example\"]")
        .tenants(&["acme"])
        .start()
        .await;
    let preflight = async |origin: &str| {
        let lines = [
            &*format!("Origin: {origin}"),
            "Access-Control-Request-Method: PUT",
            "Access-Control-Request-Headers: authorization",
        ];
        let request = request("OPTIONS", "app.localhost", "/x", &lines, b"");
        edge.visit().await.ask(request).await
    };
    let answer = preflight("https://spa.example").await;
    assert_eq!(answer.status, 204);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://spa.example"));
    let stranger = preflight("https://evil.example").await;
    assert_eq!(stranger.status, 404);
    assert_eq!(stranger.header("access-control-allow-origin"), None);
    // A refusal can be read by a page of a known origin, and by no other.
    for (origin, allowed) in [
        ("https://spa.example", Some("https://spa.example")),
        ("https://evil.example", None),
    ] {
        let request = get("nobody.localhost", "/", &[&format!("Origin: {origin}")]);
        let answer = edge.visit().await.ask(request).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
    assert_eq!(upstream.connections(), 0);
}
