//! The set of all names that there is a certificate for in the store, as 64-bit hashes, kept up by the feed. What
//! is not in it costs no query, and it says without one which names can be served over TLS.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, RandomState};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::{DomainPattern, Hostname, Prehashed};

/// A name or wildcard, hashed with a secret of this process, so that nobody can make names that collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct NameHash(u64);

impl NameHash {
    /// Its place in a table of `slots`, a power of two. The upper bits: the lower ones choose the place in hash tables.
    pub(super) fn slot(self, slots: usize) -> usize {
        (self.0 >> (64 - slots.trailing_zeros())) as usize & (slots - 1)
    }
}

/// Makes the hashes.
pub(super) struct NameHasher(RandomState);

impl NameHasher {
    pub(super) fn new() -> Self {
        Self(RandomState::new())
    }

    pub(super) fn exact(&self, hostname: &Hostname) -> NameHash {
        NameHash(self.0.hash_one((false, hostname.as_str())))
    }

    /// That of the wildcard over `hostname`, where there can be one.
    pub(super) fn wildcard_over(&self, hostname: &Hostname) -> Option<NameHash> {
        hostname.parent().map(|parent| self.wildcard(parent))
    }

    pub(super) fn pattern(&self, pattern: &DomainPattern) -> NameHash {
        match pattern {
            DomainPattern::Exact(name) => self.exact(name),
            DomainPattern::Wildcard(parent) => self.wildcard(parent.as_str()),
        }
    }

    fn wildcard(&self, parent: &str) -> NameHash {
        NameHash(self.0.hash_one((true, parent)))
    }
}

/// What the set knows of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// There is a certificate for it.
    Listed,
    /// There is none.
    Unlisted,
    /// The set is not whole.
    Unknown,
}

/// The names.
#[derive(Default)]
pub(super) struct Names(RwLock<Set>);

#[derive(Default)]
struct Set {
    hashes: HashSet<NameHash, BuildHasherDefault<Prehashed>>,
    /// Whether it is what the store holds, as far as changes have been applied.
    whole: bool,
    /// Changes at or before this position are in it.
    since: i64,
    /// What has been applied while a list is on its way, which may be older.
    applied: Option<Vec<(i64, NameHash, bool)>>,
    /// Which list that is: one that was asked for before the set was outdated must not end that.
    list: u64,
}

impl Names {
    pub(super) fn standing(&self, name: NameHash) -> Standing {
        let set = self.read();
        match (set.whole, set.hashes.contains(&name)) {
            (false, _) => Standing::Unknown,
            (true, true) => Standing::Listed,
            (true, false) => Standing::Unlisted,
        }
    }

    /// The best answer there is, also while the set is being loaded anew.
    pub(super) fn contains(&self, name: NameHash) -> bool {
        self.read().hashes.contains(&name)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.read().whole
    }

    /// How many there are; `None` while that is not known.
    pub(super) fn len(&self) -> Option<usize> {
        let set = self.read();
        set.whole.then_some(set.hashes.len())
    }

    /// A change at `position`.
    pub(super) fn apply(&self, position: i64, name: NameHash, present: bool) {
        let mut set = self.write();
        if let Some(applied) = &mut set.applied {
            applied.push((position, name, present));
        }
        if position > set.since {
            set.put(name, present);
        }
    }

    /// From now on the set may lack something, until the next list.
    pub(super) fn outdate(&self) {
        let mut set = self.write();
        set.whole = false;
        set.applied = None;
        set.list += 1;
        // Positions of another feed may be lower.
        set.since = i64::MIN;
    }

    /// A list is about to be asked for; the number is for [`Names::finish`].
    pub(super) fn begin(&self) -> u64 {
        let mut set = self.write();
        set.applied = Some(Vec::new());
        set.list
    }

    /// The list that was begun as `number`, read at `at`. False where the set has been outdated meanwhile.
    pub(super) fn finish(
        &self,
        number: u64,
        at: i64,
        names: impl Iterator<Item = NameHash>,
    ) -> bool {
        let hashes = names.collect();
        let mut set = self.write();
        if set.list != number {
            return false;
        }
        set.hashes = hashes;
        for (position, name, present) in set.applied.take().unwrap_or_default() {
            if position > at {
                set.put(name, present);
            }
        }
        (set.whole, set.since) = (true, at);
        true
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Set> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    fn put(&mut self, name: NameHash, present: bool) {
        if present {
            self.hashes.insert(name);
        } else {
            self.hashes.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> NameHash {
        NameHash(number)
    }

    fn list(names: &Names, at: i64, list: &[u64]) -> bool {
        let number = names.begin();
        names.finish(number, at, list.iter().copied().map(NameHash))
    }

    #[test]
    fn a_list_older_than_what_was_applied_meanwhile_undoes_nothing() {
        let names = Names::default();
        assert_eq!(names.standing(name(1)), Standing::Unknown);
        let number = names.begin();
        names.apply(5, name(1), true);
        names.apply(6, name(2), false);
        names.apply(7, name(3), false);
        // Read at 6: it has seen the first two.
        assert!(names.finish(number, 6, [name(1), name(3)].into_iter()));
        assert_eq!(names.standing(name(1)), Standing::Listed);
        assert_eq!(names.standing(name(2)), Standing::Unlisted);
        assert_eq!(names.standing(name(3)), Standing::Unlisted);
    }

    #[test]
    fn changes_that_the_list_has_seen_are_not_played_again() {
        let names = Names::default();
        // 8 brought the name and 9 took it away; the feed is followed from 7.
        assert!(list(&names, 9, &[]));
        names.apply(8, name(1), true);
        assert_eq!(names.standing(name(1)), Standing::Unlisted);
        names.apply(10, name(1), true);
        assert_eq!(names.standing(name(1)), Standing::Listed);
    }

    #[test]
    fn a_list_from_before_a_loss_does_not_end_it() {
        let names = Names::default();
        let number = names.begin();
        names.outdate();
        assert!(!names.finish(number, 9, [name(1)].into_iter()));
        assert_eq!(names.standing(name(1)), Standing::Unknown);
        assert!(list(&names, 1, &[1]));
        names.apply(2, name(1), false);
        assert_eq!(
            names.standing(name(1)),
            Standing::Unlisted,
            "positions start anew in another feed"
        );
    }
}
