//! Visitors who send HTTP/2 frames for their own sake: the edge ends it, the upstream hardly notices, others are served.

use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, Frame, Frames, HEADERS,
    PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, ask_h2, block, field, frame, get_frame,
    goaway, post_frame,
};
use crate::harness::upstream::{Reply, TestUpstream};

/// Far more than any of the limits, and little enough to be over soon.
const MANY: usize = 5000;
const HOST: &str = "acme.localhost";

/// Answers only `/`, and notices when the edge gives anything else up.
fn upstream() -> TestUpstream {
    TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            if seen.target != "/" {
                connection.read_to_end().await;
                return;
            }
            let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            connection.write(ok).await;
        }
    })
}

async fn edge(upstream: &TestUpstream) -> Edge {
    let plan = Edge::with(upstream.address).tenants(&["acme"]);
    plan.start().await
}

/// Whoever floods is gone, nothing of it is left, and everybody else is served.
async fn assert_over(edge: &Edge, upstream: &TestUpstream) {
    edge.until_metric("vestibule_in_flight_requests", 0.0).await;
    edge.until_metric("vestibule_open_connections", 0.0).await;
    upstream.until_open(0).await;
    let answer = edge.visit().await.ask(get(HOST, "/", &[])).await;
    assert_eq!(answer.status, 200);
}

async fn closed_for(edge: &Edge, reason: &str) {
    let series = format!("vestibule_connections_closed_total{{reason=\"{reason}\"}}");
    edge.until_metric(&series, 1.0).await;
}

/// A request; `number` counts from 0.
fn begun(number: u32) -> Vec<u8> {
    get_frame(2 * number + 1, HOST, "/wait")
}

/// That the visitor does not want its answer any more.
fn given_up(number: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, 2 * number + 1, &CANCEL.to_be_bytes())
}

#[tokio::test]
async fn h6_rapid_reset_in_one_breath_is_told_to_calm_down() {
    let upstream = upstream();
    let edge = edge(&upstream).await;
    let mut visitor = Frames::open(edge.http()).await;
    let flood: Vec<u8> = (0..2000)
        .flat_map(|number| [begun(number), given_up(number)].concat())
        .collect();
    visitor.send(flood).await;
    let received = visitor.rest().await;
    assert_eq!(goaway(&received), Some(ENHANCE_YOUR_CALM));
    assert_over(&edge, &upstream).await;
    assert!(upstream.connections() < 600, "{}", upstream.connections());
}

#[tokio::test]
async fn h6_rapid_reset_one_by_one_is_told_to_calm_down_too() {
    let upstream = upstream();
    let edge = edge(&upstream).await;
    let mut visitor = Frames::open(edge.http()).await;
    // Each has reached the upstream before it is given up, so that the codec has nothing to complain of.
    for batch in 0..25 {
        let numbers = || 20 * batch..20 * (batch + 1);
        let begun: Vec<u8> = numbers().flat_map(begun).collect();
        assert!(visitor.send(begun).await);
        for _ in numbers() {
            upstream.seen().await;
        }
        let given_up: Vec<u8> = numbers().flat_map(given_up).collect();
        assert!(visitor.send(given_up).await);
    }
    let last = [begun(500), given_up(500)].concat();
    visitor.send(last).await;
    let received = visitor.rest().await;
    assert_eq!(goaway(&received), Some(ENHANCE_YOUR_CALM));
    closed_for(&edge, "reset_flood").await;
    assert_over(&edge, &upstream).await;
}

#[tokio::test]
async fn h7_a_visitor_who_makes_the_edge_reset_streams_is_sent_away() {
    let overflow = 0x7fff_ffff_u32.to_be_bytes();
    for increment in [[0; 4], overflow] {
        let upstream = upstream();
        let edge = edge(&upstream).await;
        let mut visitor = Frames::open(edge.http()).await;
        for number in 0..2000 {
            let stream = 2 * number + 1;
            let provoked = frame(WINDOW_UPDATE, 0, stream, &increment);
            if !visitor
                .send([get_frame(stream, HOST, "/wait"), provoked].concat())
                .await
            {
                break;
            }
        }
        let received = visitor.rest().await;
        assert!(goaway(&received).is_some(), "{increment:?}");
        assert_over(&edge, &upstream).await;
        assert!(upstream.connections() < 600, "{}", upstream.connections());
    }
}

