//! Attacks B: what HTTP/2 can carry and an HTTP/1.1 upstream must never see.

use http::{HeaderMap, HeaderValue, Request};

use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::http2::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, Http2, Outcome, block,
};
use crate::harness::upstream::TestUpstream;

async fn echo() -> (TestUpstream, Edge) {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    (upstream, edge)
}

async fn frames(edge: &Edge) -> Frames<tokio::net::TcpStream> {
    Frames::open(edge.visit().await.into_inner()).await
}

/// The pseudo-fields of a request that nothing is wrong with.
const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "acme.localhost"),
];

/// What becomes of such a request with these fields behind its own.
async fn with(edge: &Edge, fields: &[(&str, &str)]) -> Outcome {
    frames(edge).await.request(&[&GET, fields].concat()).await
}

/// What becomes of such a request with one pseudo-field's value replaced.
async fn replaced(edge: &Edge, name: &str, value: &str) -> Outcome {
    let fields = GET.map(|field| {
        if field.0 == name {
            (field.0, value)
        } else {
            field
        }
    });
    frames(edge).await.request(&fields).await
}

#[tokio::test]
async fn a_sound_request_passes() {
    let (upstream, edge) = echo().await;
    assert_eq!(with(&edge, &[("x-a", "b")]).await.status(), Some(200));
    let seen = upstream.seen().await;
    assert_eq!(
        (seen.header("host"), seen.header("x-a")),
        (Some("acme.localhost"), Some("b"))
    );
    assert!(seen.raw.starts_with(b"GET / HTTP/1.1\r\n"));
    assert_eq!(seen.header("via"), Some("2 test-node"));
}

