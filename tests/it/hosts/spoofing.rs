//! Attacks D: fields by which a visitor claims to be, or an upstream to have served, somebody else.

use http::Request;

use super::{ask, echo, plan};
use crate::certificates::Folder;
use crate::harness::client::{Visitor, get};
use crate::harness::http2::Http2;
use crate::harness::upstream::{Reply, Seen, TestUpstream};

/// The identity that the upstream was told is ours alone, once.
fn assert_only_ours(seen: &Seen) {
    assert_eq!(seen.header("x-tenant-slug"), Some("acme"));
    assert_eq!(seen.header("x-tenant-id").unwrap().len(), 36);
    assert_eq!(
        seen.header("x-tenant-assertion")
            .unwrap()
            .split('.')
            .count(),
        3
    );
    let folded = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
    let ours = seen
        .headers
        .iter()
        .filter(|(name, _)| folded(name).starts_with("x-tenant"))
        .count();
    assert_eq!(ours, 3, "{:#?}", seen.headers);
    assert!(
        !String::from_utf8_lossy(&seen.raw).contains("evil"),
        "{:#?}",
        seen.headers
    );
}

const SPELLINGS: [&str; 12] = [
    "X-Tenant-Id",
    "x-tenant-id",
    "X-TENANT-ID",
    "X_Tenant_Id",
    "X.Tenant.Id",
    "X-Tenant_Id",
    "x_tenant.slug",
    "X-Tenant-Slug",
    "X_TENANT_SLUG",
    "X-Tenant-Assertion",
    "X_Tenant_Assertion",
    "X.Tenant-Assertion",
];

#[tokio::test]
async fn d1_d2_no_spelling_of_an_identity_field_passes() {
    let (upstream, edge) = echo().await;
    let lines: Vec<String> = SPELLINGS
        .iter()
        .map(|name| format!("{name}: evil"))
        .collect();
    let many = vec!["X-Tenant-Id: evil".to_owned(); 50];
    for lines in [lines, many] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(
            edge.visit()
                .await
                .ask(get("acme.localhost", "/", &lines))
                .await
                .status,
            200
        );
        assert_only_ours(&upstream.seen().await);
    }
    let mut request = Request::get("http://acme.localhost/");
    for name in SPELLINGS {
        request = request.header(name, "evil");
    }
    let answer = Http2::over(edge.visit().await.into_inner())
        .await
        .ask(request.body(()).unwrap())
        .await;
    assert_eq!(answer.status, 200);
    assert_only_ours(&upstream.seen().await);
}

#[tokio::test]
async fn d3_what_connection_nominates_goes_before_ours_comes() {
    let (upstream, edge) = echo().await;
    let lines = [
        "Connection: close, X-Tenant-Id, X-Tenant-Slug, X-Tenant-Assertion",
        "Connection: Host, Authorization, X-Forwarded-For, Via, x-a",
        "X-Tenant-Id: evil",
        "Authorization: Basic evil",
        "X-A: evil",
        "X-B: kept",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic evil",
    ];
    let mut visitor = edge.visit().await;
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &lines)).await.status,
        200
    );
    visitor.ended().await;
    let seen = upstream.seen().await;
    assert_only_ours(&seen);
    for gone in [
        "connection",
        "authorization",
        "x-a",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
    ] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(
        (seen.header("host"), seen.header("x-b")),
        (Some("acme.localhost"), Some("kept"))
    );
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("via"), Some("1.1 test-node"));
}

const CLAIMS: [&str; 13] = [
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Port: 666",
    "X-Forwarded-Prefix: /evil",
    "X-Forwarded-Server: evil",
    "Forwarded: for=6.6.6.6;host=evil.test;proto=https",
    "X-Real-IP: 6.6.6.6",
    "X-Original-URL: /evil",
    "X-Rewrite-URL: /evil",
    "X-HTTP-Method-Override: DELETE",
    "X_Forwarded_For: 6.6.6.6",
    "X-Request-Id: evil",
];

#[tokio::test]
async fn d6_a_stranger_says_nothing_of_where_a_request_comes_from() {
    let (upstream, edge) = echo().await;
    assert_eq!(
        edge.visit()
            .await
            .ask(get("acme.localhost:81", "/", &CLAIMS))
            .await
            .status,
        200
    );
    let seen = upstream.seen().await;
    let raw = String::from_utf8_lossy(&seen.raw).into_owned();
    // The port as a whole value: three sixes in a row come by chance in ids that are drawn.
    for claimed in ["6.6.6.6", "evil", "https", "DELETE", ": 666\r"] {
        assert!(!raw.contains(claimed), "{claimed} in {raw}");
    }
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("acme.localhost:81"));
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(
        seen.header("forwarded"),
        Some("for=127.0.0.1;host=\"acme.localhost:81\";proto=http")
    );
}

