//! The body of a request as it streams through: bounded, timed, counted, and without trailers.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

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
    Broken(#[source] hyper::Error),
    #[error("the request body ends in no trailer section")]
    NoTrailers,
    #[error("the request's trailers are longer than allowed")]
    TrailersTooLarge,
}

/// A visitor's body on its way to the upstream. Trailers end here: nothing of them goes on (attacks B9, D4).
pub(super) struct RequestBody {
    inner: Incoming,
    version: Version,
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
    /// At most `limit` bytes, at this pace, of a request in this version.
    pub(super) fn new(
        inner: Incoming,
        version: Version,
        limit: u64,
        pace: Pace,
    ) -> (Self, BodyWatch) {
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
                version,
                left: limit,
                received,
                fate,
                pace,
            },
            watch,
        )
    }

    /// Nothing of the trailers goes on, but what they look like tells whether the body's end is where it seems to be.
    ///
    /// hyper takes any byte but a CR behind the last chunk for the start of a trailer, and a LF there for the end of the section:
    /// with `0\r\n\n` it swallows what another reader takes for the next request, up to an empty line (attack A12).
    fn check_trailers(&self, trailers: Option<&HeaderMap>) -> Result<(), (Fate, RequestBodyError)> {
        let Some(trailers) = trailers else {
            return Ok(());
        };
        if trailers.is_empty() && self.version < Version::HTTP_2 {
            return Err((Fate::Broken, RequestBodyError::NoTrailers));
        }
        let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let bytes: usize = trailers.iter().map(size).sum();
        if trailers.len() > MAX_TRAILERS || bytes > MAX_TRAILER_BYTES {
            return Err((Fate::TrailersTooLarge, RequestBodyError::TrailersTooLarge));
        }
        Ok(())
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
                    return self.fail(Fate::Broken, RequestBodyError::Broken(error));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => match self.check_trailers(frame.trailers_ref()) {
                        Ok(()) => continue,
                        Err((fate, error)) => return self.fail(fate, error),
                    },
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

/// Most fields in a trailer section, and most bytes of names and values in it.
const MAX_TRAILERS: usize = 16;
const MAX_TRAILER_BYTES: usize = 4 * 1024;
