//! One tenant's requests per second: governor's cell rate algorithm with a look that does not take.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{NotUntil, Quota, RateLimiter};
use tokio::time::Instant;

use crate::model::Limits;

/// A rate and what has been used of it.
#[derive(Debug)]
pub(super) struct Rate {
    quota: Quota,
    limiter: RateLimiter<Intent, Bucket, SinceMade, NoOpMiddleware<Duration>>,
}

impl Rate {
    /// The whole allowance of `limits`, `None` where they set no rate.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let quota = quota(limits)?;
        let limiter = RateLimiter::new(quota, Bucket::default(), SinceMade(Instant::now()));
        Some(Self { quota, limiter })
    }

    /// Whether this was made for the numbers in `limits`.
    pub(super) fn is_for(&self, limits: &Limits) -> bool {
        quota(limits) == Some(self.quota)
    }

    /// Takes one request, or says how long until one fits.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.ask(Intent::Take)
    }

    /// What [`Rate::take`] would say, without taking.
    pub(super) fn peek(&self) -> Result<(), Duration> {
        self.ask(Intent::Look)
    }

    /// Whether the whole allowance is there again: then a new one is no different.
    pub(super) fn is_whole(&self) -> bool {
        let all = self.quota.burst_size();
        matches!(self.limiter.check_key_n(&Intent::Look, all), Ok(Ok(())))
    }

    fn ask(&self, intent: Intent) -> Result<(), Duration> {
        // The time is asked for again only where there is something to wait for.
        let wait = |until: NotUntil<Duration>| until.wait_time_from(self.limiter.clock().now());
        self.limiter.check_key(&intent).map_err(wait)
    }
}

/// `burst = 0` means as many as one second allows.
fn quota(limits: &Limits) -> Option<Quota> {
    let per_second = NonZeroU32::new(limits.requests_per_second)?;
    let burst = NonZeroU32::new(limits.burst).unwrap_or(per_second);
    Some(Quota::per_second(per_second).allow_burst(burst))
}

/// What governor calls a key: here there is one state, and two things to do with it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Intent {
    Take,
    Look,
}

/// When the allowance will be whole again, in nanoseconds since the limiter was made; 0 before the first request.
#[derive(Debug, Default)]
struct Bucket(AtomicU64);

impl StateStore for Bucket {
    type Key = Intent;

    fn measure_and_replace<T, F, E>(&self, intent: &Intent, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            let (outcome, new) = decide((old != 0).then_some(Nanos::new(old)))?;
            if *intent == Intent::Look {
                return Ok(outcome);
            }
            match self.0.compare_exchange_weak(
                old,
                new.into(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(outcome),
                Err(newer) => old = newer,
            }
        }
    }
}

/// tokio's monotonic time since the limiter was made, so that paused time in tests holds here too.
#[derive(Debug, Clone)]
struct SinceMade(Instant);

impl Clock for SinceMade {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
