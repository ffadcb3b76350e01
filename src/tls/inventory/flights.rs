//! Asking the store for a certificate: one query per name however many handshakes wait for it.
//!
//! A query is a flight of its own on the control plane: a handshake awaits it and never touches the database. It outlives whoever
//! asked first, and whoever asks meanwhile boards it.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::Found;
use super::ledger::{Era, Stamp};
use super::stored::{Kept, Stored};
use crate::model::DomainPattern;
use crate::store::{LookedCertificate, SealedCertificate};
use crate::tls::load::{self, Certificate};

/// Queries at once: the store's connections are shared with look-ups of routes.
const QUERIES: usize = 4;
/// Names that may wait for their turn; more are told that the store is not available. Only while the set of names is not whole can a
/// flood of names that nobody has get here.
const ALOFT: usize = 4096;

/// How a flight ended.
#[derive(Clone)]
pub(super) enum Landing {
    /// With an answer that holds while all stamps do.
    Answer { found: Found, stamps: Vec<Stamp> },
    /// With an answer from a feed that is not followed (yet): good for whoever waits, never kept.
    Unfollowed(Found),
    /// The store did not answer, or what it holds cannot be used.
    Failed,
}

/// Where a flight will land.
pub(super) struct Arrival(watch::Receiver<Option<Landing>>);

impl Arrival {
    pub(super) async fn landed(mut self) -> Landing {
        let landing = self.0.wait_for(Option::is_some).await;
        // Without a word: the runtime has ended, or the flight in a fault.
        landing
            .ok()
            .and_then(|landing| landing.clone())
            .unwrap_or(Landing::Failed)
    }
}

/// What is being asked just now.
pub(super) struct Flights {
    aloft: Mutex<HashMap<DomainPattern, watch::Receiver<Option<Landing>>>>,
    queries: Semaphore,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            aloft: Mutex::default(),
            queries: Semaphore::new(QUERIES),
        }
    }

    fn aloft(&self) -> MutexGuard<'_, HashMap<DomainPattern, watch::Receiver<Option<Landing>>>> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stored {
    /// Joins the flight for `name`, or starts one.
    pub(super) fn board(self: &Arc<Self>, name: DomainPattern) -> Arrival {
        let mut aloft = self.flights.aloft();
        if let Some(arrival) = aloft.get(&name) {
            return Arrival(arrival.clone());
        }
        if aloft.len() >= ALOFT {
            return Arrival(watch::channel(Some(Landing::Failed)).1);
        }
        let (landed, arrival) = watch::channel(None);
        aloft.insert(name.clone(), arrival.clone());
        // A runtime that has ended drops the flight here and now, which takes the lock.
        drop(aloft);
        let flight = Flight {
            stored: Arc::clone(self),
            name,
        };
        self.control.spawn(async move {
            let landing = flight.fly().await;
            // Off the list first: whoever boards from now on must not find an answer that may have aged.
            drop(flight);
            landed.send_replace(Some(landing));
        });
        Arrival(arrival)
    }
}

/// One query under way. Dropping it, at its end or because the runtime ends, takes it off the list.
struct Flight {
    stored: Arc<Stored>,
    name: DomainPattern,
}

impl Flight {
    async fn fly(&self) -> Landing {
        let _turn = self.stored.flights.queries.acquire().await;
        let Some(source) = self.stored.source.get() else {
            return Landing::Failed;
        };
        let era = self.stored.ledger.era();
        match source.certificate_for(&self.name).await {
            Ok(looked) => self.keep(&era, looked),
            Err(error) => {
                self.complain(&error, "a certificate could not be looked up");
                Landing::Failed
            }
        }
    }

    /// Remembers what was read under each name that it says something about: the name itself, and the wildcard over it where there
    /// is nothing for the name.
    fn keep(&self, era: &Era, looked: LookedCertificate) -> Landing {
        let stored = &*self.stored;
        let wildcard = match &self.name {
            DomainPattern::Exact(hostname) => stored.hasher.wildcard_over(hostname),
            DomainPattern::Wildcard(_) => None,
        };
        let by = (looked.certificate.as_ref()).map(|it| stored.hasher.pattern(&it.about.pattern));
        let certificate = match looked.certificate.map(|sealed| self.open(&sealed)) {
            None => None,
            Some(Some(certificate)) => Some(certificate),
            Some(None) => {
                if let Some(name) = by
                    && let Some(stamp) = era.stamp(looked.at, name)
                {
                    stored.keep_unusable(name, stamp);
                }
                return Landing::Failed;
            }
        };
        let found = certificate
            .clone()
            .map_or(Found::Absent, Found::Certificate);
        let mut stamps = Vec::with_capacity(2);
        for name in [Some(stored.hasher.pattern(&self.name)), wildcard]
            .into_iter()
            .flatten()
        {
            let Some(stamp) = era.stamp(looked.at, name) else {
                return Landing::Unfollowed(found);
            };
            stamps.push(stamp);
            match &certificate {
                Some(certificate) if by == Some(name) => {
                    let certificate = Arc::clone(certificate);
                    stored.keep(name, Kept { certificate, stamp });
                    break;
                }
                _ => stored.keep_absence(name, stamp),
            }
        }
        Landing::Answer { found, stamps }
    }

    fn open(&self, sealed: &SealedCertificate) -> Option<Arc<Certificate>> {
        let name = sealed.about.pattern.to_string();
        let key = (self.stored.unseal)(&sealed.purpose(), &sealed.sealed_key);
        let key = key
            .map_err(|error| self.complain(&error, "the key of a certificate cannot be opened"))
            .ok()?;
        load::from_store(&name, &sealed.chain, &key, &self.stored.protocol)
            .map_err(|error| self.complain(&error, "a certificate in the store cannot be used"))
            .ok()
            .map(Arc::new)
    }

    fn complain(&self, error: &(dyn Error + 'static), what: &'static str) {
        tracing::warn!(name = %self.name, error, "{what}");
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.stored.flights.aloft().remove(&self.name);
    }
}
