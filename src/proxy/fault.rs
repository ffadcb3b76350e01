//! A fault of this program costs the request that it happens in, and nothing else (attack I19).
//!
//! The story of a request has a guard of its own, behind which everything is there to say what happened. This is the outer one, around
//! what that one needs itself: the record, the ids, the rendering, the end.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::body::EdgeBody;
use super::refusal::{RefusalContext, render};
use crate::metrics::Metrics;
use crate::model::{Code, Refusal};

/// The refusal of a request in which this program failed.
pub(super) fn refusal() -> Refusal {
    Refusal::new(
        Code::InternalError,
        "Try again; if it happens again, tell the operator the request id.",
    )
}

/// What the bare answer goes by.
pub(super) struct Contained<'a> {
    pub(super) metrics: &'a Metrics,
    pub(super) node: &'a str,
    /// The id of a request whose record a panic took along: left there for the answer, which is made at once and on the same thread.
    pub(super) lost: &'a Cell<Option<HeaderValue>>,
}

impl Contained<'_> {
    /// Serves `answer`; where that panics, a 500 that needs nothing of what it had.
    pub(super) async fn answer(
        self,
        method: &Method,
        answer: impl Future<Output = Response<EdgeBody>>,
    ) -> Response<EdgeBody> {
        self.lost.take();
        let answer = AssertUnwindSafe(answer).catch_unwind().await;
        answer.unwrap_or_else(|_| self.bare(method))
    }

    fn bare(&self, method: &Method) -> Response<EdgeBody> {
        self.metrics.panics.inc();
        let id = self.lost.take();
        let context = RefusalContext {
            method,
            accept: None,
            request_id: id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or(""),
            node: self.node,
            cors_origin: None,
            host: None,
            cookie: None,
        };
        // It may be the rendering that fails.
        let rendered = catch_unwind(AssertUnwindSafe(|| render(&refusal(), &context)));
        let mut response = rendered.unwrap_or_else(|_| {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        });
        // Over HTTP/1 nobody knows how much of the request has been read. (HTTP/2 leaves the field out, and goes on.)
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        response.map(EdgeBody::untold)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn answered(
        method: Method,
        answer: impl Future<Output = Response<EdgeBody>>,
    ) -> (Response<Bytes>, u64) {
        let metrics = Metrics::new(0).unwrap();
        let lost = Cell::new(Some(HeaderValue::from_static("of another")));
        let contained = Contained {
            metrics: &metrics,
            node: "edge-1",
            lost: &lost,
        };
        let answer = async {
            assert_eq!(lost.replace(Some(HeaderValue::from_static("r1"))), None);
            answer.await
        };
        let (head, body) = contained.answer(&method, answer).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(head, body), metrics.panics.get())
    }

    async fn fails(later: bool) -> Response<EdgeBody> {
        if later {
            tokio::task::yield_now().await;
        }
        panic!("as told");
    }

    #[tokio::test]
    async fn i19_a_panic_outside_the_story_is_a_500_that_says_so() {
        for later in [false, true] {
            let (answer, panics) = answered(Method::GET, fails(later)).await;
            assert_eq!((answer.status().as_u16(), panics), (500, 1));
            let field = |name: &str| answer.headers()[name].to_str().unwrap();
            assert_eq!(field("content-type"), "application/problem+json");
            assert_eq!(field("cache-control"), "no-store");
            assert_eq!(field("x-request-id"), "r1");
            assert_eq!(field("connection"), "close");
            assert!(field("proxy-status").starts_with("edge-1"));
            let body = std::str::from_utf8(answer.body()).unwrap();
            assert!(body.contains("internal_error") && !body.contains("as told"));
        }
        let (answer, _) = answered(Method::HEAD, fails(true)).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (500, 0));
    }

    #[tokio::test]
    async fn what_does_not_fail_is_left_as_it_is() {
        let well = async { Response::new(EdgeBody::untold(Bytes::from_static(b"well"))) };
        let (answer, panics) = answered(Method::GET, well).await;
        assert_eq!((answer.status().as_u16(), panics), (200, 0));
        assert_eq!(answer.body().as_ref(), b"well");
    }
}
