//! Requests being answered: a count for the node.

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
