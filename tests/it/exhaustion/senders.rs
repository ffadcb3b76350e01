//! Visitors who stop sending: before a head, within it, within a body, or between two requests.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::closed_for;
use crate::certificates::Folder;
use crate::harness::client::{Visitor, get, request};
use crate::harness::edge::Edge;
use crate::harness::frames::{DATA, Frames, HEADERS, RST_STREAM, frame, post_frame};
use crate::harness::upstream::TestUpstream;

/// One time is short and all others are an hour, so that nothing is closed for another reason.
fn only_short(key: &str) -> String {
    let keys = ["head", "body", "idle", "write", "tunnel"];
    let times = keys.map(|other| {
        format!(
            "{other} = \"{}\"\n",
            if other == key { "150ms" } else { "1h" }
        )
    });
    format!("[edge.timeouts]\n{}", times.concat())
}

async fn edge(upstream: &TestUpstream, short: &str) -> Edge {
    let plan = Edge::with(upstream.address).config(&only_short(short));
    plan.tenants(&["acme"]).start().await
}

#[tokio::test]
async fn h1_h2_a_head_that_does_not_come_costs_a_connection_nothing_else() {
    let upstream = TestUpstream::echo();
    let edge = edge(&upstream, "head").await;
    for (count, sent) in [
        &b""[..],
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: acme.localhost\r\n",
    ]
    .into_iter()
    .enumerate()
    {
        let mut visitor = edge.visit().await;
        visitor.write(sent).await;
        assert_eq!(visitor.rest().await, b"", "a close and no more");
        closed_for(&edge, "head_timeout", (count + 1) as f64).await;
    }
    // Over HTTP/2 a preface promises requests as a byte does over HTTP/1; half a frame is half a head.
    let mut visitor = Frames::open(edge.http()).await;
    visitor.send(&frame(HEADERS, 0, 1, &[0x82])[..9]).await;
    visitor.rest().await;
    closed_for(&edge, "head_timeout", 4.0).await;
    assert_eq!(upstream.connections(), 0);
}

/// What came with the request before it is no idleness.
#[tokio::test]
async fn h2_half_a_head_behind_another_request_is_bounded() {
    let upstream = TestUpstream::echo();
    // Long enough for a whole request on a busy machine.
    let times = only_short("head").replace("150ms", "2s");
    let plan = Edge::with(upstream.address).config(&times);
    let edge = plan.tenants(&["acme"]).start().await;
    let mut visitor = edge.visit().await;
    let whole = get("acme.localhost", "/", &[]);
    let answer = visitor
        .ask([&whole[..], b"GET / HTTP/1.1\r\nHo"].concat())
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(visitor.rest().await, b"");
    closed_for(&edge, "head_timeout", 1.0).await;
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn h1_a_handshake_that_does_not_come_is_given_up() {
    let certificates = Folder::new().with("acme", &["acme.localhost"]);
    let directory = certificates.directory.path();
    let tls = format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}");
    let upstream = TestUpstream::echo();
    let plan = Edge::with(upstream.address).config(&format!("{tls}\n{}", only_short("head")));
    let edge = plan.start().await;
    // Nothing; the beginning of a record; a record with the beginning of a ClientHello.
    for sent in [&b""[..], &[22, 3, 1], &[22, 3, 1, 0, 5, 1, 0, 2, 0, 3]] {
        let mut visitor = Visitor::connect(edge.https()).await;
        visitor.write(sent).await;
        visitor.ended().await;
    }
    edge.until_metric("vestibule_tls_handshakes_total{result=\"timeout\"}", 3.0)
        .await;
    edge.until_metric("vestibule_open_connections", 0.0).await;
}

#[tokio::test]
async fn h2_a_head_that_drips_is_bounded_in_all() {
    let upstream = TestUpstream::echo();
    let edge = edge(&upstream, "head").await;
    let (mut reading, mut writing) = edge.visit().await.into_inner().into_split();
    let dripping = async {
        let begun = b"GET / HTTP/1.1\r\nHost: acme.localhost\r\nX-Long: ";
        for drop in begun.iter().chain(std::iter::repeat(&b'v')) {
            // Slow enough not to become too much: after each byte the edge is asked something else.
            if writing.write_all(&[*drop]).await.is_err() || edge.readiness().await != 200 {
                return;
            }
        }
    };
    let mut all = Vec::new();
    tokio::select! {
        _ = reading.read_to_end(&mut all) => {}
        () = dripping => {}
    }
    assert_eq!(all, b"");
    closed_for(&edge, "head_timeout", 1.0).await;
}

#[tokio::test]
async fn h3_a_body_that_stalls_is_a_408_and_the_upstream_is_let_go() {
    // Reads and never answers before the body is there.
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_head().await;
        connection.read_to_end().await;
    });
    let edge = edge(&upstream, "body").await;
    for lines in [&["Content-Length: 10"][..], &["Transfer-Encoding: chunked"]] {
        let begun: &[u8] = if lines[0].starts_with('C') {
            b"01234"
        } else {
            b"5\r\n01234\r\n"
        };
        let mut visitor = edge.visit().await;
        let answer = visitor
            .ask(request("POST", "acme.localhost", "/", lines, begun))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (408, "request_timeout")
        );
        visitor.ended().await;
        upstream.until_open(0).await;
    }
    assert_eq!(upstream.connections(), 2);
    assert_eq!(upstream.requests().len(), 0, "none was whole");
}

#[tokio::test]
async fn h3_a_stalled_stream_is_a_408_and_the_others_go_on() {
    let upstream = TestUpstream::echo();
    let edge = edge(&upstream, "body").await;
    let mut visitor = Frames::open(edge.http()).await;
    visitor
        .send(post_frame(1, "acme.localhost", "/stalled"))
        .await;
    visitor.send(frame(DATA, 0, 1, b"01234")).await;
    assert_eq!(visitor.next_of(HEADERS).await.stream, 1);
    edge.until_metric(
        "vestibule_http_requests_total{listener=\"http\",refusal=\"request_timeout\"",
        1.0,
    )
    .await;
    let whole = [
        post_frame(3, "acme.localhost", "/whole"),
        frame(DATA, 1, 3, b"x"),
    ];
    visitor.send(whole.concat()).await;
    let head = loop {
        let frame = visitor.next().await.unwrap();
        if frame.stream == 3 && matches!(frame.kind, HEADERS | RST_STREAM) {
            break frame;
        }
    };
    assert_eq!(head.kind, HEADERS);
    assert_eq!(upstream.seen().await.target, "/whole");
}

#[tokio::test]
async fn h13_idle_connections_are_closed_and_new_visitors_served_meanwhile() {
    const IDLE: usize = 200;
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[edge.timeouts]\nidle = \"2s\"\n[limits]\nconnections_per_ip = 1000")
        .tenants(&["acme"])
        .start()
        .await;
    let mut idle: Vec<Visitor> = Vec::new();
    for _ in 0..IDLE {
        let mut visitor = edge.visit().await;
        assert_eq!(
            visitor.ask(get("acme.localhost", "/", &[])).await.status,
            200
        );
        idle.push(visitor);
    }
    let mut late = edge.visit().await;
    assert_eq!(late.ask(get("acme.localhost", "/", &[])).await.status, 200);
    for visitor in &mut idle {
        visitor.ended().await;
    }
    late.ended().await;
    closed_for(&edge, "idle", (IDLE + 1) as f64).await;
    edge.until_metric("vestibule_open_connections", 0.0).await;
}
