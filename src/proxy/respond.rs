//! An upstream's answer on its way to the visitor.

use std::rc::Rc;

use http::header::TRAILER;
use http::{Response, Version};
use http_body::Body as _;

use super::asker::Asker;
use super::body::EdgeBody;
use super::io::Exchange;
use super::live::Cuttable;
use super::record::Record;
use super::upload::RequestBody;
use super::worker::Worker;
use crate::decide::rewrite::{self, RequestIds};
use crate::guard::Permit;
use crate::upstream::Answer;

/// An upstream's answer with what it was asked for and within. Boxed: it is large, and handed on often.
pub(super) struct Upstreamed {
    pub(super) answer: Box<Answer<RequestBody>>,
    /// Given back when the answer has ended.
    pub(super) _permit: Permit,
    pub(super) live: Cuttable,
}

/// The answer as the visitor gets it: head cleaned, permit and record attached to its body.
pub(super) fn stream(
    worker: &Rc<Worker>,
    asker: &Asker,
    ids: &RequestIds,
    mut record: Box<Record>,
    exchange: Exchange,
    mut served: Box<Upstreamed>,
) -> Response<EdgeBody> {
    let answer = &mut served.answer.response;
    let status = answer.status();
    record.status = status;
    let mut headers = std::mem::take(answer.headers_mut());
    let trailers = record.takes_trailers(asker.takes_trailers);
    let trailer = rewrite::announced_trailers(&headers).filter(|_| trailers);
    rewrite::clean_answer(&mut headers);
    headers.insert(rewrite::REQUEST_ID.clone(), ids.request.clone());
    headers.append(http::header::VIA, worker.shared.policy.via.clone());
    if let Some(trailer) = trailer {
        headers.insert(TRAILER, trailer);
    }
    // Over HTTP/2 a window that is shut keeps the codec from asking for any of the body.
    if record.version == Version::HTTP_2 && !answer.body().is_end_stream() {
        served.live.lasts();
    }
    let mut response = Response::new(EdgeBody::upstream(served, record, exchange, trailers));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
