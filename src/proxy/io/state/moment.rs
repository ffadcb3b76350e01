//! A point in time that is noted without reading the clock, and dated by whoever first needs to know.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Nothing is running.
const NONE: u64 = 0;
/// Begun, not dated yet. A request that arrives in one piece is over before anybody asks.
const UNDATED: u64 = 1;
/// Dates are microseconds after `epoch`, from here.
const FIRST: u64 = 2;

/// Since when something lasts.
#[derive(Debug)]
pub(super) struct Moment {
    epoch: Instant,
    value: AtomicU64,
}

impl Moment {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            value: AtomicU64::new(NONE),
        }
    }

    pub(super) fn clear(&self) {
        self.value.store(NONE, Relaxed);
    }

    pub(super) fn restart(&self) {
        self.value.store(UNDATED, Relaxed);
    }

    pub(super) fn is_running(&self) -> bool {
        self.value.load(Relaxed) != NONE
    }

    /// Since when it runs; an undated start counts from this call.
    pub(super) fn since(&self) -> Option<Instant> {
        let micros = match self.value.load(Relaxed) {
            NONE => return None,
            UNDATED => self.date()?,
            value => value - FIRST,
        };
        Some(self.epoch + Duration::from_micros(micros))
    }

    fn date(&self) -> Option<u64> {
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX - FIRST);
        // Cleared in between: then it does not run.
        self.value
            .compare_exchange(UNDATED, micros + FIRST, Relaxed, Relaxed)
            .ok()?;
        Some(micros)
    }
}
