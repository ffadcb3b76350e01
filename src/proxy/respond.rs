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
use crate::upstream::AnswerBody;

/// An upstream's answer with what it was asked for and within.
pub(super) struct Upstreamed {
    pub(super) response: Response<AnswerBody<RequestBody>>,
    pub(super) permit: Permit,
    pub(super) live: Cuttable,
}

/// The answer as the visitor gets it: head cleaned, permit and record attached to its body.
pub(super) fn stream(
    worker: &Rc<Worker>,
    asker: &Asker,
    ids: &RequestIds,
    mut record: Box<Record>,
    exchange: Exchange,
    served: Upstreamed,
) -> Response<EdgeBody> {
    let Upstreamed {
        response,
        permit,
        mut live,
    } = served;
    let (mut head, body) = response.into_parts();
    record.status = head.status;
    let trailers = record.takes_trailers(asker.takes_trailers);
    let trailer = rewrite::announced_trailers(&head.headers).filter(|_| trailers);
    rewrite::clean_answer(&mut head.headers);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let headers = &mut head.headers;
    headers.insert(rewrite::REQUEST_ID.clone(), ids.request.clone());
    headers.append(http::header::VIA, worker.shared.policy.via.clone());
    if let Some(trailer) = trailer {
        headers.insert(TRAILER, trailer);
    }
    // Over HTTP/2 a window that is shut keeps the codec from asking for any of the body.
    if record.version == Version::HTTP_2 && !body.is_end_stream() {
        live.lasts();
    }
    let body = EdgeBody::upstream(body, permit, live, record, exchange, trailers);
    Response::from_parts(head, body)
}
