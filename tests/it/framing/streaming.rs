//! Bodies on their way: each part goes on as it comes, and nobody is read from faster than the other side takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::Request;
use tokio::io::AsyncWriteExt;

use super::{echo, post};
use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::http2::{Http2, read};
use crate::harness::upstream::TestUpstream;

/// Far more than all the buffers between an upstream and a visitor: sockets grow theirs to some MiB.
const BIG: usize = 64 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

#[tokio::test]
async fn each_side_gets_what_the_other_has_said_so_far() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_head().await.unwrap();
        // `1\r\na\r\n`: the answer begins before the rest of the request has been sent, and ends after it.
        assert_eq!(connection.read_exactly(6).await.unwrap(), b"1\r\na\r\n");
        connection
            .write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nA\r\n")
            .await;
        assert_eq!(
            connection.read_exactly(11).await.unwrap(),
            b"1\r\nb\r\n0\r\n\r\n"
        );
        connection.write(b"1\r\nB\r\n0\r\n\r\n").await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    visitor
        .write(post(&["Transfer-Encoding: chunked"], "1\r\na\r\n"))
        .await;
    assert_eq!(visitor.status_line().await, Some(200));
    assert_eq!(visitor.take(6).await, b"1\r\nA\r\n");
    visitor.write("1\r\nb\r\n0\r\n\r\n").await;
    assert_eq!(visitor.take(11).await, b"1\r\nB\r\n0\r\n\r\n");
}

#[tokio::test]
async fn each_side_gets_what_the_other_has_said_so_far_over_http2() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_head().await.unwrap();
        assert_eq!(connection.read_exactly(6).await.unwrap(), b"1\r\na\r\n");
        connection
            .write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nA\r\n")
            .await;
        assert_eq!(
            connection.read_exactly(11).await.unwrap(),
            b"1\r\nb\r\n0\r\n\r\n"
        );
        connection.write(b"1\r\nB\r\n0\r\n\r\n").await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    let request = Request::post("http://acme.localhost/").body(()).unwrap();
    let (answer, mut sending) = visitor.open(request, false).await;
    sending.send_data(Bytes::from_static(b"a"), false).unwrap();
    let mut answer = answer.await.unwrap();
    assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "A");
    sending.send_data(Bytes::from_static(b"b"), true).unwrap();
    assert_eq!(read(answer).await.text(), "B");
}

/// An upstream that answers `/big` with [`BIG`] bytes and counts those that were taken from it, and answers all else at once.
fn big() -> (TestUpstream, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let upstream = TestUpstream::script(move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            while let Some(seen) = connection.read_request().await {
                if seen.target != "/big" {
                    connection
                        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await;
                    continue;
                }
                connection
                    .write(format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n").as_bytes())
                    .await;
                for _ in 0..BIG / PIECE {
                    connection.write(&[b'x'; PIECE]).await;
                    count.fetch_add(PIECE, SeqCst);
                }
            }
        }
    });
    (upstream, taken)
}

/// Asks the edge for other things until `moved` no longer changes from one to the next. The edge has one thread, so each answer shows
/// that it has had its turn.
async fn settled(edge: &Edge, moved: &AtomicUsize) -> usize {
    let mut visitor = edge.visit().await;
    let (mut last, mut unchanged) = (0, 0);
    while unchanged < 50 {
        assert_eq!(
            visitor.ask(get("acme.localhost", "/", &[])).await.status,
            200
        );
        let now = moved.load(SeqCst);
        unchanged = if now == last { unchanged + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test]
async fn h4_a_slow_visitor_slows_the_upstream() {
    let (upstream, taken) = big();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    visitor.write(get("acme.localhost", "/big", &[])).await;
    assert_eq!(visitor.status_line().await, Some(200));
    let stopped_at = settled(&edge, &taken).await;
    assert!(
        stopped_at < BIG / 2,
        "{stopped_at} of {BIG} bytes were taken for a visitor who reads nothing"
    );
    assert_eq!(visitor.take(BIG).await.len(), BIG);
}

#[tokio::test]
async fn h4_h12_a_shut_window_slows_the_upstream() {
    let (upstream, taken) = big();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    let request = Request::get("http://acme.localhost/big").body(()).unwrap();
    let answer = visitor.open(request, true).await.0.await.unwrap();
    let stopped_at = settled(&edge, &taken).await;
    assert!(
        stopped_at < BIG / 2,
        "{stopped_at} of {BIG} bytes were taken for a window of 64 KiB"
    );
    let answer = read(answer).await;
    assert!(answer.complete);
    assert_eq!(answer.body.len(), BIG);
}

#[tokio::test]
async fn h17_a_slow_upstream_slows_the_visitor() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_head().await {
            if seen.method == "POST" {
                connection.signal().await;
                assert_eq!(connection.read_exactly(BIG).await.unwrap().len(), BIG);
            }
            connection
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .config("[limits]\nbody = \"1GiB\"\n")
        .start()
        .await;
    let mut visitor = edge.visit().await;
    visitor
        .write(post(&[&format!("Content-Length: {BIG}")], ""))
        .await;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let sending = tokio::spawn(async move {
        let mut stream = visitor.into_inner();
        for _ in 0..BIG / PIECE {
            stream.write_all(&[b'x'; PIECE]).await.unwrap();
            count.fetch_add(PIECE, SeqCst);
        }
        crate::harness::client::Visitor::over(stream)
    });
    let stopped_at = settled(&edge, &sent).await;
    assert!(
        stopped_at < BIG / 2,
        "{stopped_at} of {BIG} bytes were taken for an upstream that reads nothing"
    );
    upstream.signal();
    assert_eq!(sending.await.unwrap().reply().await.status, 200);
}

#[tokio::test]
async fn a_visitor_who_leaves_ends_the_upstreams_work() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_request().await.unwrap();
        connection.read_to_end().await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    visitor.write(get("acme.localhost", "/", &[])).await;
    upstream.seen().await;
    drop(visitor);
    upstream.until_open(0).await;

    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    let request = Request::get("http://acme.localhost/").body(()).unwrap();
    let open = visitor.open(request, true).await;
    upstream.seen().await;
    drop(open);
    upstream.until_open(0).await;
}

#[tokio::test]
async fn echoed_bodies_come_back_whole() {
    let (upstream, edge) = echo().await;
    let body = "0123456789abcdef".repeat(64 * 1024);
    let mut visitor = edge.visit().await;
    let answer = visitor
        .ask(post(&[&format!("Content-Length: {}", body.len())], &body))
        .await;
    assert_eq!(answer.json()["body"], body);
    assert_eq!(upstream.seen().await.body, body.as_bytes());
}
