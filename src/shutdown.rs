//! Stopping in three steps: say so, drain, end.

use std::time::Duration;

use tokio::sync::watch;

/// How far stopping has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// Serving.
    Running,
    /// Not ready any more, so that balancers look elsewhere, but still accepting.
    Announced,
    /// No new connections; the ones there end after the request they are at.
    Draining,
    /// Time is up: whatever is left is dropped.
    Ended,
}

/// Whoever decides about stopping.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<Phase>);

/// Whoever has to stop.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<Phase>);

impl Shutdown {
    /// Nothing is stopping yet.
    pub fn new() -> (Self, Stopping) {
        let (sender, receiver) = watch::channel(Phase::Running);
        (Self(sender), Stopping(receiver))
    }

    /// Moves on to `phase`; never back.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            *now = phase.max(*now);
            later
        });
    }

    /// Announces, waits `wait`, drains until `drained` resolves or `drain` is over, ends. `hurry` (a second signal) ends at once.
    pub async fn run(
        &self,
        wait: Duration,
        drain: Duration,
        drained: impl Future<Output = ()>,
        hurry: impl Future<Output = ()>,
    ) {
        let steps = async {
            self.enter(Phase::Announced);
            tokio::time::sleep(wait).await;
            self.enter(Phase::Draining);
            let _ = tokio::time::timeout(drain, drained).await;
        };
        tokio::select! {
            () = steps => {}
            () = hurry => {}
        }
        self.enter(Phase::Ended);
    }
}

impl Stopping {
    /// How far stopping has come.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Resolves once `phase` is reached, or whoever decides is gone.
    pub async fn reached(&self, phase: Phase) {
        let mut receiver = self.0.clone();
        let _ = receiver.wait_for(|now| *now >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steps_come_in_order_and_a_second_signal_cuts_them_short() {
        let (shutdown, stopping) = Shutdown::new();
        let watcher = stopping.clone();
        let waiting = tokio::spawn(async move { watcher.reached(Phase::Draining).await });
        let second = Duration::from_secs(1);
        shutdown
            .run(
                second,
                second,
                std::future::pending(),
                std::future::pending(),
            )
            .await;
        waiting.await.unwrap();
        assert_eq!(stopping.phase(), Phase::Ended);

        let (shutdown, stopping) = Shutdown::new();
        let hour = Duration::from_secs(3600);
        let begun = tokio::time::Instant::now();
        shutdown
            .run(hour, hour, std::future::pending(), std::future::ready(()))
            .await;
        assert_eq!(stopping.phase(), Phase::Ended);
        assert!(begun.elapsed() < second);
    }
}
