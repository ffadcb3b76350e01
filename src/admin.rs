//! The operator's listener: health, metrics and public keys. The `[metrics]` listener serves the same.
//!
//! Nothing here needs a token, so nothing here may be secret or change anything.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;

use crate::metrics::Metrics;
use crate::model::Hostname;
use crate::shutdown::Stopping;

mod error;
mod host;
mod operations;
mod serve;

pub use serve::serve;

/// What the answers are made of; everything is asked for anew with every request.
#[derive(Clone)]
pub struct AdminState {
    /// A node that has announced its end is not ready.
    pub stopping: Stopping,
    /// What the node has got so far.
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// The JWK set of the assertion's public keys.
    pub jwks: Arc<dyn Fn() -> Bytes + Send + Sync>,
    /// Names by which this listener may be called besides `localhost` and IP addresses.
    pub hostnames: Arc<[Hostname]>,
}

/// What a node needs to be ready. The store is not among it: a node whose store is lost later goes on serving from memory, so it stays ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Readiness {
    /// Every configured listener accepts.
    pub listeners_bound: bool,
    /// The store has been reached once, or the snapshot was loaded.
    pub routes_known: bool,
}

/// Everything that is served without a token.
pub fn router(state: AdminState) -> Router {
    let hosts = host::Hosts(Arc::clone(&state.hostnames));
    Router::new()
        .route("/healthz", get(operations::healthz))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .route("/.well-known/jwks.json", get(operations::jwks))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(from_fn_with_state(hosts, host::check))
        .with_state(state)
}

#[cfg(test)]
mod tests;
