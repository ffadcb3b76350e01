//! Visitors who stop reading: the upstream waits with them, and in the end they are closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

use super::closed_for;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::frames::{CANCEL, DATA, Frames, RST_STREAM, WINDOW_UPDATE, frame, get_frame};
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
    // How slow it may be is for the unit tests of the wrapper, whose time does not run by itself.
    let (upstream, written) = large();
    let plan = Edge::with(upstream.address).config("[edge.timeouts]\nwrite = \"1h\"");
    let edge = plan.tenants(&["acme"]).start().await;
    let mut visitor = narrow(&edge).await;
    visitor.write(get("acme.localhost", "/", &[])).await;
    let mut total = 0;
    // The upstream stands still meanwhile: it has more to say than all the buffers on the way hold.
    while total < MIB {
        total += visitor.take(16 * 1024).await.len();
        let written = written.load(Ordering::SeqCst);
        assert!(
            written < total + 16 * MIB,
            "{written} of which {total} were taken"
        );
    }
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
        // Each is ended by itself, however many there are.
        for _ in 0..100 {
            assert_eq!(visitor.next_of(RST_STREAM).await.code(), Some(CANCEL));
        }
        let ended = 100.0 * (index + 1) as f64;
        edge.until_metric("vestibule_streams_stalled_total", ended)
            .await;
        upstream.until_open(0).await;
        let written = written.load(Ordering::SeqCst);
        // Each may fill the socket between upstream and edge, and one buffer; none goes further.
        assert!(written < 64 * MIB, "{written} bytes were read for nobody");
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

#[tokio::test]
async fn h4_a_stream_that_is_not_read_ends_alone() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            match seen.target.as_str() {
                "/waits" => connection.signal().await,
                "/large" => {
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
                    connection.write(head.as_bytes()).await;
                    return connection.pour(&[b'x'; 16 * 1024]).await;
                }
                _ => {}
            }
            let body = "x".repeat(100);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            connection.write((head + &body).as_bytes()).await;
        }
    });
    let edge = edge(&upstream).await;
    // Fifty bytes of each answer may be sent, and no more.
    let mut visitor = Frames::open_with(edge.http(), &[0, 4, 0, 0, 0, 50]).await;
    visitor.send(get_frame(1, "acme.localhost", "/waits")).await;
    upstream.seen().await;
    visitor.send(get_frame(3, "acme.localhost", "/large")).await;
    let reset = visitor.next_of(RST_STREAM).await;
    assert_eq!((reset.stream, reset.code()), (3, Some(CANCEL)));
    edge.until_metric("vestibule_streams_stalled_total", 1.0)
        .await;
    // The one beside it had nothing to be read, and goes on; so does the connection.
    let more = [1, 5].map(|stream| frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 50]));
    let request = get_frame(5, "acme.localhost", "/");
    visitor.send([&*request, &more.concat()].concat()).await;
    upstream.signal();
    let mut bytes = [0, 0];
    while bytes != [100, 100] {
        let next = visitor.next().await.unwrap();
        let place = usize::from(next.stream == 5);
        match next.kind {
            DATA => bytes[place] += next.payload.len(),
            kind => assert!(kind != RST_STREAM, "stream {}", next.stream),
        }
    }
    let lines = edge.access_lines(3).await;
    let complete = |line: &&serde_json::Value| line["complete"] == true;
    assert_eq!(lines.iter().filter(complete).count(), 2);
}
