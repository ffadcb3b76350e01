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

    /// `route`, or the one under `key`, if that says the same: whoever holds it goes on with it, and what was made for it goes on to fit.
    pub(super) fn same_or(&self, key: KeyRef<'_>, route: Route) -> Arc<Route> {
        match self.routes.get(&key) {
            Some(kept) if *kept.route == route => kept.route,
            _ => Arc::new(route),
        }
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::model::{Hostname, Slug, TenantId};
    use crate::store::Cursor;

    const CURSOR: Cursor = Cursor {
        epoch: Uuid::from_u128(1),
        position: 1,
    };
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    /// Keys of all kinds whose texts are the same, a part of one another, or the text of a number.
    fn keys() -> Vec<LookupKey> {
        let ids = [1, 2].map(|number| TenantId(Uuid::from_u128(number)));
        let texts = ["acme", "a", "acme-a", &ids[0].to_string()].map(str::to_owned);
        let names = ["acme.a", "a.acme", "a.acme.a"].map(str::to_owned);
        let slugs = texts.iter().filter_map(|text| Slug::parse(text).ok());
        let hosts: Vec<_> = texts
            .iter()
            .chain(&names)
            .map(|text| Hostname::parse(text).unwrap())
            .collect();
        slugs
            .map(LookupKey::Slug)
            .chain(hosts.iter().cloned().map(LookupKey::Domain))
            .chain(hosts.iter().cloned().map(LookupKey::Wildcard))
            .chain(ids.map(LookupKey::Id))
            .collect()
    }

    fn route(number: u128) -> Arc<Route> {
        Arc::new(Route::plain(number, "acme"))
    }

    /// What the cache should say of a key.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Says {
        Tenant(u128),
        Nobody,
    }

    fn said(cache: &Cache, key: &LookupKey, applied: &Applied) -> Option<Says> {
        let key = KeyRef::from(key);
        // A route comes before an absence, as in the resolver.
        match cache.route(key, applied) {
            Some(kept) => Some(Says::Tenant(kept.route.tenant.0.as_u128())),
            None => cache.is_absent(key, applied, NOW).then_some(Says::Nobody),
        }
    }

    fn keep(cache: &Cache, key: &LookupKey, says: Says, applied: &Applied) {
        let stamp = applied.stamp(&applied.era(), CURSOR, KeyRef::from(key), None);
        let stamp = stamp.unwrap();
        match says {
            Says::Tenant(number) => {
                let (route, fresh_until) = (route(number), NOW);
                let kept = Kept {
                    route,
                    stamp,
                    fresh_until,
                };
                cache.keep_route(key.clone(), kept);
            }
            Says::Nobody => {
                let until = NOW.plus(Duration::from_secs(60));
                cache.keep_absence(key.clone(), Absence { stamp, until });
            }
        }
    }

    proptest! {
        #[test]
        fn g6_no_two_keys_share_an_entry(
            order in prop::collection::vec((any::<prop::sample::Index>(), 0..20_u128), 1..40)
        ) {
            let applied = Applied::new();
            applied.restart(CURSOR);
            let cache = Cache::new(&config::Config::parse("", "test", std::iter::empty()).unwrap().cache);
            let (keys, mut wanted) = (keys(), HashMap::new());
            for (index, number) in order {
                let key = index.get(&keys);
                let says = if number == 0 { Says::Nobody } else { Says::Tenant(number) };
                keep(&cache, key, says, &applied);
                wanted.insert(key, says);
                for key in &keys {
                    prop_assert_eq!(said(&cache, key, &applied), wanted.get(key).copied(), "{}", key);
                }
            }
        }
    }
}
