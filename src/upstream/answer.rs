//! An answer: whether its head can be passed on, and the body that gives the connection back.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::SendError;
use super::error::AnswerFault;
use super::pool::InUse;
use super::upload::{Asked, Upload};
use super::wire::Tunnel;
use crate::http1::{AnswerHead, BodyDecoder, BodyFault, Piece, ReadRoom};

/// What an upstream answered. Large, and handed on often: it comes boxed.
pub struct Answer<B> {
    /// Checked: the status is one of RFC 9110, the framing has one meaning, the version is ours. Hop-by-hop fields are still there.
    pub response: Response<AnswerBody<B>>,
    /// The connection, after a 101 that was asked for.
    pub tunnel: Option<Tunnel>,
    /// Who answered.
    pub endpoint: SocketAddr,
    /// Whether the request was sent twice.
    pub retried: bool,
}

/// The body of an answer. It must be read to its end for the connection to be used again; dropping it before closes the connection.
pub struct AnswerBody<B> {
    decoder: BodyDecoder,
    /// What had come with the head.
    first: Option<Bytes>,
    trailers: Option<Box<HeaderMap>>,
    line: Option<InUse>,
    /// What of the request is still on its way: an endpoint may answer before it has read all of it.
    upload: Option<Box<Upload<B>>>,
    idle: Duration,
    /// Since when a read has been waiting.
    waiting: Option<Instant>,
    /// What ended the body early, once that is known.
    failed: Option<BodyError>,
    room: ReadRoom,
}

/// Why a body ends early. What was passed on must not look complete.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The framing is wrong, or the connection ended too soon.
    #[error("the answer's body is incomplete")]
    Incomplete(#[source] BodyFault),
    /// The connection broke.
    #[error("the connection broke within the answer's body")]
    Broken(#[source] io::Error),
    /// Nothing came for too long.
    #[error("the upstream sent nothing for {0:?}")]
    Idle(Duration),
}

/// Checks the answer and joins its body with the connection.
///
/// What has come of the body already is looked at: an answer that is broken from its first chunk on is refused while the visitor
/// has been sent nothing.
pub(super) fn admit<B>(
    mut line: InUse,
    mut head: AnswerHead,
    upload: Upload<B>,
    asked: &Asked,
    idle: Duration,
    retried: bool,
) -> Result<Box<Answer<B>>, SendError> {
    let endpoint = line.seat.address().socket;
    let invalid = |reason, source| SendError::Invalid {
        endpoint,
        reason,
        source,
    };
    check(&head, asked).map_err(|reason| invalid(reason, None))?;
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !upload.is_done() {
        return Err(invalid("it switches before it has read the request", None));
    }
    let odd = strip_bodyless(&mut head);
    let decoder = decoder(&head, asked);
    // A server of 1.0 may mean by anything that it goes on; a body to the end of the connection leaves none.
    line.reusable = !odd
        && head.version == Version::HTTP_11
        && !says_close(&head.headers)
        && !decoder.is_until_close();
    let body = AnswerBody {
        decoder,
        first: None,
        trailers: None,
        line: None,
        upload: (!upload.is_done()).then(|| Box::new(upload)),
        idle,
        waiting: None,
        failed: None,
        room: ReadRoom::default(),
    };
    let mut answer = Box::new(Answer {
        response: Response::new(body),
        tunnel: None,
        endpoint,
        retried,
    });
    *answer.response.status_mut() = head.status;
    *answer.response.headers_mut() = head.headers;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let connection = *line.connection;
        answer.tunnel = Some(Tunnel::new(connection.stream, connection.read.freeze()));
    } else {
        let body = answer.response.body_mut();
        body.line = Some(line);
        body.look_ahead()
            .map_err(|fault| invalid("its body is malformed", Some(AnswerFault::Body(fault))))?;
    }
    Ok(answer)
}

/// How long the answer's body is (RFC 9112 section 6.3).
fn decoder(head: &AnswerHead, asked: &Asked) -> BodyDecoder {
    let bodiless = matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS
    );
    if asked.is_head || bodiless {
        return BodyDecoder::none();
    }
    if head.headers.contains_key(TRANSFER_ENCODING) {
        return BodyDecoder::chunked();
    }
    let length = head.headers.get(CONTENT_LENGTH);
    match length.and_then(|length| length.to_str().ok()?.parse().ok()) {
        Some(length) => BodyDecoder::of_length(length),
        None => BodyDecoder::until_close(),
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"close"))
}

