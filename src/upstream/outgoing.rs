//! A request on its way out: its body with a note of who is waited for, its framing, and what its answer may look like.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderValue, Method, Request};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The body handed to the codec. Trailers are dropped: no upstream may be told through them what the head is checked for.
pub(super) enum Outgoing<B> {
    /// No body; such a request can be sent again.
    Empty,
    /// The visitor's.
    Streaming { body: B, upload: Rc<Upload> },
}

/// How far a request's body has come.
#[derive(Debug)]
pub(super) struct Upload {
    stage: Cell<Stage>,
    moved: Cell<Instant>,
    failed: Cell<bool>,
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

impl Upload {
    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// When the visitor last sent something.
    pub(super) fn moved_at(&self) -> Instant {
        self.moved.get()
    }

    /// Whether the visitor's side failed.
    pub(super) fn failed(&self) -> bool {
        self.failed.get()
    }

    fn moved_to(&self, stage: Stage) {
        self.stage.set(stage);
        self.moved.set(Instant::now());
    }
}

/// What the answer is judged by once the request is gone.
pub(super) struct Asked {
    /// The protocols that were offered, where the request asks for an upgrade.
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether the request may be sent twice: it has no body and its method is idempotent (RFC 9110 section 9.2.2).
    pub(super) repeatable: bool,
    /// How far its body has come, if it has one.
    pub(super) upload: Option<Rc<Upload>>,
}

/// Makes `request` ready to be sent: its framing is explicit, its body watched.
pub(super) fn prepare<B>(request: Request<B>) -> (Request<Outgoing<B>>, Asked)
where
    B: Body<Data = Bytes>,
{
    let (mut head, body) = request.into_parts();
    let upgrade = head.headers.get(UPGRADE).cloned();
    if body.is_end_stream() {
        let expects_length = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
        if expects_length && !head.headers.contains_key(CONTENT_LENGTH) {
            // Some servers answer 411 to a method that usually has a body (RFC 9110 section 8.6 asks for it).
            head.headers
                .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let asked = Asked {
            upgrade,
            repeatable: is_idempotent(&head.method),
            upload: None,
        };
        return (Request::from_parts(head, Outgoing::Empty), asked);
    }
    if body.size_hint().exact().is_none() && !head.headers.contains_key(CONTENT_LENGTH) {
        // The codec would leave the body of a GET out if this were not said.
        head.headers
            .insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let upload = Rc::new(Upload {
        stage: Cell::new(Stage::Upstream),
        moved: Cell::new(Instant::now()),
        failed: Cell::new(false),
    });
    let asked = Asked {
        upgrade,
        repeatable: false,
        upload: Some(Rc::clone(&upload)),
    };
    (
        Request::from_parts(head, Outgoing::Streaming { body, upload }),
        asked,
    )
}

/// The same request once more. Only for a request without a body.
pub(super) fn copy<B>(request: &Request<Outgoing<B>>) -> Request<Outgoing<B>> {
    let mut copy = Request::new(Outgoing::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
    )
}

impl<B> Body for Outgoing<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self::Streaming { body, upload } = self.get_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if polled.is_pending() {
            upload.stage.set(Stage::Visitor);
        }
        match ready!(polled) {
            Some(Ok(frame)) if frame.is_data() => {
                let last = body.is_end_stream();
                upload.moved_to(if last { Stage::Done } else { Stage::Upstream });
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                upload.failed.set(true);
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(_)) | None => {
                upload.moved_to(Stage::Done);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming { body, .. } => body.size_hint(),
        }
    }
}
