use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};

use super::*;
use crate::http1::{BodyDecoder, Outgoing, Piece};

/// A stream that holds back what was written until it is flushed, as TLS may, and is not ready to flush at first.
struct Reluctant {
    inner: DuplexStream,
    held: Vec<u8>,
    refusals: usize,
}

fn reluctant(refusals: usize) -> (Reluctant, DuplexStream) {
    let (inner, visitor) = tokio::io::duplex(1024);
    let held = Vec::new();
    (
        Reluctant {
            inner,
            held,
            refusals,
        },
        visitor,
    )
}

impl Wire for Reluctant {
    fn holds_back(&self) -> bool {
        true
    }
}

impl AsyncRead for Reluctant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Reluctant {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // A few at a time.
        let count = bytes.len().min(7);
        self.held.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refusals > 0 {
            self.refusals -= 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let held = std::mem::take(&mut self.held);
        match Pin::new(&mut self.inner).poll_write(cx, &held) {
            Poll::Ready(written) => Poll::Ready(written.map(|count| assert_eq!(count, held.len()))),
            Poll::Pending => panic!("there is room"),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

async fn piece(line: &SharedLine) -> Result<Piece, LineFault> {
    std::future::poll_fn(|cx| line.borrow_mut().poll_piece(cx)).await
}

#[tokio::test]
async fn a17_who_waits_for_it_is_told_once_that_the_body_is_wanted() {
    for refusals in [0, 1, 3] {
        let (stream, mut visitor) = reluctant(refusals);
        let line = Line::shared(stream);
        line.borrow_mut().begin(BodyDecoder::of_length(3), true);
        let told = async {
            let mut text = [0; 25];
            visitor.read_exact(&mut text).await.unwrap();
            assert_eq!(&text, b"HTTP/1.1 100 Continue\r\n\r\n");
            visitor.write_all(b"abc").await.unwrap();
        };
        let (read, ()) = tokio::join!(piece(&line), told);
        assert!(matches!(read, Ok(Piece::Data(data)) if data == "abc"));
        assert!(matches!(piece(&line).await, Ok(Piece::End)));
        drop(line);
        let mut rest = Vec::new();
        visitor.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"", "{refusals}");
    }
}

#[tokio::test]
async fn a17_nobody_is_told_so_behind_the_answer() {
    let (stream, mut visitor) = reluctant(1);
    let line = Line::shared(stream);
    line.borrow_mut().begin(BodyDecoder::of_length(3), true);
    let mut out = Outgoing::new(b"answer".to_vec());
    std::future::poll_fn(|cx| line.borrow_mut().poll_write(&mut out, cx))
        .await
        .unwrap();
    std::future::poll_fn(|cx| line.borrow_mut().poll_flush(cx))
        .await
        .unwrap();
    visitor.write_all(b"abc").await.unwrap();
    assert!(matches!(piece(&line).await, Ok(Piece::Data(_))));
    drop(line);
    let mut all = String::new();
    visitor.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "answer");
}

#[tokio::test]
async fn a12_nothing_is_the_next_request_behind_a_broken_body() {
    let (stream, mut visitor) = reluctant(0);
    let line = Line::shared(stream);
    line.borrow_mut()
        .begin(BodyDecoder::strictly_chunked(), false);
    visitor
        .write_all(b"0\r\nbad trailer\r\n\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert!(piece(&line).await.is_err());
    assert!(!line.borrow_mut().skip_body());
    assert!(piece(&line).await.is_err());
}

#[tokio::test]
async fn what_nobody_wants_is_skipped_as_far_as_it_has_come() {
    let (stream, mut visitor) = reluctant(0);
    let line = Line::shared(stream);
    let memory = Memory::default();
    visitor
        .write_all(b"GET /1 HTTP/1.1\r\n\r\nabc")
        .await
        .unwrap();
    let head = std::future::poll_fn(|cx| line.borrow_mut().poll_head(&memory, cx)).await;
    assert!(matches!(head, Coming::Head(head) if head.uri == "/1"));
    line.borrow_mut().begin(BodyDecoder::of_length(5), false);
    assert!(!line.borrow_mut().skip_body(), "two bytes are missing");
    visitor
        .write_all(b"de\r\nGET /2 HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    assert!(matches!(piece(&line).await, Ok(Piece::Data(data)) if data == "de"));
    assert!(line.borrow_mut().skip_body());
    let head = std::future::poll_fn(|cx| line.borrow_mut().poll_head(&memory, cx)).await;
    assert!(matches!(head, Coming::Head(head) if head.uri == "/2"));
    assert!(!line.borrow().has_begun());
}

#[tokio::test]
async fn an_empty_line_behind_a_body_begins_no_head() {
    let (stream, mut visitor) = reluctant(0);
    let line = Line::shared(stream);
    let memory = Memory::default();
    visitor.write_all(b"abc\r\n").await.unwrap();
    line.borrow_mut().begin(BodyDecoder::of_length(3), false);
    assert!(matches!(piece(&line).await, Ok(Piece::Data(_))));
    assert!(line.borrow_mut().skip_body());
    assert!(!line.borrow().has_begun());
    // A visitor who leaves is noticed behind one that comes later, too.
    visitor.write_all(b"\r\n").await.unwrap();
    drop(visitor);
    std::future::poll_fn(|cx| line.borrow_mut().poll_gone(&memory, cx)).await;
}

#[tokio::test]
async fn a_visitor_who_leaves_within_a_body_is_gone() {
    let (stream, mut visitor) = reluctant(0);
    let line = Line::shared(stream);
    line.borrow_mut().begin(BodyDecoder::of_length(100), false);
    visitor.write_all(b"some").await.unwrap();
    drop(visitor);
    assert!(matches!(piece(&line).await, Ok(Piece::Data(_))));
    assert!(piece(&line).await.is_err());
    std::future::poll_fn(|cx| line.borrow_mut().poll_gone(&Memory::default(), cx)).await;
}

#[test]
fn the_connection_goes_on_where_both_sides_want_it() {
    let persists = |method: Method, version, lines: &[&str]| {
        let mut head = http::HeaderMap::new();
        for line in lines {
            head.append("connection", line.parse().unwrap());
        }
        Asked::of(&method, version, &head).persists
    };
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    assert!(persists(Method::GET, new, &[]));
    assert!(persists(Method::GET, new, &["keep-alive", "TE"]));
    for lines in [
        &["close"][..],
        &["CLOSE"],
        &["TE, close"],
        &["TE", "Close"],
        &["keep-alive, close"],
    ] {
        assert!(!persists(Method::GET, new, lines), "{lines:?}");
        assert!(!persists(Method::GET, old, lines), "{lines:?}");
    }
    assert!(!persists(Method::GET, old, &[]));
    assert!(persists(Method::GET, old, &["Keep-Alive"]));
    assert!(!persists(Method::CONNECT, new, &[]));
}
