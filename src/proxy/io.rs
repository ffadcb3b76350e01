//! The one wrapper around every visitor's socket: it owns the times.
//!
//! [`EdgeIo`] goes around the bare socket, under TLS; [`FrameGuard`] goes over whatever speaks plaintext HTTP/2 and counts its
//! frames. Both report to one [`ConnectionState`], to which the connection's requests say when they begin and end:
//!
//! ```text
//! HTTP/1              h1 > EdgeIo > socket               h1 > TlsStream > EdgeIo > socket
//! HTTP/2   hyper > FrameGuard > EdgeIo > socket        hyper > FrameGuard > TlsStream > EdgeIo > socket
//! ```
//!
//! A connection is closed by a read, write or flush that returns an error; [`ConnectionState::closed`] then says why.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::EdgeTimeouts;
use crate::runtime::Alarm;

mod flood;
mod frames;
mod guard;
mod sniff;
mod state;
#[cfg(test)]
mod tests;

pub use flood::FloodKind;
pub use guard::FrameGuard;
pub use sniff::Wire;
pub use state::{Closed, ConnectionState, Exchange};

/// How long a closing connection is listened to, so that what was said last is not destroyed by a reset (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(1);
/// How many bytes of a closing connection are read and thrown away.
const LINGER_BYTES: usize = 64 * 1024;

/// A socket that closes itself where the visitor stalls.
///
/// Time costs nothing while bytes flow: deadlines are looked at only where the socket has nothing to give or take, and one timer per
/// connection is set anew only where it would ring too late.
#[derive(Debug)]
pub struct EdgeIo<S> {
    socket: S,
    state: Arc<ConnectionState>,
    alarm: Alarm,
    /// Since when the socket has not taken a byte of what is to be written.
    write_stalled: Option<Instant>,
    /// Bytes that were read ahead to tell the protocols apart.
    replay: Vec<u8>,
    closing: Closing,
}

#[derive(Debug, Clone, Copy)]
enum Closing {
    Open,
    /// The visitor has ended its side: nobody is left to be told anything.
    Ended,
    Lingering {
        left: usize,
        until: Instant,
    },
    Done,
}

impl<S> EdgeIo<S> {
    /// Wraps an accepted socket; the time for the first byte and head starts now. Must be called inside the tokio runtime.
    pub fn new(socket: S, timeouts: &EdgeTimeouts) -> Self {
        Self {
            socket,
            state: Arc::new(ConnectionState::new(timeouts)),
            alarm: Alarm::unset(),
            write_stalled: None,
            replay: Vec::new(),
            closing: Closing::Open,
        }
    }

    /// What the connection is doing, to be told of its requests.
    pub fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }

    /// The socket.
    pub fn get_ref(&self) -> &S {
        &self.socket
    }

    /// Closes the connection where a deadline has passed. Looks at the clock only when the alarm has rung.
    fn check(&mut self) -> io::Result<()> {
        if !self.alarm.rang() {
            return Ok(());
        }
        let now = Instant::now();
        if self
            .write_deadline()
            .is_some_and(|deadline| deadline <= now)
        {
            return Err(self.state.close(Closed::Write));
        }
        match self.state.expired(now, self.write_stalled.is_some()) {
            Some(reason) => Err(self.state.close(reason)),
            None => Ok(()),
        }
    }

    /// Called where the task is about to wait: makes sure that it is woken at the next deadline.
    fn watch(&mut self, cx: &mut Context<'_>) {
        let read = self.state.deadline(self.write_stalled.is_some());
        let next = [read, self.write_deadline()].into_iter().flatten().min();
        // Nothing is due while a request is answered, and a codec need not call again when it has been: then it is found out here.
        let look = || (!self.alarm.is_set()).then(|| Instant::now() + self.state.idle_time());
        if let Some(deadline) = next.or_else(look) {
            self.alarm.ring_by(deadline, cx);
        }
    }

    fn write_deadline(&self) -> Option<Instant> {
        let limit = match self.state.closed() {
            // Last words only.
            Some(_) => LINGER,
            None => self.state.write_time(),
        };
        self.write_stalled.map(|since| since + limit)
    }

    fn wrote<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_pending() {
            self.write_stalled.get_or_insert_with(Instant::now);
            self.watch(cx);
        } else if self.write_stalled.take().is_some() {
            // A visitor who takes an answer slowly is not idle while the last of it is on the way.
            self.state.unblocked();
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> EdgeIo<S> {
    /// Throws away what still comes, until the visitor ends too, has sent [`LINGER_BYTES`], or [`LINGER`] is over.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = [0; 4096];
        while let Closing::Lingering { left, until } = self.closing {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().len(),
                Poll::Ready(Err(_)) => 0,
                Poll::Pending if Instant::now() < until => {
                    self.alarm.ring_by(until, cx);
                    return Poll::Pending;
                }
                Poll::Pending => 0,
            };
            self.closing = match left.saturating_sub(read) {
                left if left > 0 && read > 0 => Closing::Lingering { left, until },
                _ => Closing::Done,
            };
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for EdgeIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.replay.is_empty() {
            let n = this.replay.len().min(buf.remaining());
            buf.put_slice(&this.replay[..n]);
            this.replay.drain(..n);
            return Poll::Ready(Ok(()));
        }
        this.check()?;
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.socket).poll_read(cx, buf);
        match outcome {
            Poll::Pending => this.watch(cx),
            Poll::Ready(Ok(())) if buf.filled().len() > before => this.state.bytes_read(),
            Poll::Ready(Ok(())) if buf.remaining() > 0 => this.closing = Closing::Ended,
            Poll::Ready(_) => {}
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for EdgeIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let outcome = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.wrote(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.wrote(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        // The last call that HTTP/2 makes when an answer has ended, if it has tried to read before.
        self.watch(cx);
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Ends our side and lingers; on a tunnel only ends our side, because the visitor may have much left to say.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !matches!(this.closing, Closing::Lingering { .. } | Closing::Done) {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
            if this.state.is_tunnel() {
                return Poll::Ready(Ok(()));
            }
            this.closing = match this.closing {
                Closing::Ended => Closing::Done,
                _ => Closing::Lingering {
                    left: LINGER_BYTES,
                    until: Instant::now() + LINGER,
                },
            };
        }
        this.poll_linger(cx)
    }
}
