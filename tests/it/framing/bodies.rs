//! Bodies: chunks that are none, chunks with more than data, requests hidden in bodies that nobody reads.

use super::{SMUGGLED, echo, only_answer, post, the_only};
use crate::certificates::Folder;
use crate::harness::client::request;
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

const CHUNKED: &[&str] = &["Transfer-Encoding: chunked"];

#[tokio::test]
async fn a12_a14_a_chunk_that_is_none_ends_both_connections() {
    let (upstream, edge) = echo().await;
    let bodies = [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3\t\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\n\n",
        "3\r\nabc\r\n0\r\n\n",
    ];
    for body in bodies {
        let answer = only_answer(&edge, &post(CHUNKED, &format!("{body}{SMUGGLED}"))).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "bad_request"),
            "{body:?}"
        );
        // Whatever the upstream was told so far, it was not the end of a request.
        upstream.until_open(0).await;
    }
    assert!(upstream.requests().is_empty(), "{:#?}", upstream.requests());
}

#[tokio::test]
async fn a13_what_stands_beside_a_chunk_size_never_goes_on() {
    let (upstream, edge) = echo().await;
    let body = "3;name=value\r\nabc\r\n2 ; x\r\nde\r\n0;last\r\n\r\n";
    assert_eq!(
        edge.visit().await.ask(post(CHUNKED, body)).await.status,
        200
    );
    let seen = the_only(&upstream);
    assert_eq!(seen.body, b"abcde");
    let raw = String::from_utf8(seen.raw).unwrap();
    let (_, body) = raw.split_once("\r\n\r\n").unwrap();
    assert!(!body.contains([';', ' ']), "{body:?}");
}

#[tokio::test]
async fn trailers_have_at_most_16_fields_and_4_kib() {
    let (upstream, edge) = echo().await;
    let section = |count: usize, size: usize| {
        let lines = (0..count).map(|number| format!("x-{number}: {}\r\n", "v".repeat(size)));
        format!("0\r\n{}\r\n", lines.collect::<String>())
    };
    assert_eq!(
        edge.visit()
            .await
            .ask(post(CHUNKED, &section(16, 100)))
            .await
            .status,
        200
    );
    assert!(upstream.seen().await.trailers.is_empty());
    for (count, size) in [(17, 1), (4, 2000), (1, 5000)] {
        let answer = only_answer(&edge, &post(CHUNKED, &section(count, size))).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (431, "headers_too_large")
        );
    }
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn a13_endless_chunk_extensions_are_refused() {
    let (upstream, edge) = echo().await;
    let body = format!("3;{}\r\nabc\r\n0\r\n\r\n{SMUGGLED}", "x".repeat(20 * 1024));
    assert_eq!(only_answer(&edge, &post(CHUNKED, &body)).await.status, 400);
    upstream.until_open(0).await;
    assert!(upstream.requests().is_empty());
}

/// Hides a request in the body of one that is answered without reading it, on each of these; then asks for something harmless.
#[tokio::test]
async fn a15_a_request_hidden_in_a_body_that_nobody_reads_is_not_executed() {
    let folder = Folder::new().with("globex", &["globex.localhost"]);
    let upstream = TestUpstream::echo();
    let config = format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\nprobe_path = \"/healthz\"\n[tls]\ndirectory = {:?}\n",
        folder.directory.path()
    );
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .config(&config)
        .start()
        .await;
    let length = format!("Content-Length: {}", SMUGGLED.len());
    let unread = [
        ("POST", "nobody.localhost", "/", 404),
        ("GET", "nobody.localhost", "/", 404),
        ("POST", "globex.localhost", "/", 308),
        ("GET", "acme.localhost", "/healthz", 200),
        (
            "GET",
            "acme.localhost",
            "/.well-known/vestibule/jwks.json",
            200,
        ),
        ("OPTIONS", "acme.localhost", "*", 204),
        ("TRACE", "acme.localhost", "/", 405),
    ];
    for (method, host, path, status) in unread {
        let mut visitor = edge.visit().await;
        let answer = visitor
            .ask(request(method, host, path, &[&length], SMUGGLED.as_bytes()))
            .await;
        assert_eq!(answer.status, status, "{method} {host} {path}");
        // Closed, or the body was skipped and the next request is the next.
        visitor
            .write("GET /after HTTP/1.1\r\nHost: acme.localhost\r\nConnection: close\r\n\r\n")
            .await;
        if let Some(answer) = visitor.reply_to("GET").await {
            assert_eq!(answer.json()["target"], "/after", "{method} {host} {path}");
        }
        assert_eq!(visitor.rest().await, b"");
    }
    assert!(
        upstream
            .requests()
            .iter()
            .all(|seen| seen.target == "/after"),
        "{:#?}",
        upstream.requests()
    );
}

