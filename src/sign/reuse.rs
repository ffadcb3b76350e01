//! Which assertion may be sent again. One signature serves a tenant's requests for half its life, so that signing costs next to
//! nothing per request.

use std::collections::HashMap;
use std::collections::hash_map::{self, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::assertion::{Assertion, Claims};
use crate::clock::Timestamp;
use crate::model::{Hostname, Prehashed, Sources, TenantId, ahead};

/// Assertions by what they say. Two generations: what was not asked for while the younger one filled up, or
/// during one lifetime, goes.
pub(super) struct Reuse {
    hasher: RandomState,
    young: Entries,
    old: Entries,
    /// A generation on its way out: given back a few entries at a time, because freeing all at once would hold up a request.
    leaving: hash_map::IntoIter<u64, Arc<Entry>>,
    turned_at: Timestamp,
    lifetime: Duration,
    capacity: usize,
}

/// One assertion that is kept elsewhere: with whatever tells beforehand that the same will be said again.
#[derive(Default)]
pub struct Slot {
    generation: u64,
    entry: Option<Arc<Entry>>,
}

impl Slot {
    /// Reads what is sent again as a rule; see [`ahead`](crate::model::ahead).
    pub fn read_ahead(&self) {
        if let Some(entry) = &self.entry {
            black_box((entry.sources, entry.assertion.renew_at));
            ahead::read_ahead(entry.upstream.as_bytes());
            ahead::read_ahead(entry.value().as_bytes());
        }
    }

    /// The assertion that says `claims`, if it may be sent at `now` and was made under `generation`.
    pub(super) fn get(
        &self,
        generation: u64,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Option<&HeaderValue> {
        let entry = self
            .entry
            .as_ref()
            .filter(|_| self.generation == generation)?;
        entry.answers(claims, now).then(|| entry.value())
    }

    /// Keeps what was made under `generation`.
    pub(super) fn keep(&mut self, generation: u64, entry: Arc<Entry>) {
        self.generation = generation;
        self.entry = Some(entry);
    }
}

/// Keyed by hash, so that a look-up needs no owned key. Entries with equal hashes displace each other.
type Entries = HashMap<u64, Arc<Entry>, BuildHasherDefault<Prehashed>>;

/// An assertion and what it says.
pub(super) struct Entry {
    tenant: Option<(TenantId, u64)>,
    sources: Sources,
    upstream: Box<str>,
    host: Hostname,
    assertion: Assertion,
}

/// Where an assertion is kept; from [`Reuse::place`].
#[derive(Clone, Copy)]
pub(super) struct Place(pub(super) u64);

impl Reuse {
    /// For assertions that live for `lifetime`, at most `capacity` in a generation. Those with equal hashers agree on the
    /// [`Place`] of everything.
    pub(super) fn new(lifetime: Duration, capacity: usize, hasher: RandomState) -> Self {
        Self {
            hasher,
            young: Entries::default(),
            old: Entries::default(),
            leaving: HashMap::new().into_iter(),
            turned_at: Timestamp::default(),
            lifetime,
            capacity,
        }
    }

    /// The place of what says the same as `claims`.
    pub(super) fn place(&self, claims: &Claims<'_>) -> Place {
        let named = (tenant(claims), claims.sources, claims.upstream, claims.host);
        Place(self.hasher.hash_one(named))
    }

    /// The assertion that says `claims`, if it may be sent at `now`.
    pub(super) fn get(
        &mut self,
        place: Place,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Option<Arc<Entry>> {
        if let Some(entry) = self.young.get(&place.0) {
            return entry.answers(claims, now).then(|| Arc::clone(entry));
        }
        let entry = self.old.remove(&place.0)?;
        if !entry.answers(claims, now) {
            return None;
        }
        self.insert(place, Arc::clone(&entry), now);
        Some(entry)
    }

    /// Keeps `assertion`, which says `claims`.
    pub(super) fn keep(
        &mut self,
        place: Place,
        claims: &Claims<'_>,
        assertion: Assertion,
        now: Timestamp,
    ) -> Arc<Entry> {
        let entry = Arc::new(Entry::new(claims, assertion));
        self.insert(place, Arc::clone(&entry), now);
        entry
    }

    /// Keeps an entry that is kept elsewhere, too.
    pub(super) fn insert(&mut self, place: Place, entry: Arc<Entry>, now: Timestamp) {
        self.leaving.by_ref().take(4).for_each(drop);
        let grown_old = now < self.turned_at || now.since(self.turned_at) >= self.lifetime;
        if grown_old || self.young.len() >= self.capacity {
            self.turned_at = now;
            let young = std::mem::take(&mut self.young);
            self.leaving = std::mem::replace(&mut self.old, young).into_iter();
        }
        self.young.insert(place.0, entry);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.young = Entries::default();
        self.old = Entries::default();
        self.leaving = HashMap::new().into_iter();
    }
}

impl Entry {
    fn new(claims: &Claims<'_>, assertion: Assertion) -> Self {
        Self {
            tenant: tenant(claims),
            sources: claims.sources,
            upstream: claims.upstream.into(),
            host: claims.host.clone(),
            assertion,
        }
    }

    /// What is sent.
    pub(super) fn value(&self) -> &HeaderValue {
        &self.assertion.value
    }

    fn answers(&self, claims: &Claims<'_>, now: Timestamp) -> bool {
        let same = self.tenant == tenant(claims)
            && self.sources == claims.sources
            && *self.upstream == *claims.upstream
            && self.host == *claims.host;
        // A clock that was set back must not make a statement of the future.
        let in_time = self.assertion.issued <= now.0 && now.0 < self.assertion.renew_at;
        same && in_time
    }
}

/// Whom `claims` name. Two rows with the same number and version say the same.
fn tenant(claims: &Claims<'_>) -> Option<(TenantId, u64)> {
    claims.route.map(|route| (route.tenant, route.version))
}

/// Entries in one generation. A node that serves 100,000 tenants at once signs for each of them twice a minute only if all fit;
/// an entry takes about 1 KB, and only tenants seen within the last two lifetimes have one.
pub(super) const GENERATION: usize = 128 * 1024;

#[cfg(test)]
mod tests;
