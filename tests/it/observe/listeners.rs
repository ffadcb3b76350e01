//! The operator's listener, the scrapers', and what of it visitors see.

use crate::harness::client::{Answer, Visitor, get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::{Reply, TestUpstream};

async fn ask(address: std::net::SocketAddr, path: &str) -> Answer {
    let asked = get(&address.to_string(), path, &[]);
    Visitor::connect(address).await.ask(asked).await
}

#[tokio::test]
async fn health_series_and_keys_are_on_both_listeners() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[metrics]\nlisten = \"127.0.0.1:0\"")
        .tenants(&["acme"])
        .start()
        .await;
    for address in [edge.admin(), edge.metrics_address()] {
        let health = ask(address, "/healthz").await;
        assert_eq!((health.status, health.text().as_str()), (200, "ok"));
        let ready = ask(address, "/readyz").await;
        assert_eq!((ready.status, &ready.json()["ready"]), (200, &true.into()));
        let series = ask(address, "/metrics").await;
        let kind = series.header("content-type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        assert!(series.text().contains("vestibule_build_info"));
        let keys = ask(address, "/.well-known/jwks.json").await;
        assert_eq!(keys.header("cache-control"), Some("public, max-age=300"));
        let keys = keys.json();
        let key = &keys["keys"][0];
        assert_eq!(
            (&key["kty"], &key["crv"]),
            (&"OKP".into(), &"Ed25519".into())
        );
        assert!(key.get("d").is_none(), "no private part");
        for nothing in ["/", "/v1/tenants", "/metrics/"] {
            assert_eq!(ask(address, nothing).await.status, 404, "{nothing}");
        }
        let post = request(
            "POST",
            &address.to_string(),
            "/metrics",
            &["Content-Length: 0"],
            b"",
        );
        assert_eq!(Visitor::connect(address).await.ask(post).await.status, 405);
    }
}

#[tokio::test]
async fn i7_each_listener_goes_by_the_names_it_was_given() {
    let upstream = TestUpstream::echo();
    let names = "[admin]\nhostnames = [\"edge.internal\"]\n[metrics]\nlisten = \"127.0.0.1:0\"\nhostnames = [\"edge\"]";
    let edge = Edge::with(upstream.address).config(names).start().await;
    for (address, host, status) in [
        (edge.admin(), "edge.internal:9900", 200),
        (edge.admin(), "edge", 421),
        (edge.metrics_address(), "Edge", 200),
        (edge.metrics_address(), "edge.internal", 421),
        (edge.metrics_address(), "localhost", 200),
        (edge.metrics_address(), "rebound.example", 421),
    ] {
        let asked = get(host, "/.well-known/jwks.json", &[]);
        let answer = Visitor::connect(address).await.ask(asked).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn visitors_find_the_keys_and_nothing_else_of_it() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let ask = async |path: &str| {
        edge.visit()
            .await
            .ask(get("acme.localhost", path, &[]))
            .await
    };
    let keys = ask("/.well-known/vestibule/jwks.json").await;
    let published = Visitor::connect(edge.admin())
        .await
        .ask(get("localhost", "/.well-known/jwks.json", &[]))
        .await;
    assert_eq!(keys.json(), published.json());
    assert_eq!(upstream.connections(), 0);
    // The rest of these paths is the application's.
    for path in ["/metrics", "/healthz", "/readyz", "/.well-known/jwks.json"] {
        assert_eq!(ask(path).await.json()["target"], path);
    }
}

#[tokio::test]
async fn both_threads_serve() {
    let upstream = TestUpstream::answering(|_| Reply::text("ok"));
    let edge = Edge::with(upstream.address)
        .config("[edge]\nworkers = 2")
        .tenants(&["acme"])
        .start()
        .await;
    // The kernel deals connections out by hash; each thread has upstream connections of its own and uses one after the other.
    for _ in 0..64 {
        let answer = edge
            .visit()
            .await
            .ask(get("acme.localhost", "/", &[]))
            .await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(upstream.connections(), 2);
}
