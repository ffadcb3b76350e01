//! Answers of the store in memory: routes, and, apart from them so that no flood can push one out, names that lead nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::applied::{Applied, SLOTS, Stamp};
use super::key::{Key, KeyRef};
use crate::clock::Timestamp;
use crate::config;
use crate::model::{LookupKey, Route};

/// A route that was found.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) route: Arc<Route>,
    pub(super) stamp: Stamp,
    /// From then on it is looked up again while it is still served.
    pub(super) fresh_until: Timestamp,
}

/// A key that led nowhere.
#[derive(Clone, Copy)]
pub(super) struct Absence {
    pub(super) stamp: Stamp,
    pub(super) until: Timestamp,
}

/// Both kinds of answers.
pub(super) struct Cache {
    routes: moka::sync::Cache<Key, Kept>,
    absences: moka::sync::Cache<Key, Absence>,
    /// By slot: until when nobody else starts to look up a stale route again.
    leases: Box<[AtomicI64]>,
}

impl Cache {
    pub(super) fn new(config: &config::Cache) -> Self {
        Self {
            routes: moka::sync::Cache::new(config.capacity),
            absences: moka::sync::Cache::new(config.capacity.min(MAX_ABSENCES)),
            leases: (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect(),
        }
    }

    /// The route under `key`, if it still holds after what has been applied.
    pub(super) fn route(&self, key: KeyRef<'_>, applied: &Applied) -> Option<Kept> {
        self.routes
            .get(&key)
            .filter(|kept| applied.holds(&kept.stamp))
    }

    /// Whether `key` is remembered to lead nowhere.
    pub(super) fn is_absent(&self, key: KeyRef<'_>, applied: &Applied, now: Timestamp) -> bool {
        self.absences
            .get(&key)
            .is_some_and(|absence| now < absence.until && applied.holds(&absence.stamp))
    }

    pub(super) fn keep_route(&self, key: LookupKey, kept: Kept) {
        self.routes.insert(Key(key), kept);
    }

    pub(super) fn keep_absence(&self, key: LookupKey, absence: Absence) {
        // A route that is no more would be asked for anew each time the absence runs out, and fills the snapshot.
        self.routes.invalidate(&KeyRef::from(&key));
        self.absences.insert(Key(key), absence);
    }

    /// True for one caller at a time, and again after `LEASE` in case that one failed.
    pub(super) fn lease(&self, stamp: &Stamp, now: Timestamp) -> bool {
        let Some(lease) = self.leases.get(stamp.key_slot()) else {
            return false;
        };
        let held = lease.load(Ordering::Relaxed);
        // A lease that lies further ahead than any can was given before the clock was set back.
        let free = held <= now.0 || held > now.plus(LEASE).0;
        free && lease
            .compare_exchange(
                held,
                now.plus(LEASE).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// All routes that hold, most of them once.
    pub(super) fn routes<'a>(
        &'a self,
        applied: &'a Applied,
    ) -> impl Iterator<Item = (LookupKey, Arc<Route>)> + 'a {
        self.routes
            .iter()
            .filter(|(_, kept)| applied.holds(&kept.stamp))
            .map(|(key, kept)| (key.0.clone(), kept.route))
    }

    /// Drops every answer: gives the memory back, the stamps alone would do for correctness.
    pub(super) fn clear(&self) {
        self.routes.invalidate_all();
        self.absences.invalidate_all();
    }

    /// How many routes and absences are kept.
    pub(super) fn sizes(&self) -> (u64, u64) {
        (self.routes.entry_count(), self.absences.entry_count())
    }
}

/// How long one attempt to look a stale route up again has before another may start.
const LEASE: Duration = Duration::from_secs(3);
/// Names remembered to lead nowhere. They only count until the set of names is loaded: ten seconds of a flood.
const MAX_ABSENCES: u64 = 50_000;
