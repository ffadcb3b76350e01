//! The observer of plaintext HTTP/2: counts frames both ways, tells the connection what is incomplete, and says goodbye (GOAWAY)
//! where the connection is closed for a flood or for idleness.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::flood::Counts;
use super::frames::{END_HEADERS, FrameHead, FrameParser, kind};
use super::{Closed, ConnectionState};

/// Error codes (RFC 9113 section 7).
const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// A thin layer over a socket or TLS stream on which HTTP/2 is spoken.
#[derive(Debug)]
pub struct FrameGuard<S> {
    stream: S,
    state: Arc<ConnectionState>,
    inbound: Inbound,
    outbound: FrameParser,
    counts: Counts,
    /// Nothing is read any more: the codec sees the end of the connection and closes it in good order.
    ended: bool,
    /// The goodbye was written in part only: a byte more would stand in the middle of it.
    mute: bool,
}

#[derive(Debug)]
struct Inbound {
    parser: FrameParser,
    /// Between HEADERS and the END_HEADERS flag.
    block_open: bool,
    settings_seen: bool,
    highest_stream: u32,
}

impl<S> FrameGuard<S> {
    /// Goes over `stream`, whose socket belongs to `state`. Nothing of HTTP/2 may have been read or written yet.
    pub fn new(stream: S, state: Arc<ConnectionState>) -> Self {
        state.multiplex();
        Self {
            stream,
            state,
            inbound: Inbound {
                parser: FrameParser::of_client(),
                block_open: false,
                settings_seen: false,
                highest_stream: 0,
            },
            outbound: FrameParser::of_server(),
            counts: Counts::default(),
            ended: false,
            mute: false,
        }
    }

    /// What lies below.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Counts what was read; answers whether it was too much.
    fn observe(&mut self, bytes: &[u8]) -> Option<Closed> {
        let Self {
            inbound, counts, ..
        } = self;
        let (mut flood, mut another) = (None, false);
        let (block_open, settings, highest) = (
            &mut inbound.block_open,
            &mut inbound.settings_seen,
            &mut inbound.highest_stream,
        );
        inbound.parser.feed(bytes, |head| {
            flood = flood.or(counts.received(head, Instant::now));
            // What CONTINUATION goes on with began with its HEADERS.
            another |= head.kind != kind::CONTINUATION && *settings;
            match head.kind {
                kind::HEADERS | kind::CONTINUATION => {
                    *block_open = head.flags & END_HEADERS == 0;
                    *highest = head.stream.max(*highest);
                }
                kind::SETTINGS => *settings = true,
                _ => {}
            }
        });
        self.state
            .frame_incomplete(inbound.is_incomplete(), another);
        flood.map(Closed::Flood)
    }

    fn sent(&mut self, bytes: &[u8]) {
        let Self {
            outbound, counts, ..
        } = self;
        let mut data = false;
        outbound.feed(bytes, |head: FrameHead| {
            data |= head.kind == kind::DATA;
            counts.sent(head);
        });
        if data {
            self.state.touch();
        }
    }
}

impl<S: AsyncWrite + Unpin> FrameGuard<S> {
    /// Writes GOAWAY if it can be done at once and between two frames.
    fn goodbye(&mut self, code: u32, cx: &mut Context<'_>) {
        self.ended = true;
        if !self.outbound.at_boundary() {
            return;
        }
        let frame = goaway(self.inbound.highest_stream, code);
        if let Poll::Ready(Ok(written)) = Pin::new(&mut self.stream).poll_write(cx, &frame) {
            self.mute = written < frame.len();
            // What cannot be flushed now is flushed when the codec shuts the connection down.
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
    }
}

/// GOAWAY (RFC 9113 section 6.8): nothing after `last_stream` was or will be looked at.
fn goaway(last_stream: u32, code: u32) -> [u8; 17] {
    let mut frame = [0, 0, 8, kind::GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[9..13].copy_from_slice(&last_stream.to_be_bytes());
    frame[13..].copy_from_slice(&code.to_be_bytes());
    frame
}

impl Inbound {
    /// Whether something was begun that only the visitor can finish. The payload of DATA belongs to a request, which has times of
    /// its own.
    fn is_incomplete(&self) -> bool {
        let mid_frame = !self.parser.at_boundary() && !self.parser.inside_data();
        !self.settings_seen || self.block_open || mid_frame
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FrameGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        match ready!(Pin::new(&mut this.stream).poll_read(cx, buf)) {
            Ok(()) => {
                if let Some(reason) = this.observe(&buf.filled()[before..]) {
                    this.state.close(reason);
                    buf.set_filled(before);
                    this.goodbye(ENHANCE_YOUR_CALM, cx);
                }
                Poll::Ready(Ok(()))
            }
            Err(_) if this.state.closed() == Some(Closed::Idle) => {
                this.goodbye(NO_ERROR, cx);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FrameGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.mute {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.sent(&buf[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.mute {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        let mut left = written;
        for slice in bufs {
            let n = left.min(slice.len());
            self.sent(&slice[..n]);
            left -= n;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