/// As above, with the hidden request coming only after the answer.
#[tokio::test]
async fn a15_a_body_that_comes_late_is_not_executed_either() {
    let (upstream, edge) = echo().await;
    let length = format!("Content-Length: {}", SMUGGLED.len());
    let mut visitor = edge.visit().await;
    assert_eq!(
        visitor
            .ask(request("POST", "nobody.localhost", "/", &[&length], b""))
            .await
            .status,
        404
    );
    visitor.write(SMUGGLED).await;
    assert_eq!(visitor.rest().await, b"");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a18_bodies_of_methods_that_seldom_have_one_keep_their_framing() {
    let (upstream, edge) = echo().await;
    let mut visitor = edge.visit().await;
    for method in ["GET", "DELETE", "HEAD", "OPTIONS"] {
        visitor
            .write(request(
                method,
                "acme.localhost",
                "/",
                &["Content-Length: 3"],
                b"abc",
            ))
            .await;
        assert_eq!(
            visitor.reply_to(method).await.unwrap().status,
            200,
            "{method}"
        );
        let seen = upstream.seen().await;
        assert_eq!(
            (seen.method.as_str(), seen.header("content-length")),
            (method, Some("3"))
        );
        assert_eq!(
            (seen.header("transfer-encoding"), seen.body.as_slice()),
            (None, b"abc".as_slice())
        );

        visitor
            .write(request(
                method,
                "acme.localhost",
                "/",
                CHUNKED,
                b"3\r\nabc\r\n0\r\n\r\n",
            ))
            .await;
        assert_eq!(
            visitor.reply_to(method).await.unwrap().status,
            200,
            "{method}"
        );
        let seen = upstream.seen().await;
        assert_eq!(
            (
                seen.header("content-length"),
                seen.header("transfer-encoding")
            ),
            (None, Some("chunked"))
        );
        assert_eq!(seen.body, b"abc", "{method}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_a_request() {
    let (upstream, edge) = echo().await;
    for (lines, body) in [
        (&["Content-Length: 10"][..], "abc"),
        (CHUNKED, "3\r\nabc\r\n"),
    ] {
        let mut visitor = edge.visit().await;
        visitor.write(post(lines, body)).await;
        upstream.until_open(1).await;
        drop(visitor);
        upstream.until_open(0).await;
    }
    assert!(upstream.requests().is_empty(), "{:#?}", upstream.requests());
}

#[tokio::test]
async fn d3_a_length_that_connection_nominates_frames_the_body_all_the_same() {
    let (upstream, edge) = echo().await;
    for nominated in [
        "content-length",
        "Content-Length, host",
        "transfer-encoding, CONTENT-LENGTH",
    ] {
        let connection = format!("Connection: {nominated}");
        let length = format!("Content-Length: {}", SMUGGLED.len());
        let bytes = post(&[&connection, &length], SMUGGLED);
        assert_eq!(
            edge.visit().await.ask(bytes).await.status,
            200,
            "{nominated}"
        );
        let chunk = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
        let bytes = post(&[&connection, CHUNKED[0]], &chunk);
        assert_eq!(
            edge.visit().await.ask(bytes).await.status,
            200,
            "{nominated}"
        );
    }
    let seen = upstream.requests();
    assert_eq!(seen.len(), 6);
    for seen in seen {
        assert_eq!(seen.body, SMUGGLED.as_bytes());
        let framings = ["content-length", "transfer-encoding"];
        let framings = framings.iter().filter(|name| seen.header(name).is_some());
        assert_eq!(framings.count(), 1);
    }
}
