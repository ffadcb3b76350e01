//! What comes behind a request's head: its body, whatever it comes by, and what the connection may become.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot::Receiver;

use super::h1::{LineFault, SharedLine, Upgraded};
use crate::http1::{BodyFault, Piece};
use crate::model::Refusal;

/// What comes with a request's head.
pub(super) struct Inbound {
    pub(super) body: Result<Incoming, Refusal>,
    pub(super) upgrade: Option<Receiver<Upgraded>>,
}

impl Inbound {
    /// A body, and the connection behind it, if it is to become a tunnel.
    pub(super) fn new(body: Incoming, upgrade: Option<Receiver<Upgraded>>) -> Self {
        Self {
            body: Ok(body),
            upgrade,
        }
    }

    /// Nobody can tell what comes, or where it ends.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            body: Err(refusal),
            upgrade: None,
        }
    }

    /// Whether another request may follow.
    pub(super) fn is_readable(&self) -> bool {
        self.body.is_ok()
    }
}

/// A body as it comes.
pub(super) enum Incoming {
    /// There is none.
    None,
    /// On an HTTP/1.1 connection, whose bytes it is read from.
    Http1(SharedLine),
    /// On a stream of an HTTP/2 connection.
    Http2(hyper::body::Incoming),
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum IncomingError {
    #[error(transparent)]
    Http1(#[from] LineFault),
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = IncomingError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, IncomingError>>> {
        let line = match self.get_mut() {
            Self::None => return Poll::Ready(None),
            Self::Http1(line) => line,
            Self::Http2(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(IncomingError::Http2)));
            }
        };
        let piece = ready!(line.borrow_mut().poll_piece(cx));
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Piece::End) => None,
            // Whoever reads waits for more; but an end it is not.
            Ok(Piece::Wanting) => Some(Err(LineFault::Framing(BodyFault::Ended).into())),
            Err(fault) => Some(Err(fault.into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::None => true,
            Self::Http1(line) => line.borrow().body().is_over(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::None => SizeHint::with_exact(0),
            Self::Http1(line) => match line.borrow().body().left() {
                Some(left) => SizeHint::with_exact(left),
                None => SizeHint::new(),
            },
            Self::Http2(body) => body.size_hint(),
        }
    }
}
