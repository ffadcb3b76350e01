//! Whether the store can be reached, and since when it cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::metrics::Metrics;

/// What is known of the store's health on this node.
pub(super) struct Contact {
    up: AtomicBool,
    ready: AtomicBool,
    last: AtomicI64,
    found: Notify,
    suspicion: Notify,
    metrics: Arc<Metrics>,
}

impl Contact {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        metrics.store_up.set(0);
        Self {
            up: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            last: AtomicI64::new(i64::MIN),
            found: Notify::new(),
            suspicion: Notify::new(),
            metrics,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// When the store last answered, in this life of the node or, by its snapshot, in an earlier one.
    pub(super) fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Acquire);
        (last != i64::MIN).then_some(Timestamp(last))
    }

    /// Whether what is remembered is young enough to be served without the store.
    pub(super) fn within(&self, stale_if_error: Duration, now: Timestamp) -> bool {
        self.last()
            .is_some_and(|last| now.since(last) <= stale_if_error)
    }

    /// The store answered. True where it had not before.
    pub(super) fn reached(&self, now: Timestamp) -> bool {
        self.last.store(now.0, Ordering::Release);
        self.ready.store(true, Ordering::Release);
        self.metrics.store_up.set(1);
        let found = !self.up.swap(true, Ordering::AcqRel);
        if found {
            self.found.notify_waiters();
        }
        found
    }

    /// Resolves once the store answers.
    pub(super) async fn found(&self) {
        let mut found = std::pin::pin!(self.found.notified());
        found.as_mut().enable();
        if !self.is_up() {
            found.await;
        }
    }

    /// The store did not answer. True where it had before.
    pub(super) fn lost(&self) -> bool {
        self.metrics.store_up.set(0);
        self.up.swap(false, Ordering::AcqRel)
    }

    /// Routes are known from an earlier life, in which the store last answered at `last`.
    pub(super) fn remembered(&self, last: Timestamp) {
        self.last.fetch_max(last.0, Ordering::AcqRel);
        self.ready.store(true, Ordering::Release);
    }

    /// Asks the follower to look at once: something went wrong that the store's loss would explain.
    pub(super) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    pub(super) async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}
