//! Several nodes with one store: what an operator commands is in force on all of them, in PostgreSQL and in one SQLite file alike.

mod changes;
mod first_start;
mod keys;

use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

/// Two running nodes.
struct Fleet {
    upstream: TestUpstream,
    nodes: [Edge; 2],
}

impl Fleet {
    /// Two nodes that share `store`, in which there are active tenants with these slugs.
    async fn of(store: Option<&str>, tenants: &[&str]) -> Self {
        Self::before(TestUpstream::echo(), store, tenants).await
    }

    /// The same before another upstream.
    async fn before(upstream: TestUpstream, store: Option<&str>, tenants: &[&str]) -> Self {
        let first = Edge::with(upstream.address).store_at(store);
        let first = first.tenants(tenants).start().await;
        let second = Edge::with(upstream.address).in_fleet_of(&first);
        let nodes = [first, second.start().await];
        Self { upstream, nodes }
    }

    /// Runs a command beside the first node.
    async fn command(&self, line: &str) -> String {
        self.nodes[0].command(line).await.succeeds()
    }

    /// Waits until every node answers a request for `host` with `status`.
    async fn comes_to(&self, host: &str, status: u16) {
        for node in &self.nodes {
            node.comes_to(host, status).await;
        }
    }
}
