//! What the admin listener says when it does not do what was asked: problem documents (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::model::{Code, PROBLEM_JSON, Problem};

pub(super) async fn not_found() -> Response {
    let detail = "There is /healthz, /readyz, /metrics and /.well-known/jwks.json.";
    answer(
        &Problem::new("not_found", 404, "There is nothing here", detail),
        StatusCode::NOT_FOUND,
    )
}

/// The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    refuse(Code::MethodNotAllowed, "This address can only be read.")
}

/// An answer with the words of the table of refusals.
pub(super) fn refuse(code: Code, detail: &str) -> Response {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer(
        &Problem::new(code.as_str(), code.status(), code.title(), detail),
        status,
    )
}

fn answer(problem: &Problem<'_>, status: StatusCode) -> Response {
    let fields = [
        (header::CONTENT_TYPE, PROBLEM_JSON),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, fields, problem.to_json()).into_response()
}
