//! A gate in front of a real store: it counts what is asked about certificates, holds answers back after they were read, and can
//! shut the store away.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use vestibule::clock::Timestamp;
use vestibule::model::DomainPattern;
use vestibule::store::{
    CertificateStore, CertificateSummary, CoveredNames, LookedCertificate, NameTls, Store,
    StoreError,
};

pub(super) struct Gate {
    behind: Store,
    asked: Mutex<Vec<String>>,
    read: AtomicUsize,
    open: watch::Sender<bool>,
    away: AtomicBool,
}

impl Gate {
    pub(super) fn before(behind: Store) -> Arc<Self> {
        Arc::new(Self {
            behind,
            asked: Mutex::default(),
            read: AtomicUsize::new(0),
            open: watch::channel(true).0,
            away: AtomicBool::new(false),
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

    /// Every look-up of a certificate so far, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// How many look-ups have been read by now, given or held.
    pub(super) fn read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    fn reachable(&self) -> Result<(), StoreError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(StoreError::TimedOut {
                after: Duration::ZERO,
            }),
            false => Ok(()),
        }
    }
}

impl CertificateStore for Gate {
    fn name_tls(&self) -> BoxFuture<'_, Result<Vec<(DomainPattern, NameTls)>, StoreError>> {
        async move {
            self.reachable()?;
            self.behind.name_tls().await
        }
        .boxed()
    }

    fn certificate_for<'a>(
        &'a self,
        name: &'a DomainPattern,
    ) -> BoxFuture<'a, Result<LookedCertificate, StoreError>> {
        async move {
            self.asked.lock().unwrap().push(name.to_string());
            self.reachable()?;
            let looked = self.behind.certificate_for(name).await;
            self.read.fetch_add(1, Ordering::SeqCst);
            let mut open = self.open.subscribe();
            let _ = open.wait_for(|open| *open).await;
            looked
        }
        .boxed()
    }

    fn covered_names(&self) -> BoxFuture<'_, Result<CoveredNames, StoreError>> {
        async move {
            self.reachable()?;
            self.behind.covered_names().await
        }
        .boxed()
    }

    fn certificate_summary(
        &self,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<CertificateSummary, StoreError>> {
        async move {
            self.reachable()?;
            self.behind.certificate_summary(now).await
        }
        .boxed()
    }
}