#[tokio::test]
async fn b1_no_field_holds_a_line_end() {
    let (upstream, edge) = echo().await;
    let fields = [
        ("x-a", "b\r\nx-tenant-id: evil"),
        ("x-a", "b\rc"),
        ("x-a", "b\nc"),
        ("x-a", "b\0c"),
        ("x-a\r\nx-tenant-id", "evil"),
        ("x-a\0", "b"),
        ("x-a:b", "c"),
        ("x a", "b"),
        ("X-A", "b"),
        ("", "b"),
    ];
    for field in fields {
        let outcome = with(&edge, &[field]).await;
        assert!(outcome.is_protocol_error(), "{field:?}: {outcome:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn b2_no_request_line_hides_in_a_pseudo_field() {
    let (upstream, edge) = echo().await;
    let paths = [
        "/ HTTP/1.1\r\nx-a: b",
        "/a b",
        "/a\nb",
        "",
        "acme",
        "http://globex.localhost/",
        "/\0",
    ];
    for path in paths {
        let outcome = replaced(&edge, ":path", path).await;
        let refused = outcome.is_protocol_error() || outcome.status() == Some(400);
        assert!(refused, "{path:?}: {outcome:?}");
    }
    for method in ["GET / HTTP/1.1\r\nx-a: b", "GET /a", "G T", "", "GET\0"] {
        let outcome = replaced(&edge, ":method", method).await;
        assert!(outcome.is_protocol_error(), "{method:?}: {outcome:?}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn b3_the_scheme_is_the_connections_and_the_path_a_path() {
    let (upstream, edge) = echo().await;
    for scheme in ["https", "ftp", "HTTPS", "javascript", "http+unix"] {
        let outcome = replaced(&edge, ":scheme", scheme).await;
        assert_eq!(outcome.status(), Some(400), "{scheme}: {outcome:?}");
    }
    for scheme in ["", "ht tp", "http://x/"] {
        let outcome = replaced(&edge, ":scheme", scheme).await;
        assert!(
            outcome.is_protocol_error() || outcome.status() == Some(400),
            "{scheme}: {outcome:?}"
        );
    }
    assert_eq!(replaced(&edge, ":path", "*").await.status(), Some(400));
    let options = [
        (":method", "OPTIONS"),
        (":scheme", "http"),
        (":path", "*"),
        (":authority", "acme.localhost"),
    ];
    assert_eq!(
        frames(&edge).await.request(&options).await.status(),
        Some(204)
    );
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn b4_values_do_not_start_or_end_with_space() {
    let (upstream, edge) = echo().await;
    for value in [" b", "b ", "\tb", "b\t", " "] {
        let outcome = with(&edge, &[("x-a", value)]).await;
        assert_eq!(outcome.status(), Some(400), "{value:?}: {outcome:?}");
    }
    assert_eq!(with(&edge, &[("x-a", "")]).await.status(), Some(200));
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn b5_fields_of_a_connection_are_malformed_here() {
    let (upstream, edge) = echo().await;
    let fields = [
        ("connection", "close"),
        ("connection", "x-tenant-id"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ];
    for field in fields {
        let outcome = with(&edge, &[field]).await;
        assert!(outcome.is_protocol_error(), "{field:?}: {outcome:?}");
    }
    assert_eq!(upstream.connections(), 0);
    assert_eq!(with(&edge, &[("te", "trailers")]).await.status(), Some(200));
    assert_eq!(upstream.seen().await.header("te"), Some("trailers"));
}

/// A POST with these lengths in its head and these bytes in its body.
async fn post(edge: &Edge, lengths: &[&str], body: &[u8]) -> Outcome {
    let mut fields = GET.to_vec();
    fields[0].1 = "POST";
    fields.extend(lengths.iter().map(|length| ("content-length", *length)));
    let mut frames = frames(edge).await;
    frames.frame(HEADERS, END_HEADERS, 1, &block(&fields)).await;
    frames.frame(DATA, END_STREAM, 1, body).await;
    frames.outcome(1).await
}

#[tokio::test]
async fn b6_the_length_is_the_bodys() {
    let (upstream, edge) = echo().await;
    assert_eq!(post(&edge, &["3"], b"abc").await.status(), Some(200));
    assert_eq!(upstream.seen().await.header("content-length"), Some("3"));
    let wrong: [&[&str]; 12] = [
        &["3", "3"],
        &["2"],
        &["4"],
        &["0"],
        &["+3"],
        &["-3"],
        &["3, 3"],
        &["0x3"],
        &[""],
        &["3", "4"],
        &["4", "3"],
        &["99999999999999999999"],
    ];
    for lengths in wrong {
        let outcome = post(&edge, lengths, b"abc").await;
        let refused = outcome.is_protocol_error() || outcome.status() == Some(400);
        assert!(refused, "{lengths:?}: {outcome:?}");
    }
    // Nothing that was wrong looked like a whole request to the upstream.
    let later = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/later", &[]))
        .await;
    assert_eq!(later.status, 200);
    assert_eq!(upstream.seen().await.target, "/later");
}

#[tokio::test]
async fn b7_pseudo_fields_come_once_first_and_are_known() {
    let (upstream, edge) = echo().await;
    for name in [":method", ":scheme", ":path", ":authority"] {
        let twice = GET.iter().find(|field| field.0 == name).unwrap();
        let outcome = with(&edge, &[*twice]).await;
        assert!(outcome.is_protocol_error(), "{name} twice: {outcome:?}");
    }
    for missing in [":method", ":scheme", ":path"] {
        let fields: Vec<_> = GET.into_iter().filter(|field| field.0 != missing).collect();
        let outcome = frames(&edge).await.request(&fields).await;
        assert!(
            outcome.is_protocol_error() || outcome.status() == Some(400),
            "no {missing}: {outcome:?}"
        );
    }
    for extra in [
        (":status", "200"),
        (":tenant", "evil"),
        (":protocol", "websocket"),
    ] {
        let outcome = with(&edge, &[extra]).await;
        assert!(outcome.is_protocol_error(), "{extra:?}: {outcome:?}");
    }
    let late = [GET[0], GET[1], GET[2], ("x-a", "b"), GET[3]];
    assert!(frames(&edge).await.request(&late).await.is_protocol_error());
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn b8_cookie_crumbs_become_one_field() {
    let (upstream, edge) = echo().await;
    let crumbs = [
        ("cookie", "a=1"),
        ("x-a", "b"),
        ("cookie", "b=2; c=3"),
        ("cookie", "d=4"),
    ];
    assert_eq!(with(&edge, &crumbs).await.status(), Some(200));
    assert_eq!(
        upstream.seen().await.header("cookie"),
        Some("a=1; b=2; c=3; d=4")
    );
    let lines = ["Cookie: a=1", "Cookie: b=2"];
    assert_eq!(
        edge.visit()
            .await
            .ask(get("acme.localhost", "/", &lines))
            .await
            .status,
        200
    );
    assert_eq!(upstream.seen().await.header("cookie"), Some("a=1; b=2"));
}

#[tokio::test]
async fn b9_d4_trailers_of_a_request_end_here() {
    let (upstream, edge) = echo().await;
    let names = [
        "x-tenant-id",
        "x-tenant-assertion",
        "host",
        "content-length",
        "authorization",
        "x-a",
    ];
    let mut trailers = HeaderMap::new();
    for name in names {
        trailers.insert(name, HeaderValue::from_static("7"));
    }
    let sound = Request::post("http://acme.localhost/").body(()).unwrap();
    let answer = Http2::over(edge.visit().await.into_inner())
        .await
        .send(sound, Some(b"abc"), Some(trailers))
        .await;
    assert_eq!(answer.status, 200);
    let seen = upstream.seen().await;
    assert_eq!(
        (seen.body.as_slice(), seen.trailers.len()),
        (b"abc".as_slice(), 0)
    );
    assert_eq!(seen.header("authorization"), None);

    let lines: String = names.iter().map(|name| format!("{name}: 7\r\n")).collect();
    let chunks = format!("3\r\nabc\r\n0\r\n{lines}\r\n");
    let chunked = [
        "Transfer-Encoding: chunked",
        "Trailer: X-Tenant-Id, Host",
        "TE: trailers",
        "Connection: TE",
    ];
    let answer = edge
        .visit()
        .await
        .ask(request(
            "POST",
            "acme.localhost",
            "/",
            &chunked,
            chunks.as_bytes(),
        ))
        .await;
    assert_eq!(answer.status, 200);
    let seen = upstream.seen().await;
    assert_eq!(
        (seen.body.as_slice(), seen.trailers.len()),
        (b"abc".as_slice(), 0)
    );
    assert_eq!(seen.header("trailer"), None);
    let ids = [seen.header("x-tenant-id"), seen.header("authorization")];
    assert!(ids[0].is_some_and(|id| id != "7") && ids[1].is_none());
}

#[tokio::test]
async fn b10_nobody_is_upgraded_to_http2() {
    let (upstream, edge) = echo().await;
    for lines in [
        &[
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ][..],
        &["Connection: Upgrade", "Upgrade: h2c"],
        &["Connection: Upgrade", "Upgrade: h2c, websocket"],
        &["Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"],
    ] {
        let mut visitor = edge.visit().await;
        visitor.write(get("acme.localhost", "/", lines)).await;
        assert_eq!(visitor.reply().await.status, 200, "{lines:?}");
        let seen = upstream.seen().await;
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(seen.header(name), None, "{lines:?}");
        }
    }
}

#[tokio::test]
async fn b11_connect_is_not_served_plain_or_extended() {
    let (upstream, edge) = echo().await;
    let connect = [(":method", "CONNECT"), (":authority", "acme.localhost:443")];
    assert_eq!(
        frames(&edge).await.request(&connect).await.status(),
        Some(405)
    );
    let extended = [
        &[(":method", "CONNECT"), (":protocol", "websocket")],
        &GET[1..],
    ]
    .concat();
    let outcome = frames(&edge).await.request(&extended).await;
    assert!(outcome.is_protocol_error(), "{outcome:?}");
    assert_eq!(
        replaced(&edge, ":method", "TRACE").await.status(),
        Some(405)
    );
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_refusal_of_one_stream_leaves_the_others() {
    let (upstream, edge) = echo().await;
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    for (host, status) in [
        ("nobody", 404),
        ("acme", 200),
        ("www", 404),
        ("globex", 200),
    ] {
        let request = Request::post(format!("http://{host}.localhost/"))
            .body(())
            .unwrap();
        let answer = visitor.send(request, Some(b"abc"), None).await;
        assert_eq!(answer.status, status, "{host}");
        assert_eq!(answer.header("connection"), None);
    }
    assert_eq!(upstream.requests().len(), 2);
}
