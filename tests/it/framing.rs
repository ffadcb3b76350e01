//! Attacks A: what a request's bytes may look like over HTTP/1.1, and that nothing behind a bad one is ever executed.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use crate::harness::client::{Answer, get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::{Seen, TestUpstream};

mod bodies;
mod early;
mod exchange;
mod limits;
mod streaming;

/// What an attacker wants to have executed behind the request that is looked at.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: acme.localhost\r\n\r\n";

async fn echo() -> (TestUpstream, Edge) {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    (upstream, edge)
}

/// The one answer to these bytes on a connection of their own, which is closed behind it.
async fn only_answer(edge: &Edge, bytes: &[u8]) -> Answer {
    let mut visitor = edge.visit().await;
    let answer = visitor.ask(bytes).await;
    let behind = visitor.rest().await;
    assert_eq!(
        String::from_utf8_lossy(&behind),
        "",
        "behind the answer to {}",
        String::from_utf8_lossy(bytes)
    );
    answer
}

/// Sends each of these with another request behind it: all are refused with 400, closed, and nothing reaches the upstream.
async fn refused(
    edge: &Edge,
    upstream: &TestUpstream,
    requests: impl IntoIterator<Item = Vec<u8>>,
) {
    for mut bytes in requests {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        bytes.extend_from_slice(SMUGGLED.as_bytes());
        assert_eq!(only_answer(edge, &bytes).await.status, 400, "{shown}");
    }
    assert_eq!(upstream.connections(), 0);
}

/// A POST to acme with these lines in its head.
fn post(lines: &[&str], body: &str) -> Vec<u8> {
    request("POST", "acme.localhost", "/", lines, body.as_bytes())
}

/// The one request that the upstream saw.
fn the_only(upstream: &TestUpstream) -> Seen {
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1, "{requests:#?}");
    requests.into_iter().next().unwrap()
}

#[tokio::test]
async fn a1_length_and_coding_together_are_refused() {
    let (upstream, edge) = echo().await;
    let lines = [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
    ];
    let requests = lines.map(|lines| post(&lines, "3\r\nabc\r\n0\r\n\r\n"));
    refused(&edge, &upstream, requests).await;
}

#[tokio::test]
async fn a2_a4_a_length_that_is_not_one_number_is_refused() {
    let (upstream, edge) = echo().await;
    let different = post(&["Content-Length: 3", "Content-Length: 4"], "abcd");
    let lengths = [
        "3, 3",
        "3,4",
        "+3",
        "-1",
        "0x3",
        "3 3",
        "",
        "3;",
        "18446744073709551616",
        "99999999999999999999999",
    ];
    let lengths = lengths.map(|length| post(&[&format!("Content-Length: {length}")], "abc"));
    refused(&edge, &upstream, lengths.into_iter().chain([different])).await;
}

#[tokio::test]
async fn a3_a_length_that_is_said_twice_goes_on_once() {
    let (upstream, edge) = echo().await;
    let answer = edge
        .visit()
        .await
        .ask(post(&["Content-Length: 3", "Content-Length: 3"], "abc"))
        .await;
    assert_eq!(answer.status, 200);
    let seen = the_only(&upstream);
    assert_eq!(
        (seen.header("content-length"), seen.body.as_slice()),
        (Some("3"), b"abc".as_slice())
    );
}

