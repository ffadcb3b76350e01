//! What of the change feed has been applied, and which answers of the store still hold after it.
//!
//! Every answer is stamped with the feed position at which it was read, and believed only while no change to its key or its tenant
//! behind that position has been applied. The question is put when an answer is *used*, not when it is kept, so no order of reads,
//! fills and changes can bring an old answer back: there is nothing to race.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::key::KeyRef;
use crate::model::{LookupKey, TenantId};
use crate::store::{Change, Changed, Cursor};

/// When and about what an answer was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp {
    at: i64,
    era: u32,
    key: u32,
    tenant: u32,
}

impl Stamp {
    /// Where the key's marks are; other tables of the same size may use it too.
    pub(super) fn key_slot(&self) -> usize {
        self.key as usize
    }
}

/// The record of applied changes.
pub(super) struct Applied {
    era: ArcSwap<Era>,
    generation: AtomicU64,
    hasher: RandomState,
}

/// A stretch of time in which the feed could be followed without a gap.
pub(super) struct Era {
    number: u32,
    /// The feed's own epoch; `None` before the feed was first reached.
    epoch: Option<uuid::Uuid>,
    /// The cursor: everything up to here has been applied.
    position: AtomicI64,
    /// Position of the newest change about routes. What was read there or later holds without another look.
    newest: AtomicI64,
    /// Nothing read before this position holds.
    floor: AtomicI64,
    /// The position of the last change to any key that falls into a slot. Two keys in one slot cost a query now and then, never a
    /// wrong answer; so the record has one size whatever happens.
    marks: Box<[AtomicI64]>,
}

impl Applied {
    pub(super) fn new() -> Self {
        Self {
            era: ArcSwap::from_pointee(Era::new(0, None)),
            generation: AtomicU64::new(1),
            hasher: RandomState::new(),
        }
    }

    /// Grows whenever an answer may have become another one.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Tells first-level caches elsewhere to look again.
    pub(super) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The era now; taken before the store is asked, for [`Applied::stamp`].
    pub(super) fn era(&self) -> Arc<Era> {
        self.era.load_full()
    }

    /// Whether `era` has not been ended by a loss of the feed.
    pub(super) fn is_current(&self, era: u32) -> bool {
        self.era.load().number == era
    }

    /// Up to where changes have been applied.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        self.era.load().cursor()
    }

    /// The stamp of an answer that was asked for in `era` and read at `at`; `None` where the two do not belong to one feed.
    pub(super) fn stamp(
        &self,
        era: &Era,
        at: Cursor,
        key: KeyRef<'_>,
        tenant: Option<TenantId>,
    ) -> Option<Stamp> {
        let key = self.slot(key);
        let tenant = tenant.map_or(key, |id| self.slot(KeyRef::Id(id)));
        (era.epoch == Some(at.epoch)).then_some(Stamp {
            at: at.position,
            era: era.number,
            key,
            tenant,
        })
    }

    /// Whether what was read under `stamp` is still so, as far as changes have been applied.
    pub(super) fn holds(&self, stamp: &Stamp) -> bool {
        let era = self.era.load();
        if era.number != stamp.era {
            return false;
        }
        stamp.at >= era.newest.load(Ordering::Acquire)
            || (stamp.at >= era.floor.load(Ordering::Acquire)
                && stamp.at >= era.mark(stamp.key)
                && stamp.at >= era.mark(stamp.tenant))
    }

    /// Whether a list of everything, asked for in `era` and read at `at`, contains all that was applied before `begun`.
    pub(super) fn list_holds(&self, era: &Era, begun: i64, at: Cursor) -> bool {
        self.is_current(era.number)
            && era.epoch == Some(at.epoch)
            && at.position >= begun
            && at.position >= era.floor.load(Ordering::Acquire)
    }

    /// Applies `changes` that lie behind the cursor; true where one of them was a bulk change. One caller at a time.
    pub(super) fn advance(&self, changes: &[Change]) -> bool {
        let era = self.era.load_full();
        let reached = era.position.load(Ordering::Relaxed);
        let mut bulk = false;
        for change in changes.iter().filter(|change| change.position > reached) {
            match &change.what {
                Changed::Tenant { id, names } => self.mark(&era, change.position, *id, names),
                Changed::Bulk | Changed::Unknown => {
                    era.floor.fetch_max(change.position, Ordering::Release);
                    era.newest.store(change.position, Ordering::Release);
                    bulk = true;
                }
                Changed::SigningKeys | Changed::Certificates(_) => {}
            }
            era.position.store(change.position, Ordering::Release);
        }
        // No answer follows from a certificate, so nobody need look again for one.
        let about_certificates = |change: &Change| matches!(change.what, Changed::Certificates(_));
        if !changes.iter().all(about_certificates) {
            self.next_generation();
        }
        bulk
    }

    /// Forgets everything: what was read so far belongs to another time. The feed goes on at `cursor`. One caller at a time.
    pub(super) fn restart(&self, cursor: Cursor) {
        let number = self.era.load().number.wrapping_add(1);
        self.era.store(Arc::new(Era::new(number, Some(cursor))));
        self.next_generation();
    }

    fn mark(&self, era: &Era, position: i64, id: TenantId, names: &[LookupKey]) {
        let slots = names.iter().map(KeyRef::from).chain([KeyRef::Id(id)]);
        for slot in slots.map(|key| self.slot(key)) {
            // The slots are written before `newest`, which is what readers look at first.
            if let Some(mark) = era.marks.get(slot as usize) {
                mark.store(position, Ordering::Release);
            }
        }
        era.newest.store(position, Ordering::Release);
    }

    fn slot(&self, key: KeyRef<'_>) -> u32 {
        // The upper bits: the lower ones choose the place in hash tables elsewhere.
        (self.hasher.hash_one(key) >> (64 - SLOT_BITS)) as u32
    }
}

impl Era {
    fn new(number: u32, cursor: Option<Cursor>) -> Self {
        let position = cursor.map_or(i64::MIN, |cursor| cursor.position);
        Self {
            number,
            epoch: cursor.map(|cursor| cursor.epoch),
            position: AtomicI64::new(position),
            newest: AtomicI64::new(position),
            floor: AtomicI64::new(position),
            marks: (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect(),
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn cursor(&self) -> Option<Cursor> {
        let position = self.position.load(Ordering::Acquire);
        self.epoch.map(|epoch| Cursor { epoch, position })
    }

    fn mark(&self, slot: u32) -> i64 {
        self.marks
            .get(slot as usize)
            .map_or(i64::MAX, |mark| mark.load(Ordering::Acquire))
    }
}

/// 512 KiB of marks: a change drops about one cached answer in ten thousand that it has nothing to do with, and all of it stays near the processor.
const SLOT_BITS: u32 = 16;
/// Slots of marks.
pub(super) const SLOTS: usize = 1 << SLOT_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_certificates_is_no_news_to_who_remembers_routes() {
        let applied = Applied::new();
        let epoch = uuid::Uuid::from_u128(1);
        applied.restart(Cursor { epoch, position: 1 });
        let before = applied.generation();
        let change = |position, what| Change {
            position,
            at: 0,
            what,
        };
        assert!(!applied.advance(&[change(2, Changed::Certificates(Vec::new()))]));
        assert_eq!(applied.generation(), before);
        assert_eq!(applied.cursor().map(|cursor| cursor.position), Some(2));
        let both = [
            change(3, Changed::Certificates(Vec::new())),
            change(4, Changed::Unknown),
        ];
        assert!(applied.advance(&both));
        assert_ne!(applied.generation(), before);
    }
}
