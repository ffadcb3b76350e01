//! Asking the store: one query per key however many wait for it.
//!
//! A query is a flight of its own on the control plane. It outlives whoever asked first, and whoever asks meanwhile boards it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, watch};

use super::Resolver;
use super::applied::Era;
use super::cache::{Absence, Kept};
use super::key::KeyRef;
use super::lookup::PATIENCE;
use super::names::Standing;
use crate::model::{Causes, LookupKey, Match};
use crate::store::Looked;

/// How a flight ended.
#[derive(Clone)]
pub(super) enum Landing {
    /// With a route, stamped.
    Route(Kept),
    /// With the certainty that there is none, stamped.
    Absent(Absence),
    /// With an answer from a feed that is not followed (yet): good for whoever waits while `era` lasts, never kept.
    Unfollowed { era: u32, answer: Match },
    /// The store did not answer.
    Failed,
}

type Arrival = watch::Receiver<Option<Landing>>;

/// What is being asked just now.
pub(super) struct Flights {
    aloft: Mutex<Aloft>,
    /// All queries for keys.
    queries: Semaphore,
    /// Those for names of which nobody knows whether they exist: they leave room for the others.
    strangers: Semaphore,
}

#[derive(Default)]
struct Aloft {
    by_key: HashMap<LookupKey, Arrival>,
    strangers: usize,
}

/// What became of an attempt to board.
pub(super) enum Boarding {
    /// It was in memory after all.
    Known(Match),
    /// Somebody has asked; the answer will arrive here.
    Aboard(Arrival),
    /// Too many names of unknown standing are being asked for: this one waits for the list of names.
    Full,
}

impl Flights {
    pub(super) fn new() -> Self {
        Self {
            aloft: Mutex::default(),
            queries: Semaphore::new(QUERIES),
            strangers: Semaphore::new(STRANGERS),
        }
    }

    /// A turn among the queries for keys.
    pub(super) async fn query(&self) -> Option<SemaphorePermit<'_>> {
        self.queries.acquire().await.ok()
    }

    fn aloft(&self) -> MutexGuard<'_, Aloft> {
        self.aloft.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver {
    /// Joins the flight for `key`, or starts one.
    pub(super) fn board(self: &Arc<Self>, key: &LookupKey) -> Boarding {
        let aloft = self.flights.aloft();
        // A flight may have landed since the caller looked: it keeps its answer before it leaves the list.
        let held = self.held(KeyRef::from(key));
        if let Some(answer) = self.conclude(held, self.contact.is_up()) {
            return Boarding::Known(answer);
        }
        if let Some(arrival) = aloft.by_key.get(key) {
            return Boarding::Aboard(arrival.clone());
        }
        let stranger = self.names.standing(KeyRef::from(key)) == Standing::Unknown;
        if stranger && aloft.strangers >= STRANGERS_WAITING {
            return Boarding::Full;
        }
        let fare = if stranger {
            Fare::Stranger
        } else {
            Fare::Known
        };
        Boarding::Aboard(self.start(aloft, key.clone(), fare))
    }

    fn start(
        self: &Arc<Self>,
        mut aloft: MutexGuard<'_, Aloft>,
        key: LookupKey,
        fare: Fare,
    ) -> Arrival {
        let (landed, arrival) = watch::channel(None);
        aloft.by_key.insert(key.clone(), arrival.clone());
        aloft.strangers += usize::from(fare.is_stranger());
        // A runtime that has ended drops the flight here and now, which takes the lock.
        drop(aloft);
        let flight = Flight {
            resolver: Arc::clone(self),
            key,
            fare,
        };
        self.control.spawn(async move {
            let landing = flight.fly().await;
            // Off the list first: whoever boards from now on must not find an answer that may have aged.
            drop(flight);
            landed.send_replace(Some(landing));
        });
        arrival
    }

    /// What `landing` says to somebody who waited; `None` where it has been overtaken by a change that is in force.
    pub(super) fn judge(&self, landing: Landing) -> Option<Match> {
        match landing {
            Landing::Route(kept) => self
                .applied
                .holds(&kept.stamp)
                .then_some(Match::Found(kept.route)),
            Landing::Absent(absence) => self.applied.holds(&absence.stamp).then_some(Match::Absent),
            Landing::Unfollowed { era, answer } => self.applied.is_current(era).then_some(answer),
            Landing::Failed => Some(Match::Unavailable),
        }
    }
}

/// On which terms a flight takes off.
enum Fare {
    /// The name is known to exist: nothing holds it up but the queue of all queries.
    Known,
    Stranger,
}

impl Fare {
    fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger)
    }
}

/// One query under way. Dropping it, at its end or because the runtime ends, takes it off the list.
struct Flight {
    resolver: Arc<Resolver>,
    key: LookupKey,
    fare: Fare,
}

impl Flight {
    async fn fly(&self) -> Landing {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::select! {
            landing = self.queue_and_ask() => landing,
            () = patience => {
                // Either the store hangs or it is very busy: the follower will know.
                self.resolver.contact.suspect();
                Landing::Failed
            }
        }
    }

    async fn queue_and_ask(&self) -> Landing {
        let flights = &self.resolver.flights;
        let _turn = match self.fare {
            Fare::Stranger => flights.strangers.acquire().await.ok(),
            Fare::Known => None,
        };
        let _query = flights.query().await;
        let Some(source) = self.resolver.source.get() else {
            return Landing::Failed;
        };
        let era = self.resolver.applied.era();
        match source.lookup(&self.key).await {
            Ok(looked) => self.resolver.keep(&era, &self.key, looked),
            Err(error) => {
                tracing::warn!(key = %self.key, error = %Causes(&error), "a look-up failed");
                // One row that cannot be read is no loss of the store.
                if error.is_unavailable() {
                    self.resolver.contact.suspect();
                }
                Landing::Failed
            }
        }
    }
}

impl Resolver {
    /// Keeps what the store said of `key`, unless a change that it had not seen is in force.
    pub(super) fn keep(&self, era: &Era, key: &LookupKey, looked: Looked) -> Landing {
        let at = KeyRef::from(key);
        let route = looked.route.map(|route| self.cache.same_or(at, route));
        let tenant = route.as_ref().map(|route| route.tenant);
        let Some(stamp) = self.applied.stamp(era, looked.at, at, tenant) else {
            // A restored database, or the follower has not begun: in both cases it should look now.
            self.contact.suspect();
            let answer = route.map_or(Match::Absent, Match::Found);
            return Landing::Unfollowed {
                era: era.number(),
                answer,
            };
        };
        let now = self.clock.now();
        match route {
            Some(route) => {
                let kept = Kept {
                    route,
                    stamp,
                    fresh_until: now.plus(self.ttl),
                };
                self.cache.keep_route(key.clone(), kept.clone());
                Landing::Route(kept)
            }
            None => {
                let until = now.plus(self.negative_ttl);
                let absence = Absence { stamp, until };
                self.cache.keep_absence(key.clone(), absence);
                Landing::Absent(absence)
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut aloft = self.resolver.flights.aloft();
        aloft.by_key.remove(&self.key);
        aloft.strangers -= usize::from(self.fare.is_stranger());
    }
}

/// Queries at once: enough to keep a pool of connections busy, few enough that the follower's own query never waits long behind them.
const QUERIES: usize = 16;
/// Of these, for names of unknown standing.
const STRANGERS: usize = 4;
/// Names of unknown standing that may wait for their turn; more wait for the list of names, which a name that exists is on.
const STRANGERS_WAITING: usize = 1024;