#[tokio::test]
async fn h8_a_header_block_without_end_is_cut() {
    let start = frame(HEADERS, END_STREAM, 1, &block("GET", HOST, "/wait"));
    for piece in [
        &b""[..],
        &field("x-a", "b"),
        &field("x-long", &"v".repeat(8000)),
    ] {
        let upstream = upstream();
        let edge = edge(&upstream).await;
        let mut visitor = Frames::open(edge.http()).await;
        visitor.send(&start).await;
        let continuation = frame(CONTINUATION, 0, 1, piece);
        visitor.flood(&continuation, MANY).await;
        let received = visitor.rest().await;
        assert!(goaway(&received).is_some(), "{} bytes", piece.len());
        assert_over(&edge, &upstream).await;
        assert_eq!(upstream.requests().len(), 1, "only that of the check");
    }
}

#[tokio::test]
async fn h9_a_bomb_of_references_is_refused() {
    let upstream = upstream();
    let edge = edge(&upstream).await;
    let mut visitor = Frames::open(edge.http()).await;
    // A field of 4000 bytes that is kept in the table (RFC 7541 section 6.2.1), then named 12,000 times with one byte each.
    let mut kept = field("x-bomb", &"v".repeat(4000));
    kept[0] = 0x40;
    let bomb = [block("GET", HOST, "/bomb"), kept, vec![0xbe; 12_000]].concat();
    assert!(bomb.len() > 16_000);
    let (first, rest) = bomb.split_at(16_000);
    let sent = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, rest),
    ];
    visitor.send(sent.concat()).await;
    let refused = loop {
        match visitor.next().await {
            Some(frame) if matches!(frame.kind, HEADERS | RST_STREAM) => break frame.stream == 1,
            Some(frame) if goaway(std::slice::from_ref(&frame)).is_some() => break true,
            Some(_) => {}
            None => break true,
        }
    };
    assert!(refused);
    drop(visitor);
    assert_over(&edge, &upstream).await;
    assert_eq!(upstream.requests().len(), 1, "only that of the check");
}

#[tokio::test]
async fn h10_frames_that_carry_nothing_are_counted() {
    let one = 1_u32.to_be_bytes();
    for (frame, reason) in [
        (frame(PING, 0, 0, &[0; 8]), "ping_flood"),
        (frame(PING, 1, 0, &[0; 8]), "ping_flood"),
        (frame(SETTINGS, 0, 0, &[]), "settings_flood"),
        (frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), "priority_flood"),
        (frame(WINDOW_UPDATE, 0, 0, &one), "window_update_flood"),
        (frame(WINDOW_UPDATE, 0, 1, &one), "window_update_flood"),
        (frame(0xfa, 0, 0, &[]), "unknown_flood"),
    ] {
        let upstream = upstream();
        let edge = edge(&upstream).await;
        let mut visitor = Frames::open(edge.http()).await;
        visitor.send(get_frame(1, HOST, "/wait")).await;
        upstream.seen().await;
        visitor.send(frame.repeat(MANY)).await;
        let received = visitor.rest().await;
        assert_eq!(goaway(&received), Some(ENHANCE_YOUR_CALM), "{reason}");
        closed_for(&edge, reason).await;
        assert_over(&edge, &upstream).await;
    }
}

#[tokio::test]
async fn h11_data_without_bytes_is_no_progress() {
    let upstream = upstream();
    let edge = edge(&upstream).await;
    let mut visitor = Frames::open(edge.http()).await;
    visitor.send(post_frame(1, HOST, "/upload")).await;
    let empty = frame(DATA, 0, 1, &[]).repeat(100);
    visitor.flood(&empty, MANY).await;
    let received: Vec<Frame> = visitor.rest().await;
    assert!(goaway(&received).is_some());
    assert_over(&edge, &upstream).await;
}

#[tokio::test]
async fn ordinary_use_is_no_flood() {
    let large = "x".repeat(2 << 20);
    let upstream = TestUpstream::answering(move |_| Reply::text(&large));
    let edge = edge(&upstream).await;
    // A well-behaved client opens its window again and again.
    for _ in 0..3 {
        let request = http::Request::get("http://acme.localhost/").body(());
        let answer = ask_h2(edge.http(), request.unwrap(), b"").await;
        assert_eq!((answer.status, answer.body.len()), (200, 2 << 20));
        assert!(answer.complete);
    }
    // Nor are a few dozen pages that somebody closes before they are there.
    let mut visitor = Frames::open(edge.http()).await;
    for number in 0..15 {
        assert!(
            visitor
                .send([begun(number), given_up(number)].concat())
                .await
        );
    }
    visitor.send(get_frame(99, HOST, "/")).await;
    assert_eq!(visitor.next_of(HEADERS).await.stream, 99);
}
