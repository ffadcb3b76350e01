//! Attacks E: which tenant a path names on a platform host, and what is left of the path.

use super::{ask, echo, host, plan};
use crate::harness::edge::Edge;
use crate::harness::http2::Frames;
use crate::harness::upstream::TestUpstream;

/// The status of a GET for this path on the platform's host, the same over both protocols.
async fn platform(edge: &Edge, path: &str) -> u16 {
    let status = ask(edge, path, &[b"Host: app.localhost"]).await.status;
    let head = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "app.localhost"),
        (":path", path),
    ];
    let outcome = Frames::open(edge.visit().await.into_inner())
        .await
        .request(&head)
        .await;
    // A path that the codec finds malformed is refused by the protocol.
    assert!(
        outcome.status() == Some(status) || (status == 400 && outcome.is_protocol_error()),
        "{path}: {status}, {outcome:?}"
    );
    status
}

#[tokio::test]
async fn e1_e2_e3_e6_a_path_that_could_be_read_twice_is_refused() {
    let (upstream, edge) = echo().await;
    let paths = [
        "/t/acme/../globex",
        "/t/acme/..",
        "/t/acme/./x",
        "/t/acme/.",
        "/t/acme/..;/globex",
        "/t/acme/..;a=b/globex",
        "/t/acme/.;/x",
        "/../t/acme",
        "/x/../t/acme",
        "/t/./acme",
        "/t/acme/%2e%2e/globex",
        "/t/acme/%2E./globex",
        "/t/acme/.%2e/globex",
        "/t/acme/%2e/x",
        "/t/acme/%2e%2e%3b/globex",
        "/t/acme%2f..%2fglobex",
        "/t%2facme/x",
        "/t/acme%2Fx",
        "/t/acme%5cx",
        "/t/acme/%5C..",
        "/t/acme\\x",
        "/t/acme%00",
        "/t/acme/%00/x",
        "/t/acme%",
        "/t/acme/%2",
        "/t/acme/%zz",
        "/t/acme/%c0%ae%c0%ae/x",
        "/t/acme/%e0%80%af",
        "/t/acme/%ff",
        "/elsewhere/%2e%2e/x",
    ];
    for path in paths {
        assert_eq!(platform(&edge, path).await, 400, "{path}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn e1_e5_e6_e7_what_is_no_slug_between_slashes_names_nobody() {
    let (upstream, edge) = echo().await;
    let paths = [
        "/t/acme;x=1/",
        "/t/acmeX",
        "/t/acme-",
        "/t/ACME",
        "/t/Acme/x",
        "/T/acme",
        "/t",
        "/t/",
        "//t/acme",
        "/t//acme",
        "///t///acme",
        "/t/acme%20",
        "/t/%61cme",
        "/t/www/x",
        "/t/nobody",
        "/",
    ];
    for path in paths {
        assert_eq!(platform(&edge, path).await, 404, "{path}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn e4_e5_e7_e9_the_rest_of_the_path_goes_on_byte_for_byte() {
    let (upstream, edge) = echo().await;
    let paths = [
        ("/t/acme", "/"),
        ("/t/acme/", "/"),
        ("/t/acme?a=/../&b=%2e%2e", "/?a=/../&b=%2e%2e"),
        ("/t/acme/?", "/?"),
        ("/t/acme/x", "/x"),
        ("/t/acme//x", "/x"),
        ("/t/acme//evil.test/x", "/evil.test/x"),
        ("/t/acme/a//b/", "/a//b/"),
        ("/t/acme/%252e%252e/x", "/%252e%252e/x"),
        ("/t/acme/%41%c3%a4;v=1/...", "/%41%c3%a4;v=1/..."),
        ("/t/acme/t/globex", "/t/globex"),
    ];
    for (path, rest) in paths {
        assert_eq!(platform(&edge, path).await, 200, "{path}");
        for _ in 0..2 {
            let seen = upstream.seen().await;
            assert_eq!(seen.target, rest, "{path}");
            assert_eq!(
                (
                    seen.header("x-tenant-slug"),
                    seen.header("x-forwarded-prefix")
                ),
                (Some("acme"), Some("/t/acme"))
            );
        }
    }
}

#[tokio::test]
async fn e7_a_fragment_is_never_forwarded() {
    let (upstream, edge) = echo().await;
    let answer = ask(&edge, "/t/acme/x?a#/../globex", &[b"Host: app.localhost"]).await;
    assert!(matches!(answer.status, 200 | 400));
    for seen in upstream.requests() {
        assert_eq!(seen.target, "/x?a");
    }
    assert!(
        !upstream
            .requests()
            .iter()
            .any(|seen| seen.raw.contains(&b'#'))
    );
}

#[tokio::test]
async fn e9_the_prefix_stays_where_it_is_to_stay() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream)
        .config("[routing]\nstrip_path_prefix = false")
        .start()
        .await;
    for path in ["/t/acme", "/t/acme/x//y?z", "/t/acme//x"] {
        assert_eq!(platform(&edge, path).await, 200, "{path}");
        for _ in 0..2 {
            let seen = upstream.seen().await;
            assert_eq!(
                (seen.target.as_str(), seen.header("x-forwarded-prefix")),
                (path, None)
            );
        }
    }
}

#[tokio::test]
async fn on_a_tenants_own_host_a_path_is_forwarded_unchanged() {
    let (upstream, edge) = echo().await;
    for path in [
        "/t/globex/x",
        "/a/../b",
        "/a/%2e%2e/%2f%5c",
        "//x",
        "/%zz",
        "/%00",
        "/..;/x",
        "/x?y=%",
        "/a\\b",
    ] {
        let answer = ask(&edge, path, &[b"Host: acme.localhost"]).await;
        assert_eq!(answer.status, 200, "{path}");
        let seen = upstream.seen().await;
        assert_eq!(
            (seen.target.as_str(), seen.header("x-tenant-slug")),
            (path, Some("acme"))
        );
    }
    assert_eq!(host(&edge, b"app.localhost").await.status, 404);
}
