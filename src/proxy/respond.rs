//! An upstream's answer on its way to the visitor.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderValue, Response, StatusCode, Version, response};
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
    let announced = announced_length(&head, &record);
    let streams = record.version < Version::HTTP_2 && body.size_hint().exact().is_none();
    let trailer = rewrite::announced_trailers(&head.headers)
        .or_else(|| streams.then_some(USUAL_TRAILERS))
        .filter(|_| trailers);
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
    Response::from_parts(head, body.announcing(announced))
}

/// What may follow an answer whose head announces nothing. Over HTTP/1 hyper sends only trailers that the head announces, and whoever
/// forgets to announce them is gRPC or times itself; any others end here, as they may (RFC 9110 section 6.5.1).
const USUAL_TRAILERS: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin, server-timing");

/// What a 304 over HTTP/1 says of the length of the body that the visitor has already.
fn announced_length(head: &response::Parts, record: &Record) -> Option<u64> {
    if head.status != StatusCode::NOT_MODIFIED || record.version == Version::HTTP_2 {
        return None;
    }
    head.headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
