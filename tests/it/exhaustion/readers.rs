//! Visitors who stop reading: the upstream waits with them, and in the end they are closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

use super::closed_for;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::frames::{Frames, RST_STREAM, frame, get_frame};
use crate::harness::upstream::TestUpstream;

const MIB: usize = 1 << 20;
/// Far more than all the buffers on the way hold together.
const LARGE: usize = 64 * MIB;

/// An upstream whose every answer is [`LARGE`], and how much of all of them it could write.
fn large() -> (TestUpstream, Arc<AtomicUsize>) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let upstream = TestUpstream::script(move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            connection.keep_little();
            connection.read_request().await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
            connection.write(head.as_bytes()).await;
            let piece = vec![b'x'; 16 * 1024];
            for _ in 0..LARGE / piece.len() {
                if !connection.wrote(&piece).await {
                    return;
                }
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
        }
    });
    (upstream, written)
}

async fn edge(upstream: &TestUpstream) -> Edge {
    let times = "[edge.timeouts]\nwrite = \"500ms\"\nidle = \"1h\"\nhead = \"1h\"\nbody = \"1h\"";
    let plan = Edge::with(upstream.address).config(times);
    plan.tenants(&["acme"]).start().await
}

/// A visitor whose own buffers are small.
async fn narrow(edge: &Edge) -> Visitor {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    Visitor::over(socket.connect(edge.http()).await.unwrap())
}

#[tokio::test]
async fn h4_a_reader_that_stops_holds_the_upstream_back_and_is_closed() {
    let (upstream, written) = large();
    let edge = edge(&upstream).await;
    let mut visitor = narrow(&edge).await;
    visitor.write(get("acme.localhost", "/", &[])).await;
    closed_for(&edge, "write_stall", 1.0).await;
    // The upstream hears of it too.
    upstream.until_open(0).await;
    let written = written.load(Ordering::SeqCst);
    assert!(written < 4 * MIB, "{written} bytes were read for nobody");
    let answer = visitor.reply().await;
    assert!(!answer.complete);
    let line = &edge.access_lines(1).await[0];
    assert_eq!(
        (&line["status"], &line["complete"]),
        (&200.into(), &false.into())
    );
}

#[tokio::test]
async fn h4_a_reader_that_is_slow_gets_everything() {
    let (upstream, _) = large();
    let edge = edge(&upstream).await;
    let mut visitor = narrow(&edge).await;
    visitor.write(get("acme.localhost", "/", &[])).await;
    let mut total = 0;
    // Pauses shorter than the limit, more of them than the limit in all.
    for _ in 0..16 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        total += visitor.take(16 * 1024).await.len();
    }
    assert!(total > 0);
    assert!(visitor.at_least(LARGE - total).await, "all of it came");
}

#[tokio::test]
async fn h12_a_hundred_answers_behind_shut_windows_wait_outside() {
    let (upstream, written) = large();
    let edge = edge(&upstream).await;
    // SETTINGS_INITIAL_WINDOW_SIZE: nothing, or a byte.
    for (index, window) in [0, 1_u8].into_iter().enumerate() {
        written.store(0, Ordering::SeqCst);
        let mut visitor = Frames::open_with(edge.http(), &[0, 4, 0, 0, 0, window]).await;
        let requests = (0..100).flat_map(|n| get_frame(2 * n + 1, "acme.localhost", "/"));
        visitor.send(requests.collect::<Vec<u8>>()).await;
        closed_for(&edge, "stream_stall", (index + 1) as f64).await;
        upstream.until_open(0).await;
        let written = written.load(Ordering::SeqCst);
        // Each may fill the socket between upstream and edge, and one buffer; none goes further.
        assert!(written < 64 * MIB, "{written} bytes were read for nobody");
        visitor.rest().await;
    }
    edge.until_metric("vestibule_in_flight_requests", 0.0).await;
}

#[tokio::test]
async fn h12_one_shut_stream_does_not_hold_up_another() {
    let (upstream, _) = large();
    let edge = edge(&upstream).await;
    let mut visitor = Frames::open_with(edge.http(), &[0, 4, 0, 0, 0, 0]).await;
    visitor.send(get_frame(1, "acme.localhost", "/")).await;
    upstream.seen().await;
    visitor.send(get_frame(3, "nobody.localhost", "/")).await;
    // Its window is shut too, but its head is not under flow control.
    loop {
        let next = visitor.next().await.unwrap();
        if next.stream == 3 {
            break;
        }
    }
    visitor.send(frame(RST_STREAM, 0, 3, &[0, 0, 0, 8])).await;
    visitor.send(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).await;
    upstream.until_open(0).await;
    edge.until_metric("vestibule_in_flight_requests", 0.0).await;
}
