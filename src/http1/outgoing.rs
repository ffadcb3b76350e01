//! Bytes on their way out: a head, then its body piece by piece, each framed once.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::AsyncWrite;

use super::body::{CHUNK_END, CHUNK_END_AND_LAST, LAST_CHUNK, chunk_head};

/// What is to be written next: one head, and at most one piece of a body. A new piece is put in when the last one has left.
#[derive(Debug)]
pub struct Outgoing<H> {
    head: H,
    /// Bytes of `head` that have left.
    head_sent: usize,
    /// The line before a chunk.
    line: [u8; 18],
    line_from: usize,
    data: Bytes,
    /// What comes behind the data.
    tail: &'static [u8],
}

impl<H: AsRef<[u8]>> Outgoing<H> {
    /// Begins with `head`.
    pub fn new(head: H) -> Self {
        Self {
            head,
            head_sent: 0,
            line: [0; 18],
            line_from: 18,
            data: Bytes::new(),
            tail: b"",
        }
    }

    /// The head, to be changed while nothing of it has left, or taken when all of it has.
    pub fn head_mut(&mut self) -> &mut H {
        &mut self.head
    }

    /// All of the head is to leave once more.
    pub fn begin_again(&mut self) {
        self.head_sent = 0;
    }

    /// The head counts as having left: its memory can be taken.
    pub fn forget_head(&mut self) -> H
    where
        H: Default,
    {
        self.head_sent = 0;
        std::mem::take(&mut self.head)
    }

    /// Puts in bytes that need no frame: the body has a length, or ends with the connection.
    pub fn put(&mut self, data: Bytes) {
        self.data = data;
    }

    /// Puts in a chunk, with the end of the body behind it if this is the last.
    pub fn put_chunk(&mut self, data: Bytes, last: bool) {
        self.line_from = 18 - chunk_head(data.len(), &mut self.line).len();
        self.data = data;
        self.tail = if last { CHUNK_END_AND_LAST } else { CHUNK_END };
    }

    /// Puts in the end of a body in chunks.
    pub fn put_end(&mut self) {
        self.tail = LAST_CHUNK;
    }

    /// Puts in the end of a body in chunks, with fields behind it.
    pub fn put_trailers(&mut self, trailers: &HeaderMap) {
        let mut section = BytesMut::from(&b"0\r\n"[..]);
        for (name, value) in trailers {
            section.put_slice(name.as_str().as_bytes());
            section.put_slice(b": ");
            section.put_slice(value.as_bytes());
            section.put_slice(b"\r\n");
        }
        section.put_slice(b"\r\n");
        self.data = section.freeze();
    }

    /// Whether the piece that was put in last has left.
    pub fn takes_more(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.line_from == 18
    }

    /// Whether all has left.
    pub fn is_empty(&self) -> bool {
        self.pending().iter().all(|part| part.is_empty())
    }

    fn pending(&self) -> [&[u8]; 4] {
        [
            &self.head.as_ref()[self.head_sent..],
            &self.line[self.line_from..],
            &self.data,
            self.tail,
        ]
    }

    /// Writes once, head and piece together; ready with how many bytes were taken, which is 0 only where nobody takes any more.
    pub fn poll_write<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<usize>> {
        let parts = self.pending();
        let mut slices = [IoSlice::new(&[]); 4];
        let mut count = 0;
        for part in parts.iter().filter(|part| !part.is_empty()) {
            slices[count] = IoSlice::new(part);
            count += 1;
        }
        let written = match &slices[..count] {
            [only] => ready!(Pin::new(stream).poll_write(cx, only))?,
            slices => ready!(Pin::new(stream).poll_write_vectored(cx, slices))?,
        };
        self.sent(written);
        Poll::Ready(Ok(written))
    }

    fn sent(&mut self, mut count: usize) {
        let head = count.min(self.head.as_ref().len() - self.head_sent);
        self.head_sent += head;
        count -= head;
        let line = count.min(18 - self.line_from);
        self.line_from += line;
        count -= line;
        let data = count.min(self.data.len());
        self.data.advance(data);
        count -= data;
        self.tail = &self.tail[count..];
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// What is written of `outgoing`, a byte or two at a time.
    async fn written(mut outgoing: Outgoing<&'static str>, room: usize) -> String {
        let (mut ours, mut theirs) = tokio::io::duplex(room);
        let write = async move {
            while !outgoing.is_empty() {
                let poll = |cx: &mut Context<'_>| outgoing.poll_write(&mut ours, cx);
                assert_ne!(std::future::poll_fn(poll).await.unwrap(), 0);
            }
            assert!(outgoing.takes_more());
        };
        let mut text = String::new();
        let (_, read) = tokio::join!(write, theirs.read_to_string(&mut text));
        read.unwrap();
        text
    }

    #[tokio::test]
    async fn pieces_leave_in_their_order_however_little_is_taken() {
        for room in [1, 2, 7, 1000] {
            let mut plain = Outgoing::new("head ");
            plain.put(Bytes::from_static(b"data"));
            assert!(!plain.takes_more());
            assert_eq!(written(plain, room).await, "head data");

            let mut chunk = Outgoing::new("head ");
            chunk.put_chunk(Bytes::from_static(b"0123456789abcdef"), false);
            let text = written(chunk, room).await;
            assert_eq!(text, "head 10\r\n0123456789abcdef\r\n");

            let mut last = Outgoing::new("");
            last.put_chunk(Bytes::from_static(b"x"), true);
            assert_eq!(written(last, room).await, "1\r\nx\r\n0\r\n\r\n");

            let mut end = Outgoing::new("");
            end.put_end();
            assert_eq!(written(end, room).await, "0\r\n\r\n");

            let mut trailers = HeaderMap::new();
            trailers.insert("x-a", "b".parse().unwrap());
            let mut ended = Outgoing::new("");
            ended.put_trailers(&trailers);
            assert_eq!(written(ended, room).await, "0\r\nx-a: b\r\n\r\n");
        }
    }
}
