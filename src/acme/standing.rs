//! Which accounts a CA has forgotten, and how often we may register them anew: once, unless that helped.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// When a CA that forgot an account right after it was registered anew is given another chance.
const ANOTHER_CHANCE: Duration = Duration::from_secs(3600);

#[derive(Default)]
pub(super) struct Standing(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Addresses that the CA does not know.
    lost: HashSet<String>,
    /// An account that was registered anew, until something has worked with it.
    unproven: Option<Timestamp>,
}

/// What to do with an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// As far as we know the CA knows it.
    Use,
    /// Register it anew.
    Register,
    /// The CA forgets what is registered.
    GiveUp,
}

impl Standing {
    pub(super) fn of(&self, account: &str, now: Timestamp) -> Advice {
        let known = self.lock();
        if !known.lost.contains(account) {
            return Advice::Use;
        }
        match known.unproven {
            Some(at) if at <= now && now.since(at) < ANOTHER_CHANCE => Advice::GiveUp,
            _ => Advice::Register,
        }
    }

    /// The CA says that it does not know `account`.
    pub(super) fn lost(&self, account: &str) {
        self.lock().lost.insert(account.to_owned());
    }

    /// What was lost is now `account`.
    pub(super) fn registered(&self, account: &str, now: Timestamp) {
        let mut known = self.lock();
        known.lost.remove(account);
        known.unproven = Some(now);
    }

    /// Something has worked with `account`.
    pub(super) fn works(&self, account: &str) {
        let mut known = self.lock();
        if !known.lost.contains(account) {
            known.unproven = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g19_a_ca_that_forgets_again_at_once_is_not_asked_in_a_loop() {
        let standing = Standing::default();
        let now = Timestamp(1_000_000);
        assert_eq!(standing.of("old", now), Advice::Use);
        standing.lost("old");
        assert_eq!(standing.of("old", now), Advice::Register);
        standing.registered("new", now);
        assert_eq!(standing.of("new", now), Advice::Use);
        standing.lost("new");
        assert_eq!(standing.of("new", now), Advice::GiveUp);
        assert_eq!(standing.of("old", now), Advice::GiveUp);
        let later = now.plus(ANOTHER_CHANCE);
        assert_eq!(standing.of("new", later), Advice::Register);
    }

    #[test]
    fn g19_what_has_worked_may_be_forgotten_again() {
        let standing = Standing::default();
        let now = Timestamp(1_000_000);
        standing.lost("old");
        standing.registered("new", now);
        standing.works("new");
        standing.lost("new");
        assert_eq!(standing.of("new", now), Advice::Register);
        // Whoever still has the old one gets the new one too.
        assert_eq!(standing.of("old", now), Advice::Register);
    }
}
