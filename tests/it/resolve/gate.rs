//! A gate in front of a real store: it counts what is asked, holds answers back after they were read, and can shut the store away.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use vestibule::model::LookupKey;
use vestibule::store::{
    Changes, Cursor, Looked, Names, RouteSource, SharedRouteSource, StoreError,
};

pub(super) struct Gate {
    behind: SharedRouteSource,
    asked: Mutex<Vec<LookupKey>>,
    read: AtomicUsize,
    open: watch::Sender<bool>,
    away: AtomicBool,
    nameless: AtomicBool,
}

impl Gate {
    pub(super) fn before(store: impl RouteSource) -> Arc<Self> {
        Arc::new(Self {
            behind: Arc::new(store),
            asked: Mutex::default(),
            read: AtomicUsize::new(0),
            open: watch::channel(true).0,
            away: AtomicBool::new(false),
            nameless: AtomicBool::new(false),
        })
    }

    /// Whether look-ups get their answers; those that were read meanwhile get them when it opens.
    pub(super) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Whether the store can be reached at all.
    pub(super) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Whether the store can be opened or asked.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    /// From now on the list of names cannot be loaded, so that strangers are asked for.
    pub(super) fn withhold_names(&self) {
        self.nameless.store(true, Ordering::SeqCst);
    }

    pub(super) fn asked(&self, key: &LookupKey) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == key).count()
    }

    /// How many look-ups have been read by now, given or held.
    pub(super) fn read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    fn reachable(&self) -> Result<(), StoreError> {
        if self.is_away() {
            return Err(failure());
        }
        Ok(())
    }
}

pub(super) fn failure() -> StoreError {
    StoreError::TimedOut {
        after: Duration::ZERO,
    }
}

impl RouteSource for Gate {
    fn lookup<'a>(&'a self, key: &'a LookupKey) -> BoxFuture<'a, Result<Looked, StoreError>> {
        async move {
            self.reachable()?;
            self.asked.lock().unwrap().push(key.clone());
            let looked = self.behind.lookup(key).await;
            self.read.fetch_add(1, Ordering::SeqCst);
            let mut open = self.open.subscribe();
            let _ = open.wait_for(|open| *open).await;
            looked
        }
        .boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Names, StoreError>> {
        async move {
            self.reachable()?;
            if self.nameless.load(Ordering::SeqCst) {
                return Err(failure());
            }
            self.behind.names().await
        }
        .boxed()
    }

    fn changes_after(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>> {
        async move {
            self.reachable()?;
            self.behind.changes_after(cursor).await
        }
        .boxed()
    }
}
