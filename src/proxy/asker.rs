//! What an answer to a request has to know of it after its head is gone.

use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderValue, Method};

use super::worker::Worker;
use crate::decide;

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
    pub(super) fn of(head: &Parts, worker: &Worker) -> Self {
        let headers = &head.headers;
        Self {
            method: head.method.clone(),
            accept: headers.get(ACCEPT).cloned(),
            origin: decide::allowed_origin(head, &worker.shared.policy).cloned(),
            has_body: decide::announces_body(headers),
            takes_trailers: decide::wants_trailers(headers),
        }
    }
}
