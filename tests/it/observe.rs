//! What an operator sees of a running edge: series, access lines, health.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

mod access_lines;
mod access_sink;
mod listeners;
mod series;
