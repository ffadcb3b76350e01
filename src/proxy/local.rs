//! Answers made here though nothing is wrong with the request.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CACHE_CONTROL,
    CONTENT_TYPE, COOKIE, LOCATION, REFERER,
};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::refusal;
use super::worker::Worker;
use crate::decide::rewrite::RequestIds;
use crate::decide::{self, Answer, RequestHost, Visit};
use crate::sign;

/// The answer that was decided upon.
pub(super) fn answer(
    worker: &Worker,
    answer: &Answer,
    head: &Parts,
    visit: &Visit,
    host: &RequestHost,
    ids: &RequestIds,
) -> Response<Bytes> {
    match answer {
        Answer::Redirect(location) => redirect(location),
        Answer::Keys => keys(worker),
        Answer::Options => options(),
        Answer::Preflight => preflight(worker, head, ids).unwrap_or_else(options),
        Answer::ForgetSession => {
            let request_id = ids.request.to_str().unwrap_or_default();
            forget_session(worker, head, visit, host.hostname.as_str(), request_id)
        }
    }
}

/// 200 or 503 for a balancer.
pub(super) fn probe(ready: bool) -> Response<Bytes> {
    let (status, text) = if ready {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    };
    plain(
        status,
        Bytes::from_static(text.as_bytes()),
        "text/plain; charset=utf-8",
    )
}

fn plain(status: StatusCode, body: Bytes, content_type: &'static str) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn redirect(location: &str) -> Response<Bytes> {
    let mut response = plain(StatusCode::PERMANENT_REDIRECT, Bytes::new(), "");
    // Built from a checked name and a target that the codec has read; anything else would have been refused before.
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn keys(worker: &Worker) -> Response<Bytes> {
    let shared = &worker.shared;
    let mut response = plain(StatusCode::OK, shared.signer.jwks(shared.clock.now()), "");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, sign::JWKS_CONTENT_TYPE);
    headers.insert(CACHE_CONTROL, sign::JWKS_CACHE_CONTROL);
    response
}

fn options() -> Response<Bytes> {
    let mut response = plain(StatusCode::NO_CONTENT, Bytes::new(), "");
    response.headers_mut().insert(
        ALLOW,
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    );
    response
}

/// Forgets the token cookies that the request carried.
fn forget_session(
    worker: &Worker,
    head: &Parts,
    visit: &Visit,
    hostname: &str,
    request_id: &str,
) -> Response<Bytes> {
    let sent = |name: &str| {
        head.headers
            .get_all(COOKIE)
            .iter()
            .any(|value| decide::has_cookie(value, name))
    };
    let issuers = &worker.shared.policy.routing.tokens;
    let cookies: Vec<&str> = issuers
        .iter()
        .filter_map(|issuer| issuer.cookie.as_deref())
        .filter(|name| sent(name))
        .collect();
    refusal::forget_session(&refusal::ForgetSession {
        cookies: &cookies,
        hostname,
        secure: decide::is_https(head, visit),
        referer: head.headers.get(REFERER),
        request_id,
    })
}

fn preflight(worker: &Worker, head: &Parts, ids: &RequestIds) -> Option<Response<Bytes>> {
    let origin = decide::allowed_origin(head, &worker.shared.policy)?;
    let method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let headers = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
    Some(refusal::preflight(&refusal::Preflight {
        origin,
        method,
        headers,
        request_id: ids.request.to_str().unwrap_or_default(),
    }))
}
