//! Certificates of the store: loaded when a visitor asks for them, kept within a bound, dropped by the change feed.

use std::hash::BuildHasherDefault;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::flights::{Flights, Landing};
use super::ledger::{Ledger, Stamp};
use super::names::{NameHash, NameHasher, Names, Standing};
use super::policies::Policies;
use super::{Found, Unseal};
use crate::model::{DomainPattern, Hostname, LookupKey, Prehashed};
use crate::store::{Change, Changed, Changes, Cursor, SharedCertificateStore, StoreError};
use crate::tls::load::Certificate;
use crate::tls::protocol::Protocol;

/// How long a handshake waits for the store at most, in all.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a name that nobody has a certificate for is remembered where the feed says nothing (`[cache] negative_ttl`'s default).
const ABSENCE_TTL: Duration = Duration::from_secs(10);
/// Names that nobody has a certificate for, remembered apart from real ones so that a flood of them evicts nobody. Needed only until
/// the set of names is whole.
const ABSENCES: u64 = 10_000;

/// Rows remembered that cannot be used (sealed with another key, as a rule), for as long: a visitor who asks for one over and over must
/// not keep the store and the log busy.
const UNUSABLE: u64 = 1_000;

/// A certificate in memory.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) certificate: Arc<Certificate>,
    pub(super) stamp: Stamp,
}

/// What the store holds, as far as this node has been asked for it.
pub(super) struct Stored {
    pub(super) control: Handle,
    pub(super) unseal: Unseal,
    pub(super) protocol: Arc<Protocol>,
    pub(super) source: OnceLock<SharedCertificateStore>,
    pub(super) ledger: Ledger,
    pub(super) hasher: NameHasher,
    pub(super) flights: Flights,
    pub(super) policies: Policies,
    names: Names,
    certificates: Cache<NameHash, Kept, BuildHasherDefault<Prehashed>>,
    absences: Cache<NameHash, Stamp, BuildHasherDefault<Prehashed>>,
    unusable: Cache<NameHash, Stamp, BuildHasherDefault<Prehashed>>,
    up: AtomicBool,
    stirred: Notify,
}

impl Stored {
    /// `memory`: bytes that certificates may take, roughly.
    pub(super) fn new(
        memory: u64,
        control: Handle,
        protocol: Arc<Protocol>,
        unseal: Unseal,
    ) -> Self {
        let weight = |_: &NameHash, kept: &Kept| kept.certificate.weight;
        Self {
            control,
            unseal,
            protocol,
            source: OnceLock::new(),
            ledger: Ledger::new(),
            hasher: NameHasher::new(),
            flights: Flights::new(),
            policies: Policies::new(),
            names: Names::default(),
            certificates: Cache::builder()
                .max_capacity(memory)
                .weigher(weight)
                .build_with_hasher(BuildHasherDefault::default()),
            absences: stamps(ABSENCES, ABSENCE_TTL),
            unusable: stamps(UNUSABLE, ABSENCE_TTL),
            up: AtomicBool::new(false),
            stirred: Notify::new(),
        }
    }

    /// The answer from memory; `None` where the store has to be asked. Neither waits nor allocates.
    pub(super) fn recall(&self, hostname: &Hostname) -> Option<Found> {
        let known = self.known(hostname);
        // While the store is away nobody is made to wait for it.
        known.or_else(|| (!self.is_up()).then_some(Found::Unavailable))
    }

    fn known(&self, hostname: &Hostname) -> Option<Found> {
        let exact = self.hasher.exact(hostname);
        // Exact before wildcard: the wildcard counts only where it is certain that there is nothing for the name itself.
        if let Some(found) = self.found(exact) {
            return Some(found);
        }
        if !self.is_absent(exact) {
            return None;
        }
        let Some(wildcard) = self.hasher.wildcard_over(hostname) else {
            return Some(Found::Absent);
        };
        self.found(wildcard)
            .or_else(|| self.is_absent(wildcard).then_some(Found::Absent))
    }

    /// What is remembered of a row for this very name.
    fn found(&self, name: NameHash) -> Option<Found> {
        if let Some(certificate) = self.kept(name) {
            return Some(Found::Certificate(certificate));
        }
        let stamp = self.unusable.get(&name)?;
        self.ledger.holds(&stamp).then_some(Found::Unavailable)
    }

    /// Asks the store where memory does not know.
    pub(super) async fn find(self: &Arc<Self>, hostname: &Hostname) -> Found {
        let asked = async {
            loop {
                if let Some(found) = self.recall(hostname) {
                    return found;
                }
                let (name, exact) = self.question(hostname);
                let landing = self.board(name).landed().await;
                // What a change has overtaken on its way is asked for again, and so is a wildcard behind which a name has come up.
                if let Some(found) = landing.judge(&self.ledger)
                    && exact.is_none_or(|exact| self.is_absent(exact))
                {
                    return found;
                }
            }
        };
        timeout(PATIENCE, asked).await.unwrap_or(Found::Unavailable)
    }

    /// What to ask the store for: where there is certainly nothing for the name itself, all who wait for the wildcard over it wait for
    /// one answer, which is good as long as nothing comes up for the name (given then).
    fn question(&self, hostname: &Hostname) -> (DomainPattern, Option<NameHash>) {
        let exact = self.hasher.exact(hostname);
        let parent = hostname
            .parent()
            .and_then(|parent| Hostname::parse(parent).ok());
        match parent.filter(|_| self.is_absent(exact)) {
            Some(parent) => (DomainPattern::Wildcard(parent), Some(exact)),
            None => (DomainPattern::Exact(hostname.clone()), None),
        }
    }

