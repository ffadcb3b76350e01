//! Wall time. Everything that writes a date or compares one asks here; timers use tokio's monotonic time instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

mod rfc3339;

pub use rfc3339::RFC3339_LENGTH;

/// A moment of wall time, in milliseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whole seconds since 1970, as in a JWT's `iat`.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment as in `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
    pub fn http_date(self) -> String {
        let since_epoch = Duration::from_millis(u64::try_from(self.0).unwrap_or(0));
        // Beyond this the format has no room for the year.
        let since_epoch = since_epoch.min(Duration::from_secs(253_402_300_799));
        httpdate::fmt_http_date(UNIX_EPOCH + since_epoch)
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment `span` later.
    pub fn plus(self, span: Duration) -> Timestamp {
        Timestamp(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

/// Where the time is read: the system's clock, moved by an offset that tests set.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// The time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    pub fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Timestamp(millis.saturating_add(self.0.load(Ordering::Relaxed)))
    }

    /// Moves every holder of this clock by `millis`, as a stepped system clock would.
    pub fn shift(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}
