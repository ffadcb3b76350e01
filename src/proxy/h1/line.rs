//! The bytes of a visitor's connection: what has been read and not used yet, and where in a request they stand.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::http1::{self, BodyDecoder, BodyFault, HeadFault, Outgoing, Piece, ReadRoom};
use crate::proxy::io::EdgeIo;

/// The outer bound of a head in bytes: far above what is allowed, so that the address is seen before the size is refused and each
/// gets its own status (414, 431).
const MOST_HEAD: usize = 96 * 1024;
/// Least room for reading a head; most are shorter.
const LEAST_ROOM: usize = 4 * 1024;
/// How much memory is made at once, for many heads, and what is kept at most: a large head must not hold its memory for ever.
const MEMORY: usize = 16 * 1024;
/// Tells a visitor who waits for it that the body is wanted (RFC 9110 section 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What visitors' bytes come by: a socket, or TLS over one.
pub(in crate::proxy) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// Whether what was written may have to be flushed to leave.
    fn holds_back(&self) -> bool;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for EdgeIo<S> {
    fn holds_back(&self) -> bool {
        false
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire for TlsStream<S> {
    fn holds_back(&self) -> bool {
        true
    }
}

/// Memory that heads are read into, one behind the other: one for all connections of a thread, because only one of them is being read
/// from at a time. What requests still hold of it is seen to by [`BytesMut`].
#[derive(Default)]
pub(in crate::proxy) struct Memory(Cell<BytesMut>);

/// A connection, shared between those who read bodies from it and those who write answers to it: one after the other, on one thread.
pub(in crate::proxy) struct Line<S: ?Sized = dyn Wire> {
    read: BytesMut,
    /// The body of the request that is being served.
    body: BodyDecoder,
    room: ReadRoom,
    /// The visitor waits to be told that the body is wanted.
    expects: bool,
    /// What of [`CONTINUE`] has not left; nothing where it may only have to be flushed.
    owed: Option<&'static [u8]>,
    /// Whether `read` lies in the thread's memory.
    lent: bool,
    /// The visitor will send nothing more.
    ended: bool,
    stream: S,
}

/// A line with several users.
pub(in crate::proxy) type SharedLine = Rc<RefCell<Line>>;

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum LineFault {
    #[error("its framing is wrong")]
    Framing(#[from] BodyFault),
    #[error("the connection broke")]
    Broken(#[from] io::Error),
}

/// What comes first on a connection, or next.
pub(super) enum Coming {
    Head(Box<Parts>),
    /// Something that is no request: nothing behind it has any meaning.
    Fault(HeadFault),
    /// The visitor has ended its side.
    End,
    /// The connection broke, or took too long.
    Broken,
}

impl<S: Wire + 'static> Line<S> {
    pub(in crate::proxy) fn shared(stream: S) -> SharedLine {
        Rc::new(RefCell::new(Self {
            read: BytesMut::new(),
            body: BodyDecoder::none(),
            room: ReadRoom::default(),
            expects: false,
            owed: None,
            lent: false,
            ended: false,
            stream,
        }))
    }
}

impl Line {
    /// The next request's head, or what comes in its place. `memory` is lent while nothing of a head has come.
    pub(super) fn poll_head(&mut self, memory: &Memory, cx: &mut Context<'_>) -> Poll<Coming> {
        // What came behind the last request.
        let mut news = !self.read.is_empty();
        loop {
            // A head that drips is looked at anew only where a line has ended.
            if news {
                let head = http1::request_head(&mut self.read, MOST_HEAD);
                if self.read.is_empty() {
                    self.give_back(memory);
                }
                match head {
                    Ok(Some(head)) => return Poll::Ready(Coming::Head(head)),
                    Ok(None) => {}
                    Err(fault) => return Poll::Ready(Coming::Fault(fault)),
                }
            }
            let before = self.read.len();
            match self.poll_ahead(memory, cx) {
                Poll::Ready(Ok(1..)) => {
                    let came = &self.read[before..];
                    news = before == 0 || self.read.len() >= MOST_HEAD || came.contains(&b'\n');
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Coming::End),
                Poll::Ready(Err(_)) => return Poll::Ready(Coming::Broken),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether a head has begun to come.
    pub(super) fn has_begun(&self) -> bool {
        !self.read.is_empty()
    }

    /// Reads what belongs to a head into the thread's memory, which is kept only where something has come.
    fn poll_ahead(&mut self, memory: &Memory, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.is_empty() {
            self.read = memory.0.take();
            self.lent = true;
            if self.read.capacity() < LEAST_ROOM {
                self.read.reserve(MEMORY);
            }
        } else if self.read.capacity() - self.read.len() < LEAST_ROOM {
            // A large head gets memory of its own.
            self.read.reserve(MEMORY);
            self.lent = false;
        }
        let read = self.poll_fill(cx);
        if self.read.is_empty() {
            self.give_back(memory);
        }
        read
    }

    fn give_back(&mut self, memory: &Memory) {
        let read = std::mem::take(&mut self.read);
        if std::mem::take(&mut self.lent) {
            memory.0.set(read);
        }
    }

    /// A request has begun whose body this is; `expects` says that the visitor waits to be told that it is wanted.
    pub(in crate::proxy) fn begin(&mut self, body: BodyDecoder, expects: bool) {
        self.room = ReadRoom::default();
        self.expects = expects && !body.is_over();
        self.body = body;
    }

    /// The next piece of the body.
    pub(in crate::proxy) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Piece, LineFault>> {
        loop {
            match self.body.next(&mut self.read)? {
                Piece::Wanting => {}
                piece => return Poll::Ready(Ok(piece)),
            }
            if std::mem::take(&mut self.expects) {
                self.owed = Some(CONTINUE);
            }
            ready!(self.poll_owed(cx))?;
            // What lies in the thread's memory is only what came with the head.
            if std::mem::take(&mut self.lent) {
                self.read = BytesMut::from(&self.read[..]);
            }
            self.room.make(&mut self.read);
            match ready!(self.poll_fill(cx)) {
                Ok(0) => {
                    self.ended = true;
                    self.body.closed()?;
                }
                Ok(count) => self.room.filled(count),
                Err(error) => {
                    self.ended = true;
                    return Poll::Ready(Err(error.into()));
                }
            }
        }
    }

    /// Where the body stands.
    pub(in crate::proxy) fn body(&self) -> &BodyDecoder {
        &self.body
    }

    /// While an answer is awaited: ready when the visitor is gone. Nothing is read ahead but the beginning of a next request; where that
    /// has come, or where somebody reads the body, nobody is woken for the visitor's sake.
    pub(super) fn poll_gone(&mut self, memory: &Memory, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended {
            return Poll::Ready(());
        }
        while self.body.is_over() && self.read.is_empty() {
            match ready!(self.poll_ahead(memory, cx)) {
                Ok(1..) => self.skip_empty_lines(),
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
            if self.read.is_empty() {
                self.give_back(memory);
            }
        }
        Poll::Pending
    }

    /// Writes what there is, after what is still owed of an interim answer.
    pub(super) fn poll_write(
        &mut self,
        out: &mut Outgoing<Vec<u8>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // It is too late for an interim answer.
        self.expects = false;
        ready!(self.poll_owed(cx))?;
        while !out.is_empty() {
            if ready!(out.poll_write(&mut self.stream, cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_owed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(owed) = &mut self.owed else {
            return Poll::Ready(Ok(()));
        };
        while !owed.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, owed))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *owed = &owed[count..];
        }
        ready!(self.poll_flush(cx))?;
        self.owed = None;
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.stream.holds_back() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Throws away what has come of a body that nobody wants; answers whether that was all of it, so that the next request can be told
    /// from it.
    pub(super) fn skip_body(&mut self) -> bool {
        loop {
            match self.body.next(&mut self.read) {
                Ok(Piece::Data(_) | Piece::Trailers(_)) => {}
                Ok(Piece::End) => break,
                Ok(Piece::Wanting) | Err(_) => return false,
            }
        }
        self.skip_empty_lines();
        if !self.lent {
            // What came behind a large body must not hold the memory of that.
            self.read = BytesMut::from(&self.read[..]);
        }
        true
    }

    /// Clients of old send an empty line behind a body (RFC 9112 section 2.2): it begins no head.
    fn skip_empty_lines(&mut self) {
        while self.read.starts_with(b"\r\n") {
            self.read.advance(2);
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }
}

/// A line on which another protocol is spoken from here on.
pub(in crate::proxy) struct Upgraded(pub(super) SharedLine);

impl AsyncRead for Upgraded {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut line = self.0.borrow_mut();
        if line.read.is_empty() {
            return Pin::new(&mut line.stream).poll_read(cx, buffer);
        }
        let length = line.read.len().min(buffer.remaining());
        buffer.put_slice(&line.read.split_to(length));
        if line.read.is_empty() {
            // A tunnel holds no memory while nothing passes.
            line.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgraded {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0.borrow_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().poll_shutdown(cx)
    }
}
