//! A connection's bytes: plain or TLS, with what the codec above does not tell: when something was last written, and whether
//! anything of an answer has come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};
use tokio_rustls::client::TlsStream;

use super::interim::{Flood, Heads};

/// The transport under the codec.
pub(super) struct Wire {
    stream: Stream,
    heads: Heads,
    activity: Arc<Activity>,
}

/// What carries the bytes. The TLS state is large and boxed, so that plain connections do not pay for it.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What has happened on a connection. Written by the wire and read by the exchange, both on one thread; atomic only because an
/// upgraded connection may leave it.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    /// Milliseconds from `opened` to the last write that the kernel took.
    written: AtomicU64,
    /// Whether a byte has come since the last request was handed over.
    received: AtomicBool,
    flooded: AtomicBool,
    tunnel: AtomicBool,
}

impl Activity {
    /// When bytes were last taken by the kernel.
    pub(super) fn written_at(&self) -> Instant {
        self.opened + Duration::from_millis(self.written.load(Ordering::Relaxed))
    }

    /// A request is about to be sent: nothing of its answer has come.
    pub(super) fn begin(&self) {
        self.received.store(false, Ordering::Relaxed);
    }

    /// Whether any byte of the answer has come.
    pub(super) fn received(&self) -> bool {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether the connection was ended for too many interim answers.
    pub(super) fn flooded(&self) -> bool {
        self.flooded.load(Ordering::Relaxed)
    }

    /// The connection has become a tunnel: no answer is waited for any more.
    pub(super) fn begin_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    fn wrote(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.written.store(since, Ordering::Relaxed);
    }
}

impl Wire {
    /// Takes an open connection over.
    pub(super) fn new(stream: Stream) -> (Self, Arc<Activity>) {
        let activity = Arc::new(Activity {
            opened: Instant::now(),
            written: AtomicU64::new(0),
            received: AtomicBool::new(false),
            flooded: AtomicBool::new(false),
            tunnel: AtomicBool::new(false),
        });
        let wire = Self {
            stream,
            heads: Heads::new(),
            activity: Arc::clone(&activity),
        };
        (wire, activity)
    }

    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let outcome = match self.activity.tunnel.load(Ordering::Relaxed) {
            true => outcome,
            false => wait_if_broken(outcome),
        };
        let written = ready!(outcome)?;
        self.activity.wrote();
        Poll::Ready(Ok(written))
    }

    fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.activity.received() {
            self.activity.received.store(true, Ordering::Relaxed);
            self.heads = Heads::new();
        }
        self.heads.feed(bytes).map_err(|Flood| {
            self.activity.flooded.store(true, Ordering::Relaxed);
            io::Error::new(io::ErrorKind::InvalidData, "too many interim answers")
        })
    }
}

/// An endpoint that answers before it has read all of a request, as with 413, and closes at once breaks what is still being written,
/// while its answer lies here to be read (RFC 9112 section 9.5). So a broken write is no error but waits for ever: what is to be read
/// until the end comes to pass in any case, and tells whether there is an answer.
fn wait_if_broken<T>(outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    match outcome {
        Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
            Poll::Pending
        }
        outcome => outcome,
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        })?;
        Poll::Ready(self.note(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        };
        self.wrote(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        };
        self.wrote(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        wait_if_broken(match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        })
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
