//! What a resolver test starts: a database, and a node that follows it behind a gate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use vestibule::clock::Clock;
use vestibule::config::{self, SecretText, StoreUrl};
use vestibule::metrics::Metrics;
use vestibule::model::{LookupKey, Match};
use vestibule::resolve::Resolver;
use vestibule::store::{Access, SharedRouteSource, Store};
use vestibule::tasks::changes::{Follower, Opened};

use super::gate::{self, Gate};
use crate::harness::{self, postgres};

/// A database in a folder of its own.
pub(super) struct Database {
    folder: TempDir,
    url: StoreUrl,
}

impl Database {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("vestibule.db"));
        Self { folder, url }
    }

    pub(super) async fn postgres() -> Self {
        Self::at(&postgres::database().await)
    }

    pub(super) fn at(url: &str) -> Self {
        let url = StoreUrl::Postgres(SecretText::new(url.to_owned()));
        let folder = tempfile::tempdir().unwrap();
        Self { folder, url }
    }

    /// Opens it, as another process would.
    pub(super) async fn open(&self) -> Store {
        let settings = config::Store {
            url: self.url.clone(),
            owner_url: None,
            listen_url: None,
            secret_key_file: self.folder.path().join("secret.key"),
            connections: 4,
            timeout: Duration::from_secs(5),
            poll: Duration::from_millis(200),
            heartbeat: Duration::from_secs(15),
        };
        Store::open(&settings, Access::Serve, Clock::system(), None)
            .await
            .unwrap()
    }

    pub(super) fn snapshot(&self) -> PathBuf {
        self.folder.path().join("routes.snapshot")
    }
}

/// A resolver that follows a store behind a gate, on the test's runtime.
pub(super) struct Node {
    pub(super) resolver: Arc<Resolver>,
    pub(super) gate: Arc<Gate>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) key_changes: Arc<AtomicUsize>,
    follower: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Node {
    pub(super) async fn new(database: &Database) -> Self {
        let node = Self::starting(database, None).await;
        node.gate.set_away(false);
        node.ready().await;
        node
    }

    pub(super) async fn ready(&self) {
        eventually("the node is ready", || self.resolver.ready()).await;
    }

    /// A node whose store is away, and that may have a snapshot.
    pub(super) async fn starting(database: &Database, snapshot: Option<&Path>) -> Self {
        let store = database.open().await;
        let gate = Gate::before(store.clone());
        gate.set_away(true);
        let (clock, metrics) = (Clock::system(), Metrics::new(10).unwrap());
        let control = tokio::runtime::Handle::current();
        let settings = config::Cache {
            capacity: 10_000,
            ttl: Duration::from_secs(60),
            negative_ttl: Duration::from_secs(10),
            stale_if_error: Duration::from_secs(3600),
            snapshot_file: database.snapshot(),
            snapshot_interval: Duration::from_secs(30),
        };
        let resolver = Resolver::new(
            &settings,
            None,
            control,
            clock.clone(),
            Arc::clone(&metrics),
        );
        if let Some(snapshot) = snapshot {
            resolver.load_snapshot(snapshot);
        }
        let key_changes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&key_changes);
        let follower = Follower {
            resolver: Arc::clone(&resolver),
            inventory: None,
            clock: clock.clone(),
            poll: Duration::from_millis(200),
            told: Box::new(|_| {}),
            signing_keys_changed: Box::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
            }),
        };
        let source = Arc::clone(&gate);
        let follower = tokio::spawn(follower.run(move || {
            let opened = if source.is_away() {
                Err(gate::failure())
            } else {
                Ok(Opened {
                    source: Arc::clone(&source) as SharedRouteSource,
                    watch: store.watch(),
                })
            };
            std::future::ready(opened)
        }));
        Self {
            resolver,
            gate,
            clock,
            metrics,
            key_changes,
            follower,
        }
    }

    pub(super) async fn names_loaded(&self) {
        eventually("the names are loaded", || {
            self.resolver.status().names.is_some()
        })
        .await;
    }

    pub(super) async fn slug(&self, key: &LookupKey) -> Option<String> {
        slug_of(&self.resolver.find(key).await)
    }

    pub(super) fn visitor(&self, key: &LookupKey) -> JoinHandle<Match> {
        let (resolver, key) = (Arc::clone(&self.resolver), key.clone());
        tokio::spawn(async move { resolver.find(&key).await })
    }

    /// Waits until `key` leads to the tenant called `slug`, or to nobody.
    pub(super) async fn comes_to(&self, key: &LookupKey, slug: Option<&str>) {
        let what = format!("{key} to lead to {slug:?}");
        harness::eventually(&what, async || {
            (self.slug(key).await.as_deref() == slug).then_some(())
        })
        .await;
    }
}

pub(super) fn slug_of(found: &Match) -> Option<String> {
    match found {
        Match::Found(route) => Some(route.slug.to_string()),
        Match::Absent | Match::Unavailable => None,
    }
}

/// Looks again and again: the events of a real store come when they come.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    harness::eventually(what, async || holds().then_some(())).await;
}
