//! What an answer to a request has to know of it after its head is gone.

use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::worker::Worker;
use crate::decide::{self, Present};

/// How to speak to whoever asked.
pub(super) struct Asker {
    pub(super) method: Method,
    pub(super) accept: Option<HeaderValue>,
    pub(super) origin: Option<HeaderValue>,
    /// A body was announced.
    pub(super) has_body: bool,
    pub(super) takes_trailers: bool,
}

impl Asker {
    /// Whoever sent `head`, in which `present` are.
    pub(super) fn of(head: &Parts, present: Present, worker: &Worker) -> Self {
        let headers = &head.headers;
        let accept = || whole(headers, &ACCEPT);
        let origin = || decide::allowed_origin(head, &worker.shared.policy).cloned();
        Self {
            method: head.method.clone(),
            accept: present.has(Present::ACCEPT).then(accept).flatten(),
            origin: present.has(Present::ORIGIN).then(origin).flatten(),
            has_body: present.has(Present::BODY) && decide::announces_body(headers),
            takes_trailers: present.has(Present::TE) && decide::wants_trailers(headers),
        }
    }
}

/// The value of a field that is a list: several of its name are one with commas between (RFC 9110 section 5.3).
fn whole(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    let mut rest = values.peekable();
    if rest.peek().is_none() {
        return Some(first.clone());
    }
    let mut joined = first.as_bytes().to_vec();
    for value in rest {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value.as_bytes());
    }
    HeaderValue::from_bytes(&joined).ok()
}
