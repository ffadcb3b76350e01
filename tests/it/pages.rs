//! Every refusal as a visitor gets it: over both protocols, as a document and as a page; and the states of a tenant's life.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

mod accept;
mod cors;
mod refusals;
mod states;
mod unknown;
