//! Health, metrics, public keys.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::model::{Causes, Code};
use crate::shutdown::Phase;
use crate::sign;

use super::{AdminState, error};

/// The process answers: that is all it says.
pub(super) async fn healthz() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "ok").into_response()
}

/// Whether balancers should send visitors here, and if not, what is missing.
pub(super) async fn readyz(State(state): State<AdminState>) -> Response {
    let report = Report::of(&state);
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let fields = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    match serde_json::to_vec(&report) {
        Ok(json) => (status, fields, json).into_response(),
        Err(_) => status.into_response(),
    }
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    /// `listeners`, `routes`
    missing: Vec<&'static str>,
    draining: bool,
}

impl Report {
    fn of(state: &AdminState) -> Self {
        let now = (state.ready)();
        let parts = [
            ("listeners", now.listeners_bound),
            ("routes", now.routes_known),
        ];
        let missing: Vec<_> = parts
            .into_iter()
            .filter(|(_, there)| !there)
            .map(|(name, _)| name)
            .collect();
        let draining = state.stopping.phase() >= Phase::Announced;
        Self {
            ready: missing.is_empty() && !draining,
            missing,
            draining,
        }
    }
}

/// The Prometheus text exposition.
pub(super) async fn metrics(State(state): State<AdminState>) -> Response {
    let fields = [
        (
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match state.metrics.encode() {
        Ok(text) => (fields, text).into_response(),
        Err(error) => {
            tracing::error!(error = %Causes(&error), "the metrics could not be written");
            error::refuse(
                Code::InternalError,
                "The metrics could not be written; the log says why.",
            )
        }
    }
}

/// The public keys of assertions. A rotation publishes a key for at least twice this age before it signs (`docs/assertion.md`).
pub(super) async fn jwks(State(state): State<AdminState>) -> Response {
    let fields = [
        (header::CONTENT_TYPE, sign::JWKS_CONTENT_TYPE),
        (header::CACHE_CONTROL, sign::JWKS_CACHE_CONTROL),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (fields, (state.jwks)()).into_response()
}
