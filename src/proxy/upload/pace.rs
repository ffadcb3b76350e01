//! How long a visitor may let us wait for its body: between two reads, and in all for as much as it has sent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// For how long in all any body is waited for, however little comes: what a short one takes on the worst of lines; more where one pause
/// may last longer. With the rate it bounds who sends a byte now and then, to hold a request and an upstream's connection for ever
/// (R-U-Dead-Yet).
const GRACE: Duration = Duration::from_secs(30);

/// Times what the visitor makes us wait, and nothing else: while the upstream takes no more the body is not asked for.
///
/// Costs nothing while bytes are there: the clock is read only where one has to wait, and one timer is made then.
#[derive(Debug)]
pub(in crate::proxy) struct Pace {
    /// Between two reads.
    idle: Duration,
    /// Least bytes a second of waiting; 0 is none.
    rate: u64,
    waited: Duration,
    waiting: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// At most `idle` between two reads, and after [`GRACE`] at least `rate` bytes for each second that was waited (0: no rate).
    pub(in crate::proxy) fn new(idle: Duration, rate: u64) -> Self {
        Self {
            idle,
            rate,
            waited: Duration::ZERO,
            waiting: None,
            timer: None,
        }
    }

    /// Nothing is there, after `received` bytes in all: resolves when that has lasted too long.
    pub(super) fn poll_late(&mut self, received: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            let deadline = now + self.patience(received);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// Something is there.
    pub(super) fn came(&mut self) {
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
    }

    fn patience(&self, received: u64) -> Duration {
        if self.rate == 0 {
            return self.idle;
        }
        let earned = Duration::from_millis(received.saturating_mul(1000) / self.rate);
        let all = GRACE.max(self.idle).saturating_add(earned);
        self.idle.min(all.saturating_sub(self.waited))
    }
}
