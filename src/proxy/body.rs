//! The body of an answer as it streams through: counted, cut where its tenant goes, released when it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::record::Record;
use super::respond::Upstreamed;
use crate::decide::rewrite;
use crate::proxy::io::Exchange;

/// The body of an answer to a visitor.
pub(super) struct EdgeBody {
    source: Source,
    /// Written when the body ends, however it ends.
    record: Option<Box<Record>>,
    /// Held until the answer has ended.
    exchange: Option<Exchange>,
    trailers: bool,
}

enum Source {
    Own(Option<Bytes>),
    Upstream(Box<Upstreamed>),
    #[cfg(test)]
    Panics,
}

impl Source {
    fn is_over(&self) -> bool {
        match self {
            Self::Own(body) => body.is_none(),
            Self::Upstream(served) => served.answer.response.body().is_end_stream(),
            #[cfg(test)]
            Self::Panics => false,
        }
    }
}

/// Why an answer's body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum EdgeBodyError {
    #[error("the tenant is no longer served under this name")]
    Cut,
    #[error("the upstream's answer broke off")]
    Upstream(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("this program failed")]
    Fault,
}

impl EdgeBody {
    /// An answer made here.
    pub(super) fn own(body: Bytes, record: Box<Record>, exchange: Exchange) -> Self {
        let source = Source::Own(Some(body).filter(|body| !body.is_empty()));
        Self {
            source,
            record: Some(record),
            exchange: Some(exchange),
            trailers: false,
        }
    }

    /// The upstream's answer; `trailers` says whether the visitor can take them.
    pub(super) fn upstream(
        served: Box<Upstreamed>,
        record: Box<Record>,
        exchange: Exchange,
        trailers: bool,
    ) -> Self {
        Self {
            source: Source::Upstream(served),
            record: Some(record),
            exchange: Some(exchange),
            trailers,
        }
    }

    /// An answer that is neither counted nor logged: whoever made it has done so.
    pub(super) fn untold(body: Bytes) -> Self {
        Self {
            source: Source::Own(Some(body).filter(|body| !body.is_empty())),
            record: None,
            exchange: None,
            trailers: false,
        }
    }

    /// The empty body of a 101: the connection is the tunnel's from here.
    pub(super) fn tunnel(exchange: Exchange) -> Self {
        exchange.into_tunnel();
        Self::untold(Bytes::new())
    }

    /// The visitor took no more of it, or nothing more of it came.
    pub(super) fn broke_off(&mut self) {
        self.ended(false);
    }

    /// Sends on what the visitor still sends of its request, while it takes nothing of the answer.
    pub(super) fn drive_upload(&mut self, cx: &mut Context<'_>) {
        if let Source::Upstream(served) = &mut self.source {
            served.answer.response.body_mut().drive_upload(cx);
        }
    }

    fn ended(&mut self, complete: bool) {
        if let Some(record) = self.record.take() {
            record.finish(complete);
        }
    }
}

impl Body for EdgeBody {
    type Data = Bytes;
    type Error = EdgeBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EdgeBodyError>>> {
        let this = &mut *self;
        let polled = catch_unwind(AssertUnwindSafe(|| this.poll_guarded(cx)));
        polled.unwrap_or_else(|_| {
            if let Some(record) = &this.record {
                record.failed();
            }
            this.ended(false);
            Poll::Ready(Some(Err(EdgeBodyError::Fault)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Source::Upstream(served) => served.answer.response.body().size_hint(),
            #[cfg(test)]
            Source::Panics => SizeHint::new(),
        }
    }
}

impl EdgeBody {
    /// The next frame. A panic in here breaks this answer off, and leaves the connection's other streams alone.
    fn poll_guarded(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EdgeBodyError>>> {
        if let Some(exchange) = &self.exchange {
            exchange.progress();
        }
        let frame = match &mut self.source {
            Source::Own(body) => body.take().map(|body| Ok(Frame::data(body))),
            #[cfg(test)]
            Source::Panics => panic!("as told"),
            Source::Upstream(served) if served.live.is_cut(cx) => Some(Err(EdgeBodyError::Cut)),
            Source::Upstream(served) => {
                let Upstreamed { answer, live, .. } = &mut **served;
                let body = answer.response.body_mut();
                match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        // There is more, and perhaps nobody who takes it: the next call may never come.
                        if !body.is_end_stream() {
                            live.waits(cx);
                        }
                        frame.map(|frame| {
                            frame.map_err(|error| EdgeBodyError::Upstream(error.into()))
                        })
                    }
                    Poll::Pending => {
                        live.waits(cx);
                        return Poll::Pending;
                    }
                }
            }
        };
        match frame {
            None => {
                self.ended(true);
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                self.ended(false);
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(frame)) => {
                if let Some(exchange) = &self.exchange {
                    exchange.waiting_on_visitor();
                }
                let passed = self.pass(frame);
                if passed.is_none() {
                    self.ended(true);
                }
                Poll::Ready(passed.map(Ok))
            }
        }
    }

    /// The frame as it goes on: data counted, trailers cleaned; `None` where the visitor cannot take trailers, which end the body.
    fn pass(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        match frame.into_data() {
            Ok(data) => {
                if let Some(record) = &mut self.record {
                    record.sent(data.len());
                }
                Some(Frame::data(data))
            }
            Err(frame) => {
                let mut trailers = frame.into_trailers().ok().filter(|_| self.trailers)?;
                rewrite::clean_trailers(&mut trailers);
                Some(Frame::trailers(trailers))
            }
        }
    }
}

impl Drop for EdgeBody {
    /// A codec drops a body that it needs no more: an empty one, one of known length once all is there, or one nobody waits for.
    fn drop(&mut self) {
        let complete = self.source.is_over();
        self.ended(complete);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn i19_a_panic_within_an_answer_breaks_it_off() {
        let mut body = EdgeBody::untold(Bytes::new());
        body.source = Source::Panics;
        let broken = body.frame().await.unwrap();
        assert!(matches!(broken, Err(EdgeBodyError::Fault)));
    }
}
