//! Assertions that one thread has made and another may send. A signature costs more than everything else that is done for a request,
//! and a tenant's requests come to all threads: without this each would sign for each tenant.
//!
//! Asked only where a thread has none of its own that holds. Two threads that come at once both sign, and nobody waits for it.

use std::collections::hash_map::RandomState;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::assertion::Claims;
use super::reuse::{Entry, GENERATION, Place, Reuse};
use crate::clock::Timestamp;

/// The assertions of all threads, in parts with a lock each: held for a look-up, never while something is signed.
pub(super) struct AllThreads {
    hasher: RandomState,
    parts: Box<[Mutex<Part>]>,
}

struct Part {
    /// Of the ring that everything in `reuse` was signed with.
    generation: u64,
    reuse: Reuse,
}

/// Enough that threads seldom meet.
const PARTS: usize = 64;

impl AllThreads {
    /// For assertions that live for `lifetime`.
    pub(super) fn new(lifetime: Duration) -> Self {
        let hasher = RandomState::new();
        let part = || Part {
            generation: 0,
            reuse: Reuse::new(lifetime, GENERATION / PARTS, hasher.clone()),
        };
        let parts = (0..PARTS).map(|_| Mutex::new(part())).collect();
        Self { hasher, parts }
    }

    /// The hasher that gives the places in here.
    pub(super) fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }

    /// The assertion that says `claims`, if one was made under `generation` that may be sent at `now`.
    pub(super) fn get(
        &self,
        generation: u64,
        place: Place,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Option<Arc<Entry>> {
        let mut part = self.part(generation, place)?;
        part.reuse.get(place, claims, now)
    }

    /// Keeps what was made under `generation`.
    pub(super) fn keep(&self, generation: u64, place: Place, entry: &Arc<Entry>, now: Timestamp) {
        if let Some(mut part) = self.part(generation, place) {
            part.reuse.insert(place, Arc::clone(entry), now);
        }
    }

    /// The part for `place`, emptied of what was made under an earlier ring; `None` for a thread that has not seen the newest one.
    fn part(&self, generation: u64, Place(hash): Place) -> Option<MutexGuard<'_, Part>> {
        // Neither the lowest nor the uppermost bits: those choose the place within the part's table.
        let part = &self.parts[(hash >> 32) as usize % PARTS];
        // A panic elsewhere leaves entries that are whole in themselves.
        let mut part = part.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if part.generation < generation {
            part.generation = generation;
            part.reuse.clear();
        }
        (part.generation == generation).then_some(part)
    }
}
