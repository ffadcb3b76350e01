//! Requests being answered: a count for the node, one for each tenant that has a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::IntGauge;

/// Most requests in flight on a node ("Safe defaults"); beyond this, memory for their buffers is what gives way first.
pub(super) const NODE_CAP: i64 = 10_000;

/// The node's requests in flight. The number that is shown is the number that is enforced.
#[derive(Debug)]
pub(super) struct NodeCount(IntGauge);

/// One of the node's requests in flight.
#[derive(Debug)]
pub(super) struct NodeSlot(IntGauge);

impl NodeCount {
    pub(super) fn new(gauge: IntGauge) -> Self {
        Self(gauge)
    }

    /// A slot, if one is free. Counted first and looked at then, so that racing threads may refuse one too many near the cap but
    /// never admit one.
    pub(super) fn take(&self) -> Option<NodeSlot> {
        self.0.inc();
        let slot = NodeSlot(self.0.clone());
        (self.0.get() <= NODE_CAP).then_some(slot)
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.get() >= NODE_CAP
    }
}

impl Drop for NodeSlot {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A tenant's requests in flight.
#[derive(Debug, Default)]
pub(super) struct TenantCount(Arc<AtomicU32>);

/// One of a tenant's requests in flight; given back without asking for the tenant again.
#[derive(Debug)]
pub(super) struct TenantSlot(Arc<AtomicU32>);

impl TenantCount {
    /// A slot, if fewer than `limit` are taken. Only called under the tenant's lock: nobody else adds meanwhile.
    pub(super) fn take(&mut self, limit: u32) -> Option<TenantSlot> {
        if self.is_full(limit) {
            return None;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(TenantSlot(Arc::clone(&self.0)))
    }

    pub(super) fn is_full(&self, limit: u32) -> bool {
        self.0.load(Ordering::Relaxed) >= limit
    }

    pub(super) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for TenantSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
