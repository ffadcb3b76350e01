//! The body of a request as it streams through: bounded, timed, counted, and without trailers.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};

use super::h1::LineFault;
use super::inbound::{Incoming, IncomingError};
use crate::http1::BodyFault;

mod pace;
#[cfg(test)]
mod tests;

pub(super) use pace::Pace;

/// What became of a request's body, for the step that made use of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Fate {
    /// Still coming, or not begun.
    #[default]
    Open,
    /// All of it came.
    Complete,
    /// Longer than the tenant may send.
    TooLarge,
    /// Nothing came for too long, or too little in all.
    Stalled,
    /// The visitor broke it off, or framed it wrongly.
    Broken,
    /// What follows it is longer than a trailer section may be.
    TrailersTooLarge,
}

/// A failure of the request's body: the visitor's doing, never the upstream's.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBodyError {
    #[error("the request body is longer than allowed")]
    TooLarge,
    #[error("the request body stalled")]
    Stalled,
    #[error("the request body could not be read")]
    Broken(#[source] IncomingError),
    #[error("the request's trailers are longer than allowed")]
    TrailersTooLarge,
}

/// A visitor's body on its way to the upstream. Trailers end here: nothing of them goes on (attacks B9, D4).
pub(super) struct RequestBody {
    inner: Incoming,
    left: u64,
    received: Rc<Cell<u64>>,
    fate: Rc<Cell<Fate>>,
    pace: Pace,
}

/// What is left with the request's own step of a [`RequestBody`] that was sent away.
#[derive(Clone)]
pub(super) struct BodyWatch {
    pub(super) fate: Rc<Cell<Fate>>,
    pub(super) received: Rc<Cell<u64>>,
}

impl RequestBody {
    /// At most `limit` bytes, at this pace.
    pub(super) fn new(inner: Incoming, limit: u64, pace: Pace) -> (Self, BodyWatch) {
        let watch = BodyWatch {
            fate: Rc::default(),
            received: Rc::default(),
        };
        if inner.is_end_stream() {
            watch.fate.set(Fate::Complete);
        }
        let BodyWatch { fate, received } = watch.clone();
        (
            Self {
                inner,
                left: limit,
                received,
                fate,
                pace,
            },
            watch,
        )
    }

    fn broken(&self, error: IncomingError) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        match error {
            IncomingError::Http1(LineFault::Framing(BodyFault::LongTrailers)) => {
                self.fail(Fate::TrailersTooLarge, RequestBodyError::TrailersTooLarge)
            }
            error => self.fail(Fate::Broken, RequestBodyError::Broken(error)),
        }
    }

    fn fail(
        &self,
        fate: Fate,
        error: RequestBodyError,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.fate.set(fate);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                let received = self.received.get();
                ready!(self.pace.poll_late(received, cx));
                return self.fail(Fate::Stalled, RequestBodyError::Stalled);
            };
            self.pace.came();
            let data = match frame {
                None => {
                    self.fate.set(Fate::Complete);
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    return self.broken(error);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    // Nothing of them goes on.
                    Err(frame) if frame.trailers_ref().is_none_or(are_small) => continue,
                    Err(_) => {
                        return self
                            .fail(Fate::TrailersTooLarge, RequestBodyError::TrailersTooLarge);
                    }
                },
            };
            let length = data.len() as u64;
            self.received.set(self.received.get() + length);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return self.fail(Fate::TooLarge, RequestBodyError::TooLarge),
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn are_small(trailers: &HeaderMap) -> bool {
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    let bytes: usize = trailers.iter().map(size).sum();
    trailers.len() <= MAX_TRAILERS && bytes <= MAX_TRAILER_BYTES
}

/// Most fields in a trailer section, and most bytes of names and values in it.
const MAX_TRAILERS: usize = 16;
const MAX_TRAILER_BYTES: usize = 4 * 1024;
