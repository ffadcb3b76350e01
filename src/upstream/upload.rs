//! A request on its way out: its head, then its body as the visitor sends it. Trailers are dropped: no upstream may be told through
//! them what the head is checked for.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Method};
use http_body::Body;
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use super::wire::Stream;
use crate::http1::{Outgoing, RequestHead};

/// A request as the upstream gets it.
#[derive(Debug)]
pub struct Request<B> {
    /// Final but for the framing, of which nothing is in it, and the empty line: hop-by-hop fields gone, the visitor's `Host`.
    pub head: RequestHead,
    /// As in the head.
    pub method: Method,
    /// The length that the visitor announced.
    pub length: Option<u64>,
    /// The protocols that are offered, where the head asks for an upgrade.
    pub upgrade: Option<HeaderValue>,
    /// What follows the head. Its trailers are dropped.
    pub body: B,
    /// Now.
    pub begun: Instant,
}

/// What an answer is judged by.
pub(super) struct Asked {
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether the request may be sent twice: it has no body and its method is idempotent (RFC 9110 section 9.2.2).
    pub(super) repeatable: bool,
    /// Whether its answer has no body whatever its head says.
    pub(super) is_head: bool,
}

/// Bytes that are to be sent, and the body that more of them come from.
pub(super) struct Upload<B> {
    out: Outgoing<RequestHead>,
    body: Option<Framed<B>>,
    stage: Stage,
    /// When bytes last moved, from the visitor or to the upstream; of a request without a body, when it was begun.
    moved: Instant,
    has_body: bool,
    /// Whether the upstream's kernel was given any byte.
    begun: bool,
    /// The upstream takes no more.
    broken: bool,
}

struct Framed<B> {
    body: B,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    /// Bytes that are still announced.
    Length(u64),
    Chunked,
}

/// Who is to act next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The visitor has not sent more.
    Visitor,
    /// There is more, and the upstream has to take it.
    Upstream,
    /// All of it was handed over.
    Done,
}

/// Why a request's body went wrong: the visitor's doing.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    #[error("the request's body is not as long as announced")]
    Length,
    #[error("the request's body failed")]
    Body(#[source] Box<dyn Error + Send + Sync>),
}

fn expects_length(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

impl<B> Upload<B> {
    /// Begins again, for another connection: nothing of the request had been sent, or it has no body.
    pub(super) fn begin(&mut self, host: Option<&HeaderValue>) {
        if let Some(host) = host {
            self.out.head_mut().replace_host(host.as_bytes());
        }
        self.out.begin_again();
        self.begun = false;
        self.broken = false;
        if !self.has_body {
            self.stage = Stage::Upstream;
        }
    }

    /// The memory of the head, which was sent.
    pub(super) fn take_memory(&mut self) -> Vec<u8> {
        self.out.forget_head().into_memory()
    }

    pub(super) fn stage(&self) -> Stage {
        self.stage
    }

    /// When the visitor last sent or the upstream last took something.
    pub(super) fn moved_at(&self) -> Instant {
        self.moved
    }

    /// Whether it has a body.
    pub(super) fn has_body(&self) -> bool {
        self.has_body
    }

    /// Whether anything of it has left.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether all of it has left.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Makes `request` ready to be sent, its framing explicit, and says what its answer is judged by.
    pub(super) fn of(request: Request<B>) -> (Self, Asked) {
        let Request {
            mut head,
            method,
            length,
            upgrade,
            body,
            begun,
        } = request;
        // A body that was announced and does not come is not the same as none.
        let has_body = !body.is_end_stream() || length.is_some_and(|length| length > 0);
        let length = length.or_else(|| body.size_hint().exact().filter(|_| has_body));
        match length {
            Some(length) => {
                head.field(
                    "content-length",
                    itoa::Buffer::new().format(length).as_bytes(),
                );
            }
            None if has_body => head.field("transfer-encoding", b"chunked"),
            // Some servers answer 411 to a method that usually has a body (RFC 9110 section 8.6 asks for it).
            None if expects_length(&method) => head.field("content-length", b"0"),
            None => {}
        }
        head.end();
        let framing = length.map_or(Framing::Chunked, Framing::Length);
        let upload = Self {
            out: Outgoing::new(head),
            body: has_body.then_some(Framed { body, framing }),
            stage: Stage::Upstream,
            moved: begun,
            has_body,
            begun: false,
            broken: false,
        };
        let asked = Asked {
            upgrade,
            repeatable: !has_body && is_idempotent(&method),
            is_head: method == Method::HEAD,
        };
        (upload, asked)
    }

    /// Sends what can be sent. Ready when all of it has left.
    pub(super) fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadFault>> {
        if self.stage == Stage::Done {
            return Poll::Ready(Ok(()));
        }
        loop {
            // Before the first write, so that head and body leave together where both are there.
            let more = self.poll_body(cx);
            if let Poll::Ready(Err(fault)) = more {
                return Poll::Ready(Err(fault));
            }
            ready!(self.poll_write(stream, cx));
            match more {
                Poll::Pending => {
                    self.stage = Stage::Visitor;
                    return Poll::Pending;
                }
                _ if self.body.is_none() => {
                    self.stage = Stage::Done;
                    return Poll::Ready(Ok(()));
                }
                _ => {}
            }
        }
    }

    /// Takes the next piece of the body once the last one has left; ready where there is something to send or nothing more comes.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadFault>> {
        let Some(framed) = &mut self.body else {
            return Poll::Ready(Ok(()));
        };
        if !self.out.takes_more() {
            return Poll::Ready(Ok(()));
        }
        let piece = loop {
            match ready!(Pin::new(&mut framed.body).poll_frame(cx)) {
                None => break None,
                Some(Err(error)) => return Poll::Ready(Err(UploadFault::Body(error.into()))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => break Some(data),
                    // Trailers: the end comes next.
                    Err(_) => {}
                },
            }
        };
        self.stage = Stage::Upstream;
        self.moved = Instant::now();
        let ended = piece.is_none() || framed.body.is_end_stream();
        match (&mut framed.framing, piece) {
            (Framing::Length(left), piece) => {
                let data = piece.unwrap_or_default();
                match left.checked_sub(data.len() as u64) {
                    Some(rest) if rest == 0 || !ended => *left = rest,
                    _ => return Poll::Ready(Err(UploadFault::Length)),
                }
                self.out.put(data);
            }
            (Framing::Chunked, Some(data)) => self.out.put_chunk(data, ended),
            (Framing::Chunked, None) => self.out.put_end(),
        }
        if ended {
            self.body = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when nothing is left to write. An endpoint that answers before it has read all of a request, as with 413, and closes
    /// at once breaks what is still being written, while its answer lies there to be read (RFC 9112 section 9.5). So a broken write
    /// is no error but waits for ever: what is to be read until the end comes to pass in any case, and tells whether there is an
    /// answer.
    fn poll_write(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        while !self.broken && !self.out.is_empty() {
            match ready!(self.out.poll_write(stream, cx)) {
                Ok(0) | Err(_) => {
                    self.broken = true;
                    // Of what was given to TLS part may have left before the rest could not.
                    self.begun |= stream.is_tls();
                }
                Ok(_) => {
                    self.begun = true;
                    if self.has_body {
                        self.moved = Instant::now();
                    }
                }
            }
        }
        if self.broken || ready!(Pin::new(stream).poll_flush(cx)).is_err() {
            self.broken = true;
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}
