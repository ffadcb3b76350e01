//! An answer: whether its head can be passed on, and the body that gives the connection back.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode, Version, response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::SendError;
use super::outgoing::Asked;
use super::pool::InUse;

/// What an upstream answered.
pub struct Answer<B> {
    /// Checked: the status is one of RFC 9110, the framing has one meaning, the version is ours. Hop-by-hop fields are still there.
    /// After a 101 that was asked for, [`hyper::upgrade::on`] gives the connection.
    pub response: Response<AnswerBody<B>>,
    /// Who answered.
    pub endpoint: SocketAddr,
    /// Whether the request was sent twice.
    pub retried: bool,
}

/// The body of an answer. It must be read to its end for the connection to be used again; dropping it before closes the connection.
pub struct AnswerBody<B> {
    incoming: Incoming,
    /// What had come with the head.
    first: Option<Frame<Bytes>>,
    line: Option<InUse<B>>,
    idle: Duration,
    /// Since when a read has been waiting.
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a body ends early. What was passed on must not look complete.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection broke or the framing is wrong.
    #[error("the answer's body is incomplete")]
    Broken(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("the upstream sent nothing for {0:?}")]
    Idle(Duration),
}

/// Checks the answer and joins its body with the connection.
///
/// What has come of the body already is looked at: an answer that is broken from its first chunk on is refused while the visitor
/// has been sent nothing.
pub(super) fn admit<B>(
    mut line: InUse<B>,
    response: Response<Incoming>,
    asked: &Asked,
    idle: Duration,
    retried: bool,
) -> Result<Answer<B>, SendError> {
    let endpoint = line.seat.address().socket;
    let invalid = |reason, source| SendError::Invalid {
        endpoint,
        reason,
        source,
    };
    let (mut head, incoming) = response.into_parts();
    check(&head, asked).map_err(|reason| invalid(reason, None))?;
    // The codec would speak 1.0 on this connection from now on, which has no chunked request bodies.
    line.reusable = head.version != Version::HTTP_10 && !strip_bodyless(&mut head);
    head.version = Version::HTTP_11;
    let mut body = AnswerBody {
        incoming,
        first: None,
        line: None,
        idle,
        waiting: None,
        timer: None,
    };
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        line.connection.detach();
    } else {
        body.line = Some(line);
        body.look_ahead()
            .map_err(|error| invalid("its body is malformed", Some(error)))?;
    }
    Ok(Answer {
        response: Response::from_parts(head, body),
        endpoint,
        retried,
    })
}

/// What the codec accepts but cannot be passed on with one meaning (RFC 9112 sections 6.1 and 6.3, RFC 9110 sections 7.8 and 15).
fn check(head: &response::Parts, asked: &Asked) -> Result<(), &'static str> {
    if head.status.as_u16() > 599 {
        return Err("its status is not one of HTTP");
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !was_offered(&head.headers, asked) {
        return Err("it switches to a protocol that was not asked for");
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = head.headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(()),
        (Some(_), Some(_)) => Err("it has both a length and a transfer coding"),
        (Some(coding), None) => {
            let chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
            let only = chunked && codings.next().is_none();
            only.then_some(())
                .ok_or("its transfer coding is not just chunked")
        }
        (None, Some(length)) => {
            let number = !length.is_empty() && length.as_bytes().iter().all(u8::is_ascii_digit);
            let only = number && lengths.next().is_none();
            only.then_some(()).ok_or("its length is not one number")
        }
    }
}

/// Whether the protocol that the upstream switches to is one of those that the request offered.
fn was_offered(headers: &HeaderMap, asked: &Asked) -> bool {
    let text =
        |value: Option<&http::HeaderValue>| value.and_then(|v| v.to_str().ok().map(str::to_owned));
    let (Some(offered), Some(taken)) = (text(asked.upgrade.as_ref()), text(headers.get(UPGRADE)))
    else {
        return false;
    };
    let taken = taken.trim();
    offered
        .split(',')
        .any(|one| one.trim().eq_ignore_ascii_case(taken))
}

/// A 204 has no body, whatever its head says (RFC 9110 section 8.6 forbids both fields); true if the head said something, because
/// then body bytes may follow that would be taken for the next answer.
fn strip_bodyless(head: &mut response::Parts) -> bool {
    if head.status != StatusCode::NO_CONTENT {
        return false;
    }
    let coding = head.headers.remove(TRANSFER_ENCODING);
    let length = head.headers.remove(CONTENT_LENGTH);
    coding.is_some() || length.is_some_and(|length| length != "0")
}

impl<B> AnswerBody<B> {
    /// Takes what has come already. Not asynchronous, because nothing is waited for; the next read registers its own waker.
    fn look_ahead(&mut self) -> Result<(), hyper::Error> {
        if !self.incoming.is_end_stream() {
            let mut cx = Context::from_waker(Waker::noop());
            match Pin::new(&mut self.incoming).poll_frame(&mut cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Some(frame)) => self.first = Some(frame?),
                Poll::Ready(None) => self.finish(),
            }
        }
        if self.incoming.is_end_stream() {
            self.finish();
        }
        Ok(())
    }

    /// The end was reached: the connection is free.
    fn finish(&mut self) {
        if let Some(line) = self.line.take() {
            line.give_back();
        }
    }

    /// Ready when nothing has come for too long. Writes count too: while an upload goes on, the upstream has reason to be silent.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let idle = self.idle;
        let written = self
            .line
            .as_ref()
            .map(|line| line.connection.activity.written_at());
        let until = written.map_or(since, |written| written.max(since)) + idle;
        // The timer is moved only when it rings, not with every read.
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

impl<B> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        if let Some(first) = body.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Poll::Ready(frame) = Pin::new(&mut body.incoming).poll_frame(cx) else {
            ready!(body.poll_idle(cx));
            body.line = None;
            return Poll::Ready(Some(Err(BodyError::Idle(body.idle))));
        };
        body.waiting = None;
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if frame.is_trailers() || body.incoming.is_end_stream() {
                    body.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                body.line = None;
                Some(Err(BodyError::Broken(error)))
            }
            None => {
                body.finish();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let come = self
            .first
            .as_ref()
            .and_then(Frame::data_ref)
            .map_or(0, Bytes::len);
        let come = u64::try_from(come).unwrap_or(u64::MAX);
        let rest = self.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(come));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(come));
        }
        hint
    }
}

impl<B> fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.response.status())
            .field("endpoint", &self.endpoint)
            .field("retried", &self.retried)
            .finish_non_exhaustive()
    }
}