/// What has the form of an answer but cannot be passed on with one meaning (RFC 9112 sections 6.1 and 6.3, RFC 9110 sections 7.8 and 15).
fn check(head: &AnswerHead, asked: &Asked) -> Result<(), &'static str> {
    if head.status.as_u16() > 599 {
        return Err("its status is not one of HTTP");
    }
    if head.status == StatusCode::SWITCHING_PROTOCOLS && !was_offered(&head.headers, asked) {
        return Err("it switches to a protocol that was not asked for");
    }
    if head.version == Version::HTTP_10 && head.headers.contains_key(TRANSFER_ENCODING) {
        return Err("it has a transfer coding, which HTTP/1.0 has not");
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
            let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
            let number = length
                .to_str()
                .is_ok_and(|text| text.parse::<u64>().is_ok());
            let only = digits && number && lengths.next().is_none();
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

/// A 204 has no body, whatever its head says (RFC 9110 section 8.6 forbids both fields), nor has a 304, whose length is that of
/// another answer; true if the head said something else, because then body bytes may follow that would be taken for the next one.
fn strip_bodyless(head: &mut AnswerHead) -> bool {
    if head.status == StatusCode::NOT_MODIFIED {
        return head.headers.remove(TRANSFER_ENCODING).is_some();
    }
    if head.status != StatusCode::NO_CONTENT {
        return false;
    }
    let coding = head.headers.remove(TRANSFER_ENCODING);
    let length = head.headers.remove(CONTENT_LENGTH);
    coding.is_some() || length.is_some_and(|length| length != "0")
}

impl<B> AnswerBody<B> {
    /// Takes what has come already. Nothing is waited for.
    fn look_ahead(&mut self) -> Result<(), BodyFault> {
        let Some(line) = &mut self.line else {
            return Ok(());
        };
        match self.decoder.next(&mut line.connection.read)? {
            Piece::Data(data) => self.first = Some(data),
            Piece::Trailers(trailers) => self.trailers = Some(Box::new(trailers)),
            Piece::End | Piece::Wanting => {}
        }
        self.finish_if_over();
        Ok(())
    }

    /// The end was reached: the connection is free, unless the request is still on its way.
    fn finish_if_over(&mut self) {
        if self.decoder.is_over()
            && let Some(line) = self.line.take()
            && self.upload.is_none()
        {
            line.give_back();
        }
    }

    /// Ready when nothing has come for too long. Writes count too: while an upload goes on, the upstream has reason to be silent.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(line) = &mut self.line else {
            return Poll::Pending;
        };
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let moved = self.upload.as_ref().map(|upload| upload.moved_at());
        let until = moved.map_or(since, |moved| moved.max(since)) + self.idle;
        let alarm = &mut line.connection.alarm;
        if alarm.rang() && until <= Instant::now() {
            return Poll::Ready(());
        }
        alarm.ring_by(until, cx);
        Poll::Pending
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        loop {
            let Some(line) = &mut self.line else {
                return Poll::Ready(Ok(Piece::End));
            };
            let connection = &mut *line.connection;
            let piece = self.decoder.next(&mut connection.read);
            match piece.map_err(BodyError::Incomplete)? {
                Piece::Wanting => {}
                piece => return Poll::Ready(Ok(piece)),
            }
            self.room.make(&mut connection.read);
            let Poll::Ready(count) = connection.stream.poll_fill(cx, &mut connection.read) else {
                ready!(self.poll_idle(cx));
                return Poll::Ready(Err(BodyError::Idle(self.idle)));
            };
            self.waiting = None;
            match count.map_err(BodyError::Broken)? {
                0 => self.decoder.closed().map_err(BodyError::Incomplete)?,
                count => self.room.filled(count),
            }
        }
    }
}

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Sends what is left of the request. What goes wrong there is told by the answer: it ends, or it does not.
    pub fn drive_upload(&mut self, cx: &mut Context<'_>) {
        if let (Some(upload), Some(line)) = (&mut self.upload, &mut self.line) {
            match upload.poll(&mut line.connection.stream, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.upload = None,
                // The request can never be whole: what the endpoint makes of it is an answer, the connection is spent.
                Poll::Ready(Err(_)) => {
                    line.reusable = false;
                    self.upload = None;
                }
            }
        }
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = self.get_mut();
        if body.upload.is_some() {
            body.drive_upload(cx);
        }
        if let Some(first) = body.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if let Some(trailers) = body.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        if let Some(error) = body.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let piece = ready!(body.poll_piece(cx));
        body.finish_if_over();
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Piece::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Piece::End | Piece::Wanting) => None,
            Err(error) => {
                body.line = None;
                // What was passed on a moment ago is to leave before the error: a reset of an HTTP/2 stream takes back what has not.
                body.failed = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.trailers.is_none() && self.decoder.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        let come = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(come);
        // Trailers need chunks to come behind.
        if let Some(left) = self.decoder.left().filter(|_| self.trailers.is_none()) {
            hint.set_exact(left.saturating_add(come));
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