    /// Whether the store has a certificate for `hostname`, as far as memory knows.
    pub(super) fn covers(&self, hostname: &Hostname) -> bool {
        let exact = self.hasher.exact(hostname);
        let wildcard = self.hasher.wildcard_over(hostname);
        let either = |there: &dyn Fn(NameHash) -> bool| there(exact) || wildcard.is_some_and(there);
        either(&|name| self.names.contains(name))
            || (!self.names.is_whole() && either(&|name| self.kept(name).is_some()))
    }

    /// Whether [`Stored::covers`] has all that it takes to answer.
    pub(super) fn knows_names(&self) -> bool {
        self.names.is_whole()
    }

    pub(super) fn keep(&self, name: NameHash, kept: Kept) {
        self.certificates.insert(name, kept);
    }

    pub(super) fn keep_absence(&self, name: NameHash, stamp: Stamp) {
        self.absences.insert(name, stamp);
    }

    pub(super) fn keep_unusable(&self, name: NameHash, stamp: Stamp) {
        self.unusable.insert(name, stamp);
    }

    fn kept(&self, name: NameHash) -> Option<Arc<Certificate>> {
        let kept = self.certificates.get(&name)?;
        self.ledger.holds(&kept.stamp).then_some(kept.certificate)
    }

    fn is_absent(&self, name: NameHash) -> bool {
        match self.names.standing(name) {
            Standing::Unlisted => true,
            Standing::Listed => false,
            Standing::Unknown => {
                (self.absences.get(&name)).is_some_and(|stamp| self.ledger.holds(&stamp))
            }
        }
    }

    /// See [`super::Inventory::begin`]. One caller at a time, the one of [`Stored::apply`].
    pub(super) fn begin(&self, cursor: Cursor) {
        if !self.ledger.era().has_begun() {
            self.apply(&Changes::Lost(cursor));
        }
    }

    /// Brings `changes` into force: when this returns, no answer from before them is given any more. One caller at a time.
    pub(super) fn apply(&self, changes: &Changes) {
        match changes {
            Changes::Next(changes) => changes.iter().for_each(|change| self.apply_one(change)),
            Changes::Lost(cursor) => {
                self.policies.outdate();
                self.names.outdate();
                self.ledger.restart(*cursor);
                self.certificates.invalidate_all();
                self.absences.invalidate_all();
                self.unusable.invalidate_all();
                self.stirred.notify_one();
            }
        }
    }

    fn apply_one(&self, change: &Change) {
        match &change.what {
            Changed::Certificates(names) if !names.is_empty() => {
                for name in names {
                    let hash = self.hasher.pattern(&name.pattern);
                    self.names.apply(change.position, hash, name.present);
                    self.ledger.mark(change.position, hash);
                }
            }
            Changed::Certificates(_) | Changed::Unknown => {
                self.policies.outdate();
                self.names.outdate();
                self.ledger.raise(change.position);
                self.certificates.invalidate_all();
            }
            Changed::Tenant { names, .. } => {
                // Who has the name, or what it demands.
                if names.iter().any(is_domain) {
                    self.policies.outdate();
                }
                return;
            }
            Changed::Bulk => {
                self.policies.outdate();
                return;
            }
            Changed::SigningKeys => return,
        }
        self.stirred.notify_one();
    }

    pub(super) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Release);
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Resolves when certificates have changed, or may have.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Loads the set of names unless it is whole. False where it was outdated on its way and has to be asked for again.
    pub(super) async fn load_names(
        &self,
        source: &SharedCertificateStore,
    ) -> Result<bool, StoreError> {
        if self.names.is_whole() {
            return Ok(true);
        }
        let number = self.names.begin();
        let era = self.ledger.era();
        let list = source.covered_names().await?;
        if !era.is_of(list.at) {
            return Ok(false);
        }
        let hashes = list.names.iter().map(|name| self.hasher.pattern(name));
        Ok(self.names.finish(number, list.at.position, hashes))
    }

    /// Certificates in memory, roughly, and names in the set, `None` while it is not whole.
    pub(super) fn sizes(&self) -> (u64, Option<usize>) {
        // Evicts what is too much now and not with some later access.
        self.certificates.run_pending_tasks();
        (self.certificates.entry_count(), self.names.len())
    }
}

fn is_domain(key: &LookupKey) -> bool {
    matches!(key, LookupKey::Domain(_) | LookupKey::Wildcard(_))
}

fn stamps(many: u64, ttl: Duration) -> Cache<NameHash, Stamp, BuildHasherDefault<Prehashed>> {
    Cache::builder()
        .max_capacity(many)
        .time_to_live(ttl)
        .build_with_hasher(BuildHasherDefault::default())
}

impl Landing {
    /// What it says to somebody who waited; `None` where it has been overtaken by a change that is in force.
    fn judge(&self, ledger: &Ledger) -> Option<Found> {
        match self {
            Self::Answer { found, stamps } => stamps
                .iter()
                .all(|stamp| ledger.holds(stamp))
                .then(|| found.clone()),
            Self::Unfollowed(found) => Some(found.clone()),
            Self::Failed => Some(Found::Unavailable),
        }
    }
}
