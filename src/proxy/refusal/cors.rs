//! What a script of another origin may see of our answers (the Fetch standard's CORS protocol).

use bytes::Bytes;
use http::header::{
    self, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::{REQUEST_ID, answer, insert_text};

/// Makes an answer readable for `origin`, which is one of those allowed.
pub(super) fn insert_fields(head: &mut HeaderMap, origin: &HeaderValue) {
    insert_allowance(head, origin);
    head.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("x-request-id, retry-after"),
    );
}

fn insert_allowance(head: &mut HeaderMap, origin: &HeaderValue) {
    // The very origin, never `*`: with credentials a browser takes nothing else.
    head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    head.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
}

/// A browser's question before it sends a request of an allowed origin.
#[derive(Debug, Clone, Copy)]
pub struct Preflight<'a> {
    /// `Origin`, one of those allowed.
    pub origin: &'a HeaderValue,
    /// `Access-Control-Request-Method`
    pub method: &'a HeaderValue,
    /// `Access-Control-Request-Headers`
    pub headers: Option<&'a HeaderValue>,
    /// The request's number.
    pub request_id: &'a str,
}

/// Allows what was asked for: which methods and fields mean anything is the application's business, and the request itself
/// still needs its token.
pub fn preflight(question: &Preflight<'_>) -> Response<Bytes> {
    let mut head = HeaderMap::with_capacity(8);
    insert_allowance(&mut head, question.origin);
    head.insert(ACCESS_CONTROL_ALLOW_METHODS, question.method.clone());
    if let Some(headers) = question.headers {
        head.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
    head.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(
        header::VARY,
        HeaderValue::from_static(
            "origin, access-control-request-method, access-control-request-headers",
        ),
    );
    insert_text(&mut head, &REQUEST_ID, question.request_id);
    answer(StatusCode::NO_CONTENT, head, Vec::new())
}

/// In seconds: a change of `cors_origins` is felt after ten minutes; browsers cap this at hours anyway.
const MAX_AGE: &str = "600";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_is_answered_with_what_it_asked_for() {
        let [origin, method, headers] =
            ["https://app.example", "PATCH", "authorization, x-csrf"].map(HeaderValue::from_static);
        let question = Preflight {
            origin: &origin,
            method: &method,
            headers: Some(&headers),
            request_id: "r1",
        };
        let response = preflight(&question);
        assert_eq!(response.status(), 204);
        assert!(response.body().is_empty());
        let field = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!(field("access-control-allow-origin"), "https://app.example");
        assert_eq!(field("access-control-allow-credentials"), "true");
        assert_eq!(field("access-control-allow-methods"), "PATCH");
        assert_eq!(
            field("access-control-allow-headers"),
            "authorization, x-csrf"
        );
        assert_eq!(field("access-control-max-age"), "600");
        assert_eq!(field("x-request-id"), "r1");
        assert!(field("vary").contains("origin"));

        let bare = preflight(&Preflight {
            headers: None,
            ..question
        });
        assert!(!bare.headers().contains_key("access-control-allow-headers"));
    }
}
