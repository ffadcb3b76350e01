//! What a tenant, an address and the node may use, through a running edge.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

mod body;
mod connections;
mod head;
mod in_flight;
mod rate;
