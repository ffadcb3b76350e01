//! What of the change feed has been applied to certificates, and which answers of the store still hold after it.
//!
//! Every answer is stamped with the feed position at which it was read, and believed only while no change to its name behind that
//! position has been applied. The question is put when an answer is used, so no order of reads and changes brings an old one back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use uuid::Uuid;

use super::names::NameHash;
use crate::store::Cursor;

/// 32 KiB of marks. Two names in one slot cost a query now and then, never a wrong answer.
const SLOTS: usize = 4096;

/// When and about which name an answer was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    at: i64,
    era: u32,
    name: NameHash,
}

/// The record of applied changes.
pub(super) struct Ledger(ArcSwap<Era>);

/// A stretch of time in which the feed could be followed without a gap.
pub(super) struct Era {
    number: u32,
    /// The feed's own epoch; `None` before it was first reached.
    epoch: Option<Uuid>,
    /// Nothing read before this position holds.
    floor: AtomicI64,
    /// The position of the last change to any name that falls into a slot.
    marks: Box<[AtomicI64]>,
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self(ArcSwap::from_pointee(Era::new(0, None)))
    }

    /// The era now; taken before the store is asked.
    pub(super) fn era(&self) -> Arc<Era> {
        self.0.load_full()
    }

    /// Whether what was read under `stamp` is still so, as far as changes have been applied.
    pub(super) fn holds(&self, stamp: &Stamp) -> bool {
        let era = self.0.load();
        era.number == stamp.era
            && stamp.at >= era.floor.load(Ordering::Acquire)
            && stamp.at >= era.mark(stamp.name).load(Ordering::Acquire)
    }

    /// A change of this name at `position` is in force. One caller at a time.
    pub(super) fn mark(&self, position: i64, name: NameHash) {
        self.0
            .load()
            .mark(name)
            .fetch_max(position, Ordering::Release);
    }

    /// So much has changed at `position` that nothing read before it holds. One caller at a time.
    pub(super) fn raise(&self, position: i64) {
        self.0.load().floor.fetch_max(position, Ordering::Release);
    }

    /// Forgets everything: what was read so far belongs to another time. One caller at a time.
    pub(super) fn restart(&self, cursor: Cursor) {
        let number = self.0.load().number.wrapping_add(1);
        self.0.store(Arc::new(Era::new(number, Some(cursor))));
    }
}

impl Era {
    fn new(number: u32, cursor: Option<Cursor>) -> Self {
        Self {
            number,
            epoch: cursor.map(|cursor| cursor.epoch),
            floor: AtomicI64::new(cursor.map_or(i64::MIN, |cursor| cursor.position)),
            marks: (0..SLOTS).map(|_| AtomicI64::new(i64::MIN)).collect(),
        }
    }

    /// The stamp of an answer that was read at `at`; `None` where it does not belong to the feed that is followed.
    pub(super) fn stamp(&self, at: Cursor, name: NameHash) -> Option<Stamp> {
        (self.epoch == Some(at.epoch)).then_some(Stamp {
            at: at.position,
            era: self.number,
            name,
        })
    }

    /// Whether a feed is followed in this era.
    pub(super) fn has_begun(&self) -> bool {
        self.epoch.is_some()
    }

    /// Whether an answer read at `at` belongs to the feed that was followed in this era.
    pub(super) fn is_of(&self, at: Cursor) -> bool {
        self.epoch == Some(at.epoch)
    }

    fn mark(&self, name: NameHash) -> &AtomicI64 {
        &self.marks[name.slot(SLOTS)]
    }
}
