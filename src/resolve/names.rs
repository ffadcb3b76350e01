//! The set of all names that lead to a tenant, as 64-bit hashes: what is not in it does not exist and costs no query.
//!
//! It may hold more than there is (a name that went away stays until the next load, and then costs a query now and then), never less:
//! that is the one promise, and every step below keeps it.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::Notify;

use super::key::KeyRef;
use crate::model::{LookupKey, Prehashed};

/// What the set knows of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It leads somewhere, or did a while ago: it may be asked for whatever else is going on.
    Listed,
    /// It leads nowhere.
    Unlisted,
    /// The set is not there to say.
    Unknown,
}

/// The names.
pub(super) struct Names {
    set: RwLock<Set>,
    wanted: Notify,
    completed: Notify,
}

struct Set {
    secret: HashSecret,
    hashes: Hashes,
    /// Whether every name is in it.
    complete: bool,
    /// What was added while a list is on its way, which may be older than the additions.
    added: Option<Vec<u64>>,
    /// Which list that is: an earlier one that arrives later lacks the additions.
    list: u64,
}

/// Hashes of names.
type Hashes = HashSet<u64, BuildHasherDefault<Prehashed>>;

/// All names there are, as they survive a restart.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct NameHashes {
    pub(super) secret: HashSecret,
    pub(super) hashes: Vec<u64>,
}

/// What makes the hashes ours: drawn by chance, so that nobody can make names that collide.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct HashSecret(pub(super) u64, pub(super) u64);

impl HashSecret {
    /// SipHash-2-4 of the key. A snapshot may be read by another build of this program, so neither the algorithm nor what is fed
    /// to it may be left to a `Hash` implementation.
    #[expect(
        deprecated,
        reason = "the successor in std has neither keys of ours nor a fixed algorithm"
    )]
    fn hash(self, key: KeyRef<'_>) -> u64 {
        let mut hasher = std::hash::SipHasher::new_with_keys(self.0, self.1);
        let (kind, name) = match &key {
            KeyRef::Slug(slug) => (0, slug.as_bytes()),
            KeyRef::Domain(name) => (1, name.as_bytes()),
            KeyRef::Wildcard(parent) => (2, parent.as_bytes()),
            KeyRef::Id(id) => (3, &id.0.as_bytes()[..]),
        };
        hasher.write(&[kind]);
        hasher.write(name);
        hasher.finish()
    }
}

impl Names {
    pub(super) fn new() -> Self {
        Self {
            set: RwLock::new(Set {
                secret: HashSecret(rand::random(), rand::random()),
                hashes: Hashes::default(),
                complete: false,
                added: None,
                list: 0,
            }),
            wanted: Notify::new(),
            completed: Notify::new(),
        }
    }

    pub(super) fn standing(&self, key: KeyRef<'_>) -> Standing {
        if matches!(key, KeyRef::Id(_)) {
            // Ids come from verified tokens only: no stranger can invent one.
            return Standing::Listed;
        }
        let set = self.read();
        match (set.hashes.contains(&set.secret.hash(key)), set.complete) {
            (true, _) => Standing::Listed,
            (false, true) => Standing::Unlisted,
            (false, false) => Standing::Unknown,
        }
    }

    /// Adds names that a change spoke of. Whether it gave or took them does not matter: more is allowed.
    pub(super) fn add(&self, names: &[LookupKey]) {
        if names.is_empty() {
            return;
        }
        let set = &mut *self.write();
        for name in names {
            let hash = set.secret.hash(KeyRef::from(name));
            set.hashes.insert(hash);
            if let Some(added) = &mut set.added {
                added.push(hash);
            }
        }
    }

    /// From now on names may be missing: asks for a new list. The old one still tells who is no stranger.
    pub(super) fn outdate(&self) {
        self.write().complete = false;
        self.wanted.notify_one();
    }

    /// Asks for a new list.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// Resolves when a list should be loaded.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// A list is about to be asked for; returns its number.
    pub(super) fn begin(&self) -> u64 {
        let mut set = self.write();
        set.added = Some(Vec::new());
        set.list += 1;
        set.list
    }

    /// Hashes a list; slow, and holds no lock.
    pub(super) fn digest(&self, names: &[LookupKey]) -> NameHashes {
        let secret = self.read().secret;
        let hashes = names.iter().map(|name| secret.hash(KeyRef::from(name)));
        NameHashes {
            secret,
            hashes: hashes.collect(),
        }
    }

    /// Takes list number `list` over if it is the latest.
    pub(super) fn finish(&self, list: u64, names: NameHashes) -> bool {
        let mut hashes: Hashes = names.hashes.into_iter().collect();
        let mut set = self.write();
        if set.list != list || set.secret != names.secret {
            return false;
        }
        hashes.extend(set.added.take().unwrap_or_default());
        let old = std::mem::replace(&mut set.hashes, hashes);
        set.complete = true;
        // A million hashes take their time to free: not while others wait to read.
        drop(set);
        drop(old);
        self.completed.notify_waiters();
        true
    }

    /// Resolves once all names are known.
    pub(super) async fn known(&self) {
        loop {
            let mut completed = std::pin::pin!(self.completed.notified());
            completed.as_mut().enable();
            if self.read().complete {
                return;
            }
            completed.await;
        }
    }

    /// All names, if all are known.
    pub(super) fn all(&self) -> Option<NameHashes> {
        let set = self.read();
        set.complete.then(|| NameHashes {
            secret: set.secret,
            hashes: set.hashes.iter().copied().collect(),
        })
    }

    /// Takes over what [`Names::all`] gave in an earlier life.
    pub(super) fn remember(&self, names: NameHashes) {
        let mut set = self.write();
        set.secret = names.secret;
        set.hashes = names.hashes.into_iter().collect();
        set.complete = true;
        set.list += 1;
        drop(set);
        self.completed.notify_waiters();
    }

    /// How many there are; `None` while not all are known.
    pub(super) fn len(&self) -> Option<usize> {
        let set = self.read();
        set.complete.then(|| set.hashes.len())
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        self.set.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Set> {
        self.set.write().unwrap_or_else(PoisonError::into_inner)
    }
}
