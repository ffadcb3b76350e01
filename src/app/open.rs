//! The routing database of a node: opened at start, or later if it is away then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, SetOnce};
use tokio::time::timeout;

use super::StartError;
use super::keys::NodeKeys;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::metrics::Metrics;
use crate::model::Causes;
use crate::sign;
use crate::store::{Access, OpenChallenges, Store, StoreError};
use crate::tasks::changes::Opened;

/// How long a start waits for the store before it goes on without.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to read the signing keys.
const KEYS_PAUSE: Duration = Duration::from_millis(200);

/// Opens the store as often as asked, and remembers it once it is open.
pub(super) struct StoreOpener {
    config: config::Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    keys: Arc<NodeKeys>,
    challenges: Arc<OpenChallenges>,
    store: SetOnce<Store>,
}

impl StoreOpener {
    /// Has opened nothing yet.
    pub(super) fn new(
        config: &Config,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        keys: Arc<NodeKeys>,
        challenges: Arc<OpenChallenges>,
    ) -> Self {
        Self {
            config: config.store.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            keys,
            challenges,
            store: SetOnce::new(),
        }
    }

    /// Reads the signing keys anew whenever `wake` says so, until it has worked.
    pub(super) async fn keep_keys(self: Arc<Self>, wake: Arc<Notify>) {
        loop {
            wake.notified().await;
            while let Some(store) = self.store.get()
                && let Err(error) = self.reload(store).await
            {
                tracing::warn!(
                    error = %Causes(&error),
                    "the signing keys cannot be read"
                );
                tokio::time::sleep(KEYS_PAUSE).await;
            }
        }
    }

    /// Reads the signing keys. A store that has been restored or replaced may hold none: then one is made, as on a first start, or
    /// this node could sign for nobody.
    async fn reload(&self, store: &Store) -> Result<(), StoreError> {
        self.keys.reload(store).await?;
        if !self.keys.records().is_empty() {
            return Ok(());
        }
        self.unlock(store).await?;
        self.keys.reload(store).await
    }

    /// Takes the sealing key, made with the first signing key where the store holds neither.
    async fn unlock(&self, store: &Store) -> Result<(), StoreError> {
        let now = self.clock.now();
        let file = &self.config.secret_key_file;
        let sealer = store
            .first_run(file, |sealer| sign::keys::generate(sealer, now))
            .await?;
        self.keys.unlock(sealer);
        Ok(())
    }

    /// At start: a store that is away is no fault, one that cannot be used is. Says whether it is open.
    pub(super) async fn open_at_start(&self) -> Result<bool, StartError> {
        match timeout(PATIENCE, self.open()).await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(error)) if error.is_unavailable() => {
                tracing::warn!(
                    error = %Causes(&error),
                    hint = error.hint(),
                    "the routing database is away; starting without it"
                );
                Ok(false)
            }
            Ok(Err(error)) => Err(StartError::Store(error)),
            Err(_) => {
                tracing::warn!("the routing database does not answer; starting without it");
                Ok(false)
            }
        }
    }

    /// The store, once it is open.
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.get()
    }

    /// The store, waited for where it is not open yet.
    pub(super) async fn store_once_open(&self) -> Store {
        self.store.wait().await.clone()
    }

    /// The store for the follower of its feed, opened if it is not open yet.
    pub(super) async fn opened(&self) -> Result<Opened, StoreError> {
        let store = match self.store.get() {
            Some(store) => store.clone(),
            None => self.open().await?,
        };
        let watch = store.watch();
        Ok(Opened {
            source: Arc::new(store),
            watch,
        })
    }

    async fn open(&self) -> Result<Store, StoreError> {
        let store = Store::open(
            &self.config,
            Access::Serve,
            self.clock.clone(),
            Some(Arc::clone(&self.metrics)),
        )
        .await?;
        self.unlock(&store).await?;
        self.keys.reload(&store).await?;
        self.challenges.attach(store.clone());
        let _ = self.store.set(store.clone());
        Ok(store)
    }
}
