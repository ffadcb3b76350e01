//! Refusals that a page of another origin may read, and preflights that have nobody to go to.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderValue, Method};

use super::Policy;

/// The request's `Origin`, where it is one of `cors_origins`.
pub fn allowed_origin<'a>(head: &'a Parts, policy: &Policy) -> Option<&'a HeaderValue> {
    let origin = head.headers.get(ORIGIN)?;
    policy
        .routing
        .cors_origins
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes())
        .then_some(origin)
}

/// Whether it is a CORS preflight (Fetch standard, "CORS-preflight request").
pub fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
