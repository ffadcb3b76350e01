//! The order on a plain listener: probe, host rules, resolution, then TLS for whom there is any, then the ordinary answer.

use super::{ask, host, plan};
use crate::certificates::Folder;
use crate::harness::client::request;
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

/// An edge with TLS for acme, but not for globex.
async fn half_secure(upstream: &TestUpstream, folder: &Folder, edge: &str) -> Edge {
    let directory = folder.directory.path();
    let config = format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\nprobe_path = \"/-/healthy\"\n{edge}\n[tls]\ndirectory = {directory:?}\n"
    );
    plan(upstream)
        .config(&config)
        .domain("acme", "shop.test")
        .start()
        .await
}

fn folder() -> Folder {
    Folder::new().with("acme", &["acme.localhost", "nobody.localhost", "shop.test"])
}

#[tokio::test]
async fn the_probe_comes_before_the_host_rules() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = half_secure(&upstream, &folder, "").await;
    let heads: [&[&[u8]]; 5] = [
        &[],
        &[b"Host: a/b"],
        &[b"Host: a", b"Host: b"],
        &[b"Host: acme.localhost"],
        &[b"Host: nobody.localhost"],
    ];
    for lines in heads {
        assert_eq!(
            ask(&edge, "/-/healthy", lines).await.status,
            200,
            "{lines:?}"
        );
    }
    assert_eq!(
        ask(&edge, "/-/healthy/x", &[b"Host: a/b"]).await.status,
        400
    );
    let post = request("POST", "globex.localhost", "/-/healthy", &[], b"");
    assert_eq!(edge.visit().await.ask(post).await.status, 200);
    assert_eq!(
        upstream.seen().await.target,
        "/-/healthy",
        "only GET and HEAD are the balancer's"
    );
}

#[tokio::test]
async fn only_names_that_resolve_and_can_be_served_are_sent_to_tls() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = half_secure(&upstream, &folder, "").await;
    for (name, location) in [
        ("acme.localhost", "https://acme.localhost/a?b=c"),
        ("ACME.localhost.:8080", "https://acme.localhost/a?b=c"),
        ("shop.test", "https://shop.test/a?b=c"),
    ] {
        let answer = ask(&edge, "/a?b=c", &[format!("Host: {name}").as_bytes()]).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (308, Some(location)),
            "{name}"
        );
    }
    // Covered, but nobody's: an unknown name is not told apart from any other.
    assert_eq!(host(&edge, b"nobody.localhost").await.status, 404);
    assert_eq!(host(&edge, b"never.heard.test").await.status, 404);
    assert_eq!(upstream.connections(), 0);
    // Somebody's, but without a certificate: served as it is.
    assert_eq!(host(&edge, b"globex.localhost").await.status, 200);
    assert_eq!(
        upstream.seen().await.header("x-forwarded-proto"),
        Some("http")
    );
}

#[tokio::test]
async fn the_public_port_is_named_where_it_is_not_the_usual_one() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = half_secure(&upstream, &folder, "public_https_port = 8443").await;
    let answer = host(&edge, b"acme.localhost:8080").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (308, Some("https://acme.localhost:8443/"))
    );
}

#[tokio::test]
async fn who_came_to_a_trusted_proxy_over_tls_is_not_sent_there_again() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = half_secure(&upstream, &folder, "trusted_proxies = [\"127.0.0.0/8\"]").await;
    let said: [&[u8]; 3] = [
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Proto: HTTPS",
        b"Forwarded: for=192.0.2.1;proto=https",
    ];
    for line in said {
        assert_eq!(
            ask(&edge, "/", &[b"Host: acme.localhost", line])
                .await
                .status,
            200
        );
        assert_eq!(
            upstream.seen().await.header("x-forwarded-proto"),
            Some("https")
        );
    }
    let said: [&[u8]; 3] = [
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Proto: https, http",
        b"X-A: b",
    ];
    for line in said {
        assert_eq!(
            ask(&edge, "/", &[b"Host: acme.localhost", line])
                .await
                .status,
            308
        );
    }
}

#[tokio::test]
async fn a_stranger_who_says_https_is_sent_there() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = half_secure(&upstream, &folder, "").await;
    for line in [
        b"X-Forwarded-Proto: https".as_slice(),
        b"Forwarded: proto=https",
    ] {
        assert_eq!(
            ask(&edge, "/", &[b"Host: acme.localhost", line])
                .await
                .status,
            308
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn without_redirects_plain_requests_are_served() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = half_secure(&upstream, &folder, "redirect_https = false").await;
    assert_eq!(host(&edge, b"acme.localhost").await.status, 200);
    assert_eq!(upstream.requests().len(), 1);
}