#[tokio::test]
async fn d6_a_trusted_proxy_is_believed_but_names_no_tenant() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream)
        .config("[edge]\ntrusted_proxies = [\"127.0.0.1\"]")
        .start()
        .await;
    let lines = [
        "X-Forwarded-For: 6.6.6.6, 203.0.113.9",
        "X-Forwarded-Host: globex.localhost",
        "X-Forwarded-Proto: https",
        "X-Request-Id: theirs",
        "X-Tenant-Id: evil",
    ];
    assert_eq!(
        edge.visit()
            .await
            .ask(get("acme.localhost", "/", &lines))
            .await
            .status,
        200
    );
    let seen = upstream.seen().await;
    assert_only_ours(&seen);
    // The right-most address that is no proxy's is the visitor; what stands left of it is anybody's word.
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("203.0.113.9, 127.0.0.1")
    );
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("acme.localhost"));
    assert_eq!(seen.header("x-request-id"), Some("theirs"));
}

/// Fields of an answer that end here.
const DROPPED: [(&str, &str); 13] = [
    ("X-Tenant-Id", "evil"),
    ("x_tenant_slug", "evil"),
    ("X.Tenant.Assertion", "evil"),
    ("Connection", "keep-alive, X-Hop"),
    ("X-Hop", "evil"),
    ("Keep-Alive", "timeout=evil"),
    ("Proxy-Connection", "evil"),
    ("Proxy-Authenticate", "evil"),
    ("Upgrade", "evil"),
    ("Trailer", "X-Tenant-Id"),
    ("TE", "evil"),
    ("Alt-Svc", "h3=\"evil:443\""),
    ("X-Request-Id", "evil"),
];

#[tokio::test]
async fn d8_an_answer_keeps_what_is_between_us_and_the_upstream() {
    let upstream = TestUpstream::answering(|_| {
        let reply = Reply::text("body")
            .header("X-Kept", "1")
            .header("Server", "app")
            .header("Via", "1.1 inner");
        DROPPED
            .iter()
            .fold(reply, |reply, (name, value)| reply.header(name, value))
    });
    let edge = plan(&upstream).start().await;
    let request = Request::get("http://acme.localhost/").body(()).unwrap();
    let first = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    let second = Http2::over(edge.visit().await.into_inner())
        .await
        .ask(request)
        .await;
    for answer in [first, second] {
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
        assert!(
            !answer
                .headers
                .iter()
                .any(|(_, value)| value.contains("evil")),
            "{:#?}",
            answer.headers
        );
        assert_eq!(
            (answer.header("x-kept"), answer.header("server")),
            (Some("1"), Some("app"))
        );
        let via: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("via"))
            .collect();
        assert_eq!(
            via.iter()
                .map(|(_, value)| value.as_str())
                .collect::<Vec<_>>(),
            ["1.1 inner", "1.1 test-node"]
        );
    }
}

#[tokio::test]
async fn a_platform_host_that_names_nobody_sends_no_identity_on() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream)
        .config("[routing]\nplatform_upstream = \"default\"")
        .start()
        .await;
    let lines: Vec<Vec<u8>> = SPELLINGS
        .iter()
        .map(|name| format!("{name}: evil").into_bytes())
        .collect();
    let mut lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    lines.push(b"Host: app.localhost");
    assert_eq!(ask(&edge, "/login", &lines).await.status, 200);
    let seen = upstream.seen().await;
    assert_eq!(
        (seen.header("x-tenant-id"), seen.header("x-tenant-slug")),
        (None, None)
    );
    assert!(seen.header("x-tenant-assertion").is_some());
    assert!(!String::from_utf8_lossy(&seen.raw).contains("evil"));
}

/// What a balancer would say in front of a request of its visitor: version 1 in its three forms, and version 2.
fn proxy_headers() -> Vec<Vec<u8>> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    // Version 2, PROXY, TCP over IPv4, twelve bytes of addresses; then LOCAL, which says nothing.
    let addresses = [192, 0, 2, 1, 127, 0, 0, 1, 0x30, 0x39, 0x1f, 0x90];
    let proxied = [&signature[..], &[0x21, 0x11, 0, 12], &addresses].concat();
    let local = [&signature[..], &[0x20, 0, 0, 0]].concat();
    vec![
        b"PROXY TCP4 192.0.2.1 127.0.0.1 12345 8080\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 12345 8080\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        proxied,
        local,
    ]
}

#[tokio::test]
async fn d7_proxy_protocol_bytes_are_garbage_from_whomever_they_come() {
    let upstream = TestUpstream::echo();
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let directory = folder.directory.path();
    for trusted in ["[]", "[\"127.0.0.0/8\"]"] {
        let config = format!(
            "[edge]\nhttps = [\"127.0.0.1:0\"]\nredirect_https = false\ntrusted_proxies = {trusted}\n[tls]\ndirectory = {directory:?}\n"
        );
        let edge = plan(&upstream).config(&config).start().await;
        for header in proxy_headers() {
            let sent = [&*header, &get("acme.localhost", "/", &[])].concat();
            let shown = String::from_utf8_lossy(&header).into_owned();
            let mut visitor = edge.visit().await;
            assert_eq!(visitor.ask(&sent).await.status, 400, "{shown:?}");
            let behind = visitor.rest().await;
            assert!(behind.is_empty(), "{shown:?}: {behind:?}");
            let mut visitor = Visitor::connect(edge.https()).await;
            visitor.write(&sent).await;
            // An alert at most: what is no ClientHello gets no answer.
            let answer = visitor.rest().await;
            assert!(matches!(answer[..], [] | [21, ..]), "{shown:?}: {answer:?}");
        }
        assert_eq!(upstream.connections(), 0, "{trusted}");
    }
}
