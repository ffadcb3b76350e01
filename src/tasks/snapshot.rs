//! Writes the snapshot at intervals and once more when the node stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval_at};

use crate::model::{Causes, SigningKeyRecord};
use crate::resolve::Resolver;
use crate::shutdown::{Phase, Stopping};

/// What is written, where and how often.
pub struct SnapshotTask {
    /// Whose routes.
    pub resolver: Arc<Resolver>,
    /// The file.
    pub file: PathBuf,
    /// Between two snapshots.
    pub interval: Duration,
    /// The signing keys as the store last gave them.
    pub signing_keys: Arc<dyn Fn() -> Vec<SigningKeyRecord> + Send + Sync>,
}

impl SnapshotTask {
    /// Runs until the node drains; returns once the last snapshot is on disk.
    pub async fn run(self, stopping: Stopping) {
        let first = tokio::time::Instant::now() + self.interval;
        let mut ticks = interval_at(first, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let more = tokio::select! {
                _ = ticks.tick() => true,
                () = stopping.reached(Phase::Draining) => false,
            };
            self.save().await;
            if !more {
                return;
            }
        }
    }

    async fn save(&self) {
        let resolver = Arc::clone(&self.resolver);
        let signing_keys = Arc::clone(&self.signing_keys);
        let file = self.file.clone();
        let saved = tokio::task::spawn_blocking(move || {
            let keys = signing_keys();
            resolver.save_snapshot(&file, &keys)
        });
        match saved.await {
            Ok(Ok(Some(routes))) => tracing::debug!(routes, "snapshot written"),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => {
                tracing::warn!(path = %self.file.display(), error = %Causes(&error), "the snapshot cannot be written");
            }
            Err(error) => {
                tracing::error!(error = %Causes(&error), "writing the snapshot ended in a fault")
            }
        }
    }
}
