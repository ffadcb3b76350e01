//! What each limited tenant has used, for as long as it makes a difference or is at hand.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::model::{Limits, TenantId};

use super::rate::Rate;

/// Which of a tenant's limits is used up.
#[derive(Debug)]
pub(super) enum Full {
    /// Its rate; the next request fits after `wait`.
    Rate { wait: Duration },
    /// Its requests in flight.
    InFlight,
}

/// All tenants, in parts with a lock each: held for a look-up and some arithmetic, never across an await.
#[derive(Debug)]
pub(super) struct Tenants(Box<[Mutex<Part>; PARTS]>);

impl Default for Tenants {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(|_| Mutex::default())))
    }
}

impl Tenants {
    /// What `tenant` has used. Whoever keeps that at hand keeps it here, too: there is no second one of it.
    pub(super) fn usage(&self, tenant: TenantId) -> Arc<Usage> {
        let mut part = self.part(tenant);
        part.sweep_sometimes();
        Arc::clone(part.usages.entry(key(tenant)).or_default())
    }

    /// What [`Usage::take`] would say, without taking or remembering anything.
    pub(super) fn peek(&self, tenant: TenantId, limits: &Limits) -> Result<(), Full> {
        let part = self.part(tenant);
        part.usages
            .get(&key(tenant))
            .map_or(Ok(()), |usage| usage.peek(limits))
    }

    /// Tenants remembered.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|part| lock(part).usages.len()).sum()
    }

    fn part(&self, tenant: TenantId) -> MutexGuard<'_, Part> {
        // The last byte of a UUIDv7 is random.
        lock(&self.0[usize::from(tenant.0.as_bytes()[15]) % PARTS])
    }
}

fn key(tenant: TenantId) -> u128 {
    tenant.0.as_u128()
}

/// A panic elsewhere leaves what is whole in itself: go on with it.
fn lock<T>(locked: &Mutex<T>) -> MutexGuard<'_, T> {
    locked
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[derive(Debug, Default)]
struct Part {
    usages: HashMap<u128, Arc<Usage>, BuildHasherDefault<IdHasher>>,
    /// Look-ups until idle tenants are looked for.
    sweep_in: usize,
}

impl Part {
    /// Forgets idle tenants, then again after as many look-ups as tenants were left: a constant cost each, and never
    /// more than twice as many remembered as make a difference or are at hand, or a small number.
    fn sweep_sometimes(&mut self) {
        if self.sweep_in > 0 {
            self.sweep_in -= 1;
            return;
        }
        // Whoever holds one got it from here: what only this table holds cannot be taken from meanwhile.
        self.usages
            .retain(|_, usage| Arc::strong_count(usage) > 1 || !usage.is_idle());
        self.sweep_in = self.usages.len().max(SWEEP_AT_LEAST);
        if self.usages.capacity() > 4 * self.sweep_in {
            self.usages.shrink_to(2 * self.sweep_in);
        }
    }
}

/// What one tenant has used.
#[derive(Debug, Default)]
pub(super) struct Usage {
    rate: Mutex<Option<Rate>>,
    in_flight: AtomicU32,
}

/// One of a tenant's requests in flight; given back without asking for the tenant again.
#[derive(Debug)]
pub(super) struct TenantSlot(Arc<Usage>);

impl Usage {
    /// Takes one request from the rate and, where there is a limit, one slot. Takes nothing where either is used up.
    pub(super) fn take(self: &Arc<Self>, limits: &Limits) -> Result<Option<TenantSlot>, Full> {
        let mut rate = lock(&self.rate);
        // The limits may have changed since the last request.
        if !is_for(rate.as_ref(), limits) {
            *rate = Rate::new(limits);
        }
        if self.is_full(limits) {
            return Err(peek(rate.as_ref()).err().unwrap_or(Full::InFlight));
        }
        rate.as_ref()
            .map_or(Ok(()), Rate::take)
            .map_err(|wait| Full::Rate { wait })?;
        // Under the lock: nobody else adds meanwhile.
        Ok((limits.in_flight != 0).then(|| {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            TenantSlot(Arc::clone(self))
        }))
    }

    pub(super) fn read_ahead(&self) {
        black_box(self.in_flight.load(Ordering::Relaxed));
    }

    fn peek(&self, limits: &Limits) -> Result<(), Full> {
        let rate = lock(&self.rate);
        if is_for(rate.as_ref(), limits) {
            peek(rate.as_ref())?;
        }
        match self.is_full(limits) {
            true => Err(Full::InFlight),
            false => Ok(()),
        }
    }

    fn is_full(&self, limits: &Limits) -> bool {
        limits.in_flight != 0 && self.in_flight.load(Ordering::Relaxed) >= limits.in_flight
    }

    /// Whether forgetting this changes no answer.
    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
            && lock(&self.rate).as_ref().is_none_or(Rate::is_whole)
    }
}

impl Drop for TenantSlot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether `rate` is the one that `limits` set.
fn is_for(rate: Option<&Rate>, limits: &Limits) -> bool {
    rate.map_or(limits.requests_per_second == 0, |rate| rate.is_for(limits))
}

fn peek(rate: Option<&Rate>) -> Result<(), Full> {
    rate.map_or(Ok(()), Rate::peek)
        .map_err(|wait| Full::Rate { wait })
}

/// Ids are made here, not chosen by visitors, and their low half is random: no need to hash them.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn write_u128(&mut self, id: u128) {
        // The multiplication carries the random bits into the high ones, which the map also looks at.
        self.0 = ((id >> 64) as u64 ^ id as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Enough that threads seldom meet, and that sweeping one part with a million tenants about takes some 100 µs.
const PARTS: usize = 256;
/// A part this small is not worth sweeping.
const SWEEP_AT_LEAST: usize = 64;
