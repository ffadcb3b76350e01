//! What each limited tenant has used, for as long as it makes a difference.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::model::{Limits, TenantId};

use super::in_flight::{TenantCount, TenantSlot};
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
    /// Takes one request from the rate and, where there is a limit, one slot. Takes nothing where either is used up.
    pub(super) fn take(
        &self,
        tenant: TenantId,
        limits: &Limits,
    ) -> Result<Option<TenantSlot>, Full> {
        let mut part = self.part(tenant);
        part.sweep_sometimes();
        let usage = part.usages.entry(key(tenant)).or_default();
        usage.adapt(limits);
        usage.take(limits)
    }

    /// What [`Tenants::take`] would say, without taking or remembering anything.
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

/// A panic elsewhere leaves counts that are whole in themselves: go on with them.
fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[derive(Debug, Default)]
struct Part {
    usages: HashMap<u128, Usage, BuildHasherDefault<IdHasher>>,
    /// Requests until idle tenants are looked for.
    sweep_in: usize,
}

impl Part {
    /// Forgets idle tenants, then again after as many requests as tenants were left: a constant cost a request, and never
    /// more than twice as many remembered as make a difference, or a small number.
    fn sweep_sometimes(&mut self) {
        if self.sweep_in > 0 {
            self.sweep_in -= 1;
            return;
        }
        self.usages.retain(|_, usage| !usage.is_idle());
        self.sweep_in = self.usages.len().max(SWEEP_AT_LEAST);
        if self.usages.capacity() > 4 * self.sweep_in {
            self.usages.shrink_to(2 * self.sweep_in);
        }
    }
}

/// What one tenant has used.
#[derive(Debug, Default)]
struct Usage {
    rate: Option<Rate>,
    in_flight: Option<TenantCount>,
}

impl Usage {
    /// Makes what is counted fit `limits`, which may have changed since the last request.
    fn adapt(&mut self, limits: &Limits) {
        if !self.has_rate_of(limits) {
            self.rate = Rate::new(limits);
        }
        if limits.in_flight == 0 {
            self.in_flight = None;
        } else {
            self.in_flight.get_or_insert_default();
        }
    }

    fn has_rate_of(&self, limits: &Limits) -> bool {
        self.rate
            .as_ref()
            .map_or(limits.requests_per_second == 0, |rate| rate.is_for(limits))
    }

    /// The slot is taken before the rate because it can be given back.
    fn take(&mut self, limits: &Limits) -> Result<Option<TenantSlot>, Full> {
        let slot = match &mut self.in_flight {
            None => None,
            Some(count) => match count.take(limits.in_flight) {
                Some(slot) => Some(slot),
                None => return Err(self.peek_rate().err().unwrap_or(Full::InFlight)),
            },
        };
        self.rate
            .as_ref()
            .map_or(Ok(()), Rate::take)
            .map_err(|wait| Full::Rate { wait })?;
        Ok(slot)
    }

    fn peek(&self, limits: &Limits) -> Result<(), Full> {
        if self.has_rate_of(limits) {
            self.peek_rate()?;
        }
        match &self.in_flight {
            Some(count) if limits.in_flight != 0 && count.is_full(limits.in_flight) => {
                Err(Full::InFlight)
            }
            _ => Ok(()),
        }
    }

    fn peek_rate(&self) -> Result<(), Full> {
        self.rate
            .as_ref()
            .map_or(Ok(()), Rate::peek)
            .map_err(|wait| Full::Rate { wait })
    }

    /// Whether forgetting this changes no answer.
    fn is_idle(&self) -> bool {
        self.in_flight.as_ref().is_none_or(TenantCount::is_idle)
            && self.rate.as_ref().is_none_or(Rate::is_whole)
    }
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
