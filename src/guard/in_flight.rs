//! Requests being answered: a count for the node, one for each tenant that has a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::IntGauge;

/// The node's requests in flight. The number that is shown is the number that is enforced.
#[derive(Debug)]
pub(super) struct NodeCount {
    gauge: IntGauge,
    cap: i64,
}

/// One of the node's requests in flight.
#[derive(Debug)]
pub(super) struct NodeSlot(IntGauge);

impl NodeCount {
    pub(super) fn new(gauge: IntGauge, cap: usize) -> Self {
        let cap = i64::try_from(cap).unwrap_or(i64::MAX);
        Self { gauge, cap }
    }

    /// A slot, if one is free. Counted first and looked at then, so that racing threads may refuse one too many near the cap but
    /// never admit one.
    pub(super) fn take(&self) -> Option<NodeSlot> {
        self.gauge.inc();
        let slot = NodeSlot(self.gauge.clone());
        (self.gauge.get() <= self.cap).then_some(slot)
    }

    pub(super) fn is_full(&self) -> bool {
        self.gauge.get() >= self.cap
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
