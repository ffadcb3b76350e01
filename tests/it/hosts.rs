//! Attacks C: which tenant a host names, and which hosts are none. The bytes are as a visitor sends them, over both protocols.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use crate::harness::client::Answer;
use crate::harness::edge::{Edge, Plan};
use crate::harness::http2::{Frames, Outcome};
use crate::harness::upstream::TestUpstream;

mod challenges;
mod paths;
mod plain_listener;
mod resolution;
mod spoofing;
mod tls;

fn plan(upstream: &TestUpstream) -> Plan {
    Edge::with(upstream.address).tenants(&["acme", "globex"])
}

async fn echo() -> (TestUpstream, Edge) {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream).start().await;
    (upstream, edge)
}

/// The answer to a GET with exactly these lines between request line and end.
async fn ask(edge: &Edge, target: &str, lines: &[&[u8]]) -> Answer {
    let lines: Vec<u8> = lines
        .iter()
        .flat_map(|line| [line, b"\r\n".as_slice()].concat())
        .collect();
    edge.visit()
        .await
        .ask(
            [
                format!("GET {target} HTTP/1.1\r\n").as_bytes(),
                &lines,
                b"\r\n",
            ]
            .concat(),
        )
        .await
}

/// The answer to a GET for `host` over HTTP/1.1.
async fn host(edge: &Edge, host: &[u8]) -> Answer {
    ask(edge, "/", &[&[b"Host: ", host].concat()]).await
}

/// What becomes of a GET over HTTP/2 with these fields behind method, scheme and path.
async fn streamed(edge: &Edge, fields: &[(&str, &str)]) -> Outcome {
    let head = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    Frames::open(edge.visit().await.into_inner())
        .await
        .request(&[&head, fields].concat())
        .await
}

/// Whose tenant the upstream was told.
async fn tenant(upstream: &TestUpstream) -> String {
    upstream
        .seen()
        .await
        .header("x-tenant-slug")
        .unwrap()
        .to_owned()
}

/// Counts what the store was asked about names.
const LOOKUPS: &str = "vestibule_store_query_seconds_count{query=\"lookup\"}";

/// Names that are none, for `Host` and `:authority` alike.
const NO_NAMES: [&str; 27] = [
    "user@acme.localhost",
    "user:pass@acme.localhost",
    "acme.localhost/evil",
    "acme.localhost\\evil",
    "acme.localhost?x",
    "acme.localhost#x",
    "acme.localhost, evil.test",
    "acme.localhost evil.test",
    "\"acme.localhost\"",
    "acme%2elocalhost",
    "acme.localhost%00",
    "*.localhost",
    "acme..localhost",
    "acme.localhost..",
    ".acme.localhost",
    ".",
    "-acme.localhost",
    "acme-.localhost",
    "acme.localhost:abc",
    "acme.localhost:99999",
    "acme.localhost:0",
    "acme.localhost:80:80",
    "127.0.0.1",
    "0x7f.1",
    "[::1]",
    "[fe80::1%25lo]:80",
    "xn--acme-.localhost",
];

