//! Visitors who hold on to what they were given: they lose it in time, and what they hold meanwhile is little.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

mod memory;
mod readers;
mod senders;

use crate::harness::edge::Edge;

/// Waits until this many connections were closed for `reason`.
async fn closed_for(edge: &Edge, reason: &str, count: f64) {
    let series = format!("vestibule_connections_closed_total{{reason=\"{reason}\"}}");
    edge.until_metric(&series, count).await;
}
