//! From a name to its tenant: anew for each request, exact names first, and the same answer for all that are nobody's.

use super::{ask, host, plan, tenant};
use crate::harness::client::get;
use crate::harness::upstream::TestUpstream;

#[tokio::test]
async fn c20_each_request_of_a_connection_is_resolved_alone() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream).domain("acme", "shop.test").start().await;
    let mut visitor = edge.visit().await;
    for (name, slug) in [
        ("shop.test", "acme"),
        ("globex.localhost", "globex"),
        ("acme.localhost", "acme"),
        ("shop.test", "acme"),
    ] {
        assert_eq!(visitor.ask(get(name, "/", &[])).await.status, 200);
        assert_eq!(tenant(&upstream).await, slug);
    }
    let shop = vestibule::model::DomainPattern::parse("shop.test").unwrap();
    edge.store
        .move_domain(&shop, &"globex".parse().unwrap())
        .await
        .unwrap();
    // Somebody else sees the change first; then the connection that has been open all along sees it too.
    let mut other = edge.visit().await;
    loop {
        assert_eq!(other.ask(get("shop.test", "/", &[])).await.status, 200);
        if tenant(&upstream).await == "globex" {
            break;
        }
    }
    assert_eq!(visitor.ask(get("shop.test", "/", &[])).await.status, 200);
    assert_eq!(tenant(&upstream).await, "globex");
}

#[tokio::test]
async fn c21_exact_before_wildcard_and_a_wildcard_is_one_label() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream)
        .domain("globex", "*.acme.app")
        .domain("acme", "x.acme.app")
        .start()
        .await;
    for (name, slug) in [
        ("x.acme.app", "acme"),
        ("y.acme.app", "globex"),
        ("X.Acme.App.", "acme"),
    ] {
        assert_eq!(host(&edge, name.as_bytes()).await.status, 200, "{name}");
        assert_eq!(tenant(&upstream).await, slug, "{name}");
    }
    for name in ["a.b.acme.app", "acme.app", "x.x.acme.app", "app"] {
        assert_eq!(host(&edge, name.as_bytes()).await.status, 404, "{name}");
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn unknown_reserved_and_malformed_names_are_told_apart_by_nobody() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream).start().await;
    let uuid = "0197f000-0000-7000-8000-000000000000";
    let long = "a".repeat(41);
    let slugs = ["nobody", "www", "admin", "a--b", "a_b", uuid, &long];
    let mut answers = Vec::new();
    for slug in slugs {
        answers.push(ask(&edge, "/", &[format!("Host: {slug}.localhost").as_bytes()]).await);
        answers.push(ask(&edge, &format!("/t/{slug}/x"), &[b"Host: app.localhost"]).await);
    }
    answers.push(host(&edge, b"never.heard.test").await);
    let mut shapes = answers.iter().map(|answer| {
        let id = answer.header("x-request-id").unwrap();
        let headers: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name != "date" && name != "x-request-id")
            .collect();
        (answer.status, headers, answer.text().replace(id, "ID"))
    });
    let first = shapes.next().unwrap();
    assert_eq!(first.0, 404);
    assert_eq!(answers[0].header("cache-control"), Some("no-store"));
    assert!(
        answers[0]
            .header("proxy-status")
            .unwrap()
            .contains("test-node")
    );
    for (at, shape) in shapes.enumerate() {
        assert_eq!(shape, first, "number {}", at + 1);
    }
    assert_eq!(upstream.connections(), 0);
}
