//! How a refusal looks on the wire: a problem document, or a page where a browser asks.
//!
//! What is refused and why is decided elsewhere; the table of codes is `model/refusal.rs`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use crate::model::refusal::Extra;
use crate::model::{Code, PROBLEM_JSON, Problem, Refusal};

mod cors;
mod forget_session;
mod negotiate;
mod page;
mod proxy_status;

pub use cors::{Preflight, preflight};
pub use forget_session::{FORGET_SESSION_PATH, ForgetSession, forget_session};

/// What a rendering depends on besides the refusal itself: all of it the visitor's own words, or this node's name.
#[derive(Debug, Clone, Copy)]
pub struct RefusalContext<'a> {
    /// The request's method: HEAD gets no body.
    pub method: &'a Method,
    /// The request's `Accept`.
    pub accept: Option<&'a HeaderValue>,
    /// The request's number.
    pub request_id: &'a str,
    /// This node's name for `Proxy-Status`; empty where it has none.
    pub node: &'a str,
    /// The request's `Origin`, if it is one of `cors_origins`.
    pub cors_origin: Option<&'a HeaderValue>,
    /// The host as the visitor sent it, shown where address and session disagree.
    pub host: Option<&'a str>,
    /// The cookie of [`Extra::Cookie`], by name.
    pub cookie: Option<&'a str>,
}

/// The whole answer. HEAD gets the head that GET would get, without the body.
pub fn render(refusal: &Refusal, context: &RefusalContext<'_>) -> Response<Bytes> {
    let html = context.accept.is_some_and(negotiate::prefers_html);
    let body = if html {
        page::render(refusal, context).into_bytes()
    } else {
        problem(refusal, context.request_id).to_json()
    };
    let mut head = HeaderMap::with_capacity(18);
    head.insert(header::CONTENT_LENGTH, body.len().into());
    if html {
        page::insert_fields(&mut head, refusal);
    } else {
        head.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    }
    insert_common(&mut head, context);
    insert_by_code(&mut head, refusal, context.node);

    let body = if context.method == Method::HEAD {
        Vec::new()
    } else {
        body
    };
    answer(status(refusal.code), head, body)
}

fn problem<'a>(refusal: &'a Refusal, request_id: &'a str) -> Problem<'a> {
    let code = refusal.code;
    Problem::new(code.as_str(), code.status(), code.title(), refusal.detail)
        .of_request(request_id)
        .with_progress(progress(refusal))
}

/// In percent, where the refusal says how far something has come.
fn progress(refusal: &Refusal) -> Option<u8> {
    match refusal.extra {
        Extra::Progress(percent) => Some(percent.min(100)),
        _ => None,
    }
}

fn insert_common(head: &mut HeaderMap, context: &RefusalContext<'_>) {
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(header::VARY, HeaderValue::from_static("accept, origin"));
    head.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    insert_text(head, &REQUEST_ID, context.request_id);
    if let Some(origin) = context.cors_origin {
        cors::insert_fields(head, origin);
    }
}

fn insert_by_code(head: &mut HeaderMap, refusal: &Refusal, node: &str) {
    insert_text(
        head,
        &PROXY_STATUS,
        &proxy_status::field(refusal.code, node),
    );
    if let Some(seconds) = retry_after(refusal) {
        head.insert(header::RETRY_AFTER, seconds.into());
    }
    match (refusal.code, refusal.extra) {
        (Code::TokenInvalid, _) => {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            head.insert(header::WWW_AUTHENTICATE, challenge);
        }
        (Code::MethodNotAllowed, Extra::Allow(methods)) => {
            insert_text(head, &header::ALLOW, methods)
        }
        (Code::MethodNotAllowed, _) => insert_text(head, &header::ALLOW, USUAL_METHODS),
        _ => {}
    }
}

/// Whole seconds, rounded up and at least 1, so that whoever obeys does not come too early. Every 429 and 503 has it.
fn retry_after(refusal: &Refusal) -> Option<u64> {
    let owed = matches!(refusal.code.status(), 429 | 503).then_some(Duration::ZERO);
    let wait = refusal.retry_after.or(owed)?;
    let rounded_up = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    Some(rounded_up.max(1))
}

/// Leaves the field out where `text` may not stand in one: an answer without it is better than none.
fn insert_text(head: &mut HeaderMap, name: &HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        head.insert(name, value);
    }
}

fn status(code: Code) -> StatusCode {
    // The table's test shows that every code has a status.
    StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn answer(status: StatusCode, head: HeaderMap, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = head;
    response
}

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
/// What is not refused by method (TRACE and CONNECT are).
const USUAL_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

#[cfg(test)]
mod tests;