#[tokio::test]
async fn a5_a6_only_chunked_is_a_coding() {
    let (upstream, edge) = echo().await;
    let codings = [
        "gzip, chunked",
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "gzip",
        "identity",
        "xchunked",
        "chunked, identity",
        "\"chunked\"",
        "\x0bchunked",
        "chunked;q=1",
        "",
    ];
    let codings =
        codings.map(|coding| post(&[&format!("Transfer-Encoding: {coding}")], "0\r\n\r\n"));
    let twice = post(
        &["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        "0\r\n\r\n",
    );
    refused(&edge, &upstream, codings.into_iter().chain([twice])).await;
    let answer = edge
        .visit()
        .await
        .ask(post(&["Transfer-Encoding: CHUNKED"], "1\r\na\r\n0\r\n\r\n"))
        .await;
    assert_eq!(answer.status, 200);
    let seen = the_only(&upstream);
    assert_eq!(
        (seen.header("transfer-encoding"), seen.body.as_slice()),
        (Some("chunked"), b"a".as_slice())
    );
}

#[tokio::test]
async fn a7_to_a10_lines_that_are_no_fields_are_refused() {
    let (upstream, edge) = echo().await;
    let lines: [&[u8]; 14] = [
        b"Transfer-Encoding : chunked",
        b"Content-Length\t: 3",
        b"X-A : b",
        b"X-A: b\r\n folded",
        b" X-A: b",
        b"X-A: b\rX-B: c",
        b"X-A: b\0c",
        b"X\0A: b",
        b"X\rA: b",
        b": empty",
        b"no colon",
        b"X-\xc3\xa4: b",
        b"X A: b",
        b"X(A): b",
    ];
    let lines = lines.map(|line| {
        [
            b"POST / HTTP/1.1\r\nHost: acme.localhost\r\n",
            line,
            b"\r\n\r\n",
        ]
        .concat()
    });
    let old =
        b"POST / HTTP/1.0\r\nHost: acme.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_vec();
    refused(&edge, &upstream, lines.into_iter().chain([old])).await;
}

#[tokio::test]
async fn a11_bare_line_feeds_in_a_head_are_refused() {
    let (upstream, edge) = echo().await;
    let heads = [
        "\nGET /lf HTTP/1.1\r\nHost: acme.localhost\r\n\r\n",
        "GET /lf HTTP/1.1\nHost: acme.localhost\r\n\r\n",
        "GET /lf HTTP/1.1\r\nHost: acme.localhost\nX-A: b\r\n\r\n",
        "GET /lf HTTP/1.1\r\nHost: acme.localhost\r\nX-A: b\n\r\n",
        "GET /lf HTTP/1.1\r\nHost: acme.localhost\r\nX-A: b\r\n\n",
        "GET /lf HTTP/1.1\nHost: acme.localhost\nX-A: b\n\n",
    ];
    refused(&edge, &upstream, heads.map(|head| head.as_bytes().to_vec())).await;
}

/// Clients of old send an empty line behind a body (RFC 9112 section 2.2).
#[tokio::test]
async fn empty_lines_before_a_request_are_skipped() {
    let (upstream, edge) = echo().await;
    let mut visitor = edge.visit().await;
    for lines in ["", "\r\n", "\r\n\r\n"] {
        let head = [lines.as_bytes(), &get("acme.localhost", "/", &[])].concat();
        assert_eq!(visitor.ask(head).await.status, 200);
    }
    assert_eq!(upstream.requests().len(), 3);
}

/// What cannot be read is refused like everything else: told, counted, logged.
#[tokio::test]
async fn what_is_no_request_is_refused_as_any_other() {
    let (_upstream, edge) = echo().await;
    let unreadable = [
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "\u{16}\u{3}\u{1}\u{2}",
        "GET / HTTP/1.1\r\nHost: acme.localhost\r\na b: c\r\n\r\n",
    ];
    for bytes in unreadable {
        let answer = only_answer(&edge, bytes.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request")
        );
        assert_eq!(answer.header("connection"), Some("close"));
        for field in ["x-request-id", "proxy-status", "date"] {
            assert!(answer.header(field).is_some(), "{field}");
        }
    }
    for line in edge.access_lines(unreadable.len()).await {
        assert_eq!((&line["method"], &line["path"]), (&"-".into(), &"*".into()));
        assert_eq!(line["refusal"], "bad_request");
        assert!(line["reason"].as_str().unwrap().contains("malformed"));
    }
    let series = "vestibule_http_requests_total{listener=\"http\",refusal=\"bad_request\"";
    edge.until_metric(series, unreadable.len() as f64).await;
}

#[tokio::test]
async fn a20_lines_that_are_no_request_line_are_refused() {
    let (upstream, edge) = echo().await;
    let lines = [
        "GET /",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / HTTP/3",
        "GET / http/1.1",
        "GET / HTTP/1.1 ",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET HTTP/1.1",
        "G\u{e4}T / HTTP/1.1",
        "/ HTTP/1.1",
    ];
    for line in lines {
        let bytes = format!("{line}\r\nHost: acme.localhost\r\n\r\n{SMUGGLED}");
        let status = only_answer(&edge, bytes.as_bytes()).await.status;
        assert!(matches!(status, 400 | 505), "{status} for {line}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a21_the_asterisk_is_for_options_which_asks_no_tenant() {
    let (upstream, edge) = echo().await;
    for method in ["PRI", "GET", "POST", "HEAD"] {
        let mut visitor = edge.visit().await;
        visitor
            .write(format!(
                "{method} * HTTP/1.1\r\nHost: acme.localhost\r\n\r\n"
            ))
            .await;
        assert_eq!(
            visitor.reply_to(method).await.unwrap().status,
            400,
            "{method}"
        );
    }
    let mut visitor = edge.visit().await;
    for host in ["acme.localhost", "nobody.localhost", "never.heard.test"] {
        let answer = visitor
            .ask(format!("OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 204, "{host}");
        assert!(answer.header("allow").unwrap().contains("OPTIONS"));
    }
    assert_eq!(
        visitor
            .ask("OPTIONS * HTTP/1.1\r\nHost: a/b\r\n\r\n")
            .await
            .status,
        400
    );
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn trace_and_connect_are_not_served() {
    let (upstream, edge) = echo().await;
    let requests = [
        get("acme.localhost", "/", &["Max-Forwards: 0"])
            .iter()
            .skip(3)
            .copied()
            .collect::<Vec<u8>>(),
        b" acme.localhost:443 HTTP/1.1\r\nHost: acme.localhost:443\r\n\r\n".to_vec(),
    ];
    for (method, rest) in ["TRACE", "CONNECT"].into_iter().zip(requests) {
        let answer = edge
            .visit()
            .await
            .ask([method.as_bytes(), &rest].concat())
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (405, "method_not_allowed"),
            "{method}"
        );
        assert!(answer.header("allow").is_some());
    }
    assert_eq!(upstream.connections(), 0);
}
