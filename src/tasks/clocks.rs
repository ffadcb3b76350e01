//! Compares this node's clock with the database's at the start and now and then: a node whose clock is far off takes what is another's.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::metrics::Metrics;
use crate::model::Causes;
use crate::shutdown::{Phase, Stopping};
use crate::store::{Store, StoreError};

/// Between two comparisons.
const EVERY: Duration = Duration::from_secs(600);
/// Beyond this somebody should do something, in milliseconds. Leases last for a minute.
const TOLERATED: u64 = 10_000;

/// Compares clocks.
pub struct ClockTask {
    /// Whose clock it is compared with.
    pub store: Store,
    /// Where the difference is shown.
    pub metrics: Arc<Metrics>,
}

impl ClockTask {
    /// Compares until the node stops.
    pub async fn run(self, stopping: Stopping) {
        loop {
            if let Err(error) = self.compare().await {
                tracing::debug!(error = %Causes(&error), "the database cannot be asked for the time");
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                () = stopping.reached(Phase::Draining) => return,
            }
        }
    }

    /// Compares once, and tells where it is too much; whether it was.
    pub async fn compare(&self) -> Result<bool, StoreError> {
        let skew = self.store.clock_skew().await?.unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "exact for 285 million years")]
        self.metrics.clock_skew.set(skew as f64 / 1000.0);
        let far = skew.unsigned_abs() > TOLERATED;
        if far {
            tracing::warn!(
                seconds = skew / 1000,
                "this node's clock is not the database's: have both follow one time server (NTP), or nodes take each other's work \
                 and order certificates twice"
            );
        }
        Ok(far)
    }
}
