//! What pages of other origins may read of refusals, and the preflights that have nobody to go to.

use vestibule::model::TenantState;

use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

const OURS: &str = "Origin: https://app.example";
const THEIRS: &str = "Origin: https://evil.example";
const ORIGIN: &str = "access-control-allow-origin";

async fn edge(upstream: &TestUpstream) -> Edge {
    Edge::with(upstream.address)
        .config("[routing]\ncors_origins = [\"https://app.example\"]")
        .tenants(&["acme"])
        .tenant_in("stopped", TenantState::Suspended)
        .start()
        .await
}

#[tokio::test]
async fn a_refusal_can_be_read_by_the_origins_that_are_configured() {
    let upstream = TestUpstream::echo();
    let edge = edge(&upstream).await;
    for (host, status) in [
        ("stopped.localhost", 403),
        ("nobody.localhost", 404),
        ("app.localhost", 404),
    ] {
        let ours = edge.visit().await.ask(get(host, "/", &[OURS])).await;
        assert_eq!(ours.status, status);
        assert_eq!(ours.header(ORIGIN), Some("https://app.example"));
        assert_eq!(
            ours.header("access-control-allow-credentials"),
            Some("true")
        );
        let exposed = ours.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-request-id"), "{exposed}");
        assert!(ours.header("vary").unwrap().contains("origin"));
        for other in [THEIRS, "Origin: null", "Accept: */*"] {
            let theirs = edge.visit().await.ask(get(host, "/", &[other])).await;
            assert_eq!(
                (theirs.status, theirs.header(ORIGIN)),
                (status, None),
                "{other}"
            );
            assert!(theirs.header("vary").unwrap().contains("origin"));
        }
    }
}

#[tokio::test]
async fn a_preflight_that_names_nobody_is_answered_for_the_origins_that_are_configured() {
    let upstream = TestUpstream::echo();
    let edge = edge(&upstream).await;
    let asks = [
        "Access-Control-Request-Method: PATCH",
        "Access-Control-Request-Headers: authorization",
    ];
    let preflight =
        |host, origin| request("OPTIONS", host, "/api", &[origin, asks[0], asks[1]], b"");
    let ours = edge
        .visit()
        .await
        .ask(preflight("app.localhost", OURS))
        .await;
    assert_eq!(
        (ours.status, ours.header(ORIGIN)),
        (204, Some("https://app.example"))
    );
    assert_eq!(ours.header("access-control-allow-methods"), Some("PATCH"));
    assert_eq!(
        ours.header("access-control-allow-headers"),
        Some("authorization")
    );
    assert!(ours.header("x-request-id").is_some());
    let theirs = edge
        .visit()
        .await
        .ask(preflight("app.localhost", THEIRS))
        .await;
    assert_eq!((theirs.status, theirs.header(ORIGIN)), (404, None));
    let nobody = edge
        .visit()
        .await
        .ask(preflight("nobody.localhost", OURS))
        .await;
    assert_eq!(
        (nobody.status, nobody.header(ORIGIN)),
        (204, Some("https://app.example"))
    );
    assert_eq!(upstream.connections(), 0);
    // A tenant's preflights are its application's business.
    let acme = edge
        .visit()
        .await
        .ask(preflight("acme.localhost", THEIRS))
        .await;
    assert_eq!((acme.status, acme.header(ORIGIN)), (200, None));
    assert_eq!(upstream.seen().await.method, "OPTIONS");
}
