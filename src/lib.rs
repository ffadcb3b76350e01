//! Vestibule: an edge reverse proxy that knows which tenant a request belongs to.

// 0 words
pub mod model;
// 1 ground
pub mod clock;
pub mod config;
pub mod metrics;
pub mod runtime;
pub mod seal;
pub mod shutdown;
// 2 edges
pub mod dns;
pub mod jwks;
pub mod store;
// 3 mechanisms
pub mod guard;
pub mod resolve;
pub mod sign;
pub mod tls;
pub mod upstream;
// 4 decision
pub mod decide;
// 5 callers
pub mod admin;
pub mod proxy;
pub mod tasks;
// 6 wiring