#[tokio::test]
async fn c1_one_host_per_request() {
    let (upstream, edge) = echo().await;
    let heads: [&[&[u8]]; 5] = [
        &[],
        &[b"Host: acme.localhost", b"Host: globex.localhost"],
        &[b"Host: acme.localhost", b"Host: acme.localhost"],
        &[b"Host:"],
        &[b"Host: ", b"Host: acme.localhost"],
    ];
    for lines in heads {
        let answer = ask(&edge, "/", lines).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request"),
            "{lines:?}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn c2_c3_c7_c10_what_is_no_name_is_refused_over_both_protocols() {
    let (upstream, edge) = echo().await;
    let long_label = format!("{}.localhost", "a".repeat(64));
    let long_name = format!("{}localhost", "abcdefgh.".repeat(28));
    for name in NO_NAMES
        .into_iter()
        .chain([long_label.as_str(), long_name.as_str()])
    {
        let answer = host(&edge, name.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request"),
            "{name}"
        );
        for field in [":authority", "host"] {
            let outcome = streamed(&edge, &[(field, name)]).await;
            assert!(
                outcome.status() == Some(400) || outcome.is_protocol_error(),
                "{field} {name}: {outcome:?}"
            );
        }
    }
    for raw in [
        b"acme.localhost\xff".as_slice(),
        b"\xc3\xa4cme.localhost",
        b"\xe2\x92\xb6cme.localhost",
        b"acme.local\thost",
    ] {
        assert_eq!(host(&edge, raw).await.status, 400, "{raw:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn c3_c6_port_case_and_final_dot_are_not_part_of_the_name() {
    let (upstream, edge) = echo().await;
    let names = [
        ("acme.localhost", "acme.localhost"),
        ("ACME.LocalHost", "acme.localhost"),
        ("acme.localhost.", "acme.localhost"),
        ("acme.localhost:", "acme.localhost"),
        ("acme.localhost:8080", "acme.localhost:8080"),
        ("Acme.LOCALHOST.:8080", "acme.localhost:8080"),
    ];
    for (sent, received) in names {
        for field in ["h1", ":authority", "host"] {
            let status = match field {
                "h1" => Some(host(&edge, sent.as_bytes()).await.status),
                field => streamed(&edge, &[(field, sent)]).await.status(),
            };
            assert_eq!(status, Some(200), "{field} {sent}");
            let seen = upstream.seen().await;
            assert_eq!(
                (seen.header("host"), seen.header("x-tenant-slug")),
                (Some(received), Some("acme")),
                "{field} {sent}"
            );
            assert_eq!(seen.header("x-forwarded-host"), Some(received));
        }
    }
    // One name, one look-up.
    assert_eq!(edge.metric(LOOKUPS).await, 1.0);
}

#[tokio::test]
async fn c4_c5_an_absolute_target_agrees_with_the_host() {
    let (upstream, edge) = echo().await;
    let disagree: [(&str, &[&[u8]]); 9] = [
        ("http://globex.localhost/", &[b"Host: acme.localhost"]),
        ("http://acme.localhost:81/", &[b"Host: acme.localhost"]),
        ("http://acme.localhost/", &[]),
        ("http://acme.localhost/", &[b"Host:"]),
        (
            "http://acme.localhost/",
            &[b"Host: acme.localhost", b"Host: acme.localhost"],
        ),
        ("http://user@acme.localhost/", &[b"Host: acme.localhost"]),
        ("https://acme.localhost/", &[b"Host: acme.localhost"]),
        ("ftp://acme.localhost/", &[b"Host: acme.localhost"]),
        ("http://127.0.0.1/", &[b"Host: 127.0.0.1"]),
    ];
    for (target, lines) in disagree {
        assert_eq!(
            ask(&edge, target, lines).await.status,
            400,
            "{target} {lines:?}"
        );
    }
    assert_eq!(upstream.connections(), 0);
    for (target, path) in [
        ("http://acme.localhost/a?b=/c", "/a?b=/c"),
        ("http://ACME.localhost:80", "/"),
        ("HTTP://acme.localhost/", "/"),
    ] {
        assert_eq!(
            ask(&edge, target, &[b"Host: acme.localhost"]).await.status,
            200,
            "{target}"
        );
        let seen = upstream.seen().await;
        assert_eq!(seen.target, path, "an upstream is asked in origin form");
        assert_eq!(seen.header("x-tenant-slug"), Some("acme"));
    }
}

#[tokio::test]
async fn c8_a_look_alike_is_somebody_else() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream)
        .domain("acme", "apple.test")
        .domain("globex", "xn--pple-43d.test")
        .start()
        .await;
    for (name, slug) in [
        ("apple.test", "acme"),
        ("xn--pple-43d.test", "globex"),
        ("XN--PPLE-43D.test", "globex"),
    ] {
        assert_eq!(host(&edge, name.as_bytes()).await.status, 200, "{name}");
        assert_eq!(tenant(&upstream).await, slug);
    }
    assert_eq!(host(&edge, "аpple.test".as_bytes()).await.status, 400);
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test]
async fn c9_underscores_are_looked_up_as_they_are() {
    let (upstream, edge) = echo().await;
    for name in ["_acme.test", "acme_shop.test", "acme_x.localhost"] {
        let answer = host(&edge, name.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_tenant"),
            "{name}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn c10_names_that_nobody_has_cost_no_query() {
    let (upstream, edge) = echo().await;
    assert_eq!(host(&edge, b"acme.localhost").await.status, 200);
    // From here on the edge knows every name that there is.
    while edge
        .metric("vestibule_cache_entries{cache=\"names\"}")
        .await
        == 0.0
    {}
    let before = edge.metric(LOOKUPS).await;
    for name in [
        "localhost",
        "localhost.",
        "a.b.localhost",
        "metadata.internal",
        "router.lan",
        "www.localhost",
        "printer",
    ] {
        let answer = host(&edge, name.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "unknown_tenant"),
            "{name}"
        );
    }
    assert_eq!(edge.metric(LOOKUPS).await, before);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn c11_c12_c13_authority_and_host_agree_or_one_of_them_is_there() {
    let (upstream, edge) = echo().await;
    let refused: [&[(&str, &str)]; 7] = [
        &[],
        &[
            (":authority", "acme.localhost"),
            ("host", "globex.localhost"),
        ],
        &[
            (":authority", "acme.localhost"),
            ("host", "acme.localhost:81"),
        ],
        &[(":authority", "acme.localhost"), ("host", "")],
        &[("host", "acme.localhost"), ("host", "globex.localhost")],
        &[("host", "acme.localhost"), ("host", "acme.localhost")],
        &[
            (":authority", "acme.localhost"),
            ("host", "acme.localhost"),
            ("host", "acme.localhost"),
        ],
    ];
    for fields in refused {
        let outcome = streamed(&edge, fields).await;
        assert_eq!(outcome.status(), Some(400), "{fields:?}: {outcome:?}");
    }
    assert_eq!(upstream.connections(), 0);
    let served: [&[(&str, &str)]; 3] = [
        &[("host", "acme.localhost")],
        &[
            (":authority", "acme.localhost"),
            ("host", "ACME.localhost."),
        ],
        &[
            (":authority", "acme.localhost:80"),
            ("host", "acme.localhost"),
        ],
    ];
    for fields in served {
        let outcome = streamed(&edge, fields).await;
        assert_eq!(outcome.status(), Some(200), "{fields:?}: {outcome:?}");
        assert_eq!(tenant(&upstream).await, "acme");
    }
}
