//! The certificates that visitors can be shown: those of the operator's folder, then those of the store.
//!
//! The folder is in memory whole. Of the store only those are that somebody has asked for; it is asked by tasks on the control plane
//! which the data plane awaits, and followed by its change feed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

mod flights;
mod folder;
mod ledger;
mod names;
mod policies;
mod stored;

pub use folder::LoadReport;
pub use policies::{Exempt, NamePolicy};

use folder::{Outside, Snapshot};
use stored::Stored;

use super::accept;
use super::fault::CertificateFault;
use super::load::Certificate;
use super::protocol::Protocol;
use super::tickets::{TicketFault, Tickets};
use crate::clock::Timestamp;
use crate::config;
use crate::metrics::Metrics;
use crate::model::certificate::late_at;
use crate::model::{DomainPattern, Hostname, Secret};
use crate::seal::SealError;
use crate::store::{CertificateSummary, Changes, Cursor, SharedCertificateStore, StoreError};

/// TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The library would not start.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
    /// No randomness for the ticket keys.
    #[error("TLS cannot be set up")]
    Tickets(#[from] TicketFault),
}

/// All certificates of this node, by the names they are for.
pub struct Inventory {
    settings: config::Tls,
    protocol: Arc<Protocol>,
    metrics: Arc<Metrics>,
    snapshot: ArcSwap<Snapshot>,
    /// The folder's files when they were last read.
    seen: Mutex<Outside>,
    /// Empty where there is no store to look into.
    stored: OnceLock<Arc<Stored>>,
    counted: Mutex<Counted>,
}

/// Opens what was sealed for a purpose.
pub type Unseal = Box<dyn Fn(&str, &[u8]) -> Result<Secret, SealError> + Send + Sync>;

/// What there is for a name.
#[derive(Clone, Debug)]
pub enum Found {
    /// This certificate.
    Certificate(Arc<Certificate>),
    /// None.
    Absent,
    /// Nobody can say: the store is away, or what it holds for the name cannot be used.
    Unavailable,
}

/// What the gauges say.
#[derive(Default)]
struct Counted {
    folder: CertificateSummary,
    faulty: usize,
    store: CertificateSummary,
}

impl Inventory {
    /// Whether a file of the operator's folder is good for every visitor of `pattern` at `now`.
    pub fn folder_covers(&self, pattern: &DomainPattern, now: Timestamp) -> bool {
        let found = self.snapshot.load();
        found.of(pattern).is_some_and(|it| it.is_valid(now))
    }

    /// Until when the operator's folder needs no other certificate for the visitors of `pattern`: a third of the life of its own is left
    /// then, time enough to order one. Nothing where the folder has none that is valid.
    pub fn folder_suffices_until(&self, pattern: &DomainPattern) -> Option<Timestamp> {
        let snapshot = self.snapshot.load();
        let certificate = snapshot.of(pattern)?;
        let life = certificate.not_after.since(certificate.not_before);
        Some(certificate.not_before.plus(life * 2 / 3))
    }

    /// Loads the configured folder. Faults of files are in the report, not errors: a node with one bad certificate serves the
    /// others.
    pub fn load(
        settings: &config::Tls,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> Result<(Arc<Self>, LoadReport), SetupError> {
        accept::show_handshakes(&metrics);
        let inventory = Arc::new(Self {
            settings: settings.clone(),
            protocol: Arc::new(Protocol::new(settings.minimum)?),
            metrics,
            snapshot: ArcSwap::default(),
            seen: Mutex::default(),
            stored: OnceLock::new(),
            counted: Mutex::default(),
        });
        let report = inventory.reload(now);
        Ok((inventory, report))
    }

    /// Looks at the folder from outside; where files have changed since they were last read, reads it again. Blocks, as files do.
    pub fn look(&self, now: Timestamp) -> Option<LoadReport> {
        let outside = Outside::of(&self.settings.directory);
        let same = outside == *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !same {
            return Some(self.reload(now));
        }
        let snapshot = self.snapshot.load();
        if snapshot.is_due(now) {
            self.show(&snapshot.all, None, now);
        }
        None
    }

    /// Reads the folder again and swaps what is shown. Connections keep what they were shown, and so do names whose files are broken
    /// now.
    pub fn reload(&self, now: Timestamp) -> LoadReport {
        // Before they are read: what is written meanwhile is a change yet to be seen.
        let outside = Outside::of(&self.settings.directory);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = outside;
        let before = self.snapshot.load();
        let report = LoadReport::read(&self.settings, &self.protocol, now, &before.all);
        let is_faulty = |fault: &&CertificateFault| !fault.is_no_folder();
        let faults = report.faults.iter().filter(is_faulty).count();
        self.show(&report.certificates, Some(faults), now);
        report
    }

    /// Shows `certificates`; of the `faults` of their files those that are ends of validity are counted apart.
    fn show(&self, certificates: &[Arc<Certificate>], faults: Option<usize>, now: Timestamp) {
        let default = self.settings.default.as_deref();
        let snapshot = Snapshot::new(certificates, default, now);
        let valid: Vec<_> = snapshot.all.iter().filter(|it| it.is_valid(now)).collect();
        let folder = CertificateSummary {
            valid: valid.len() as u64,
            outside_validity: (snapshot.all.len() - valid.len()) as u64,
            soonest: valid.iter().map(|it| it.not_after.0).min(),
            // One that has expired is late until somebody does something about it.
            late_at: (snapshot.all.iter())
                .filter(|it| it.not_before <= now)
                .map(|it| late_at(it.not_before.0, it.not_after.0))
                .min(),
        };
        let outside = snapshot.all.len() - valid.len();
        self.snapshot.store(Arc::new(snapshot));
        self.count(|counted| {
            counted.folder = folder;
            if let Some(faults) = faults {
                counted.faulty = faults.saturating_sub(outside);
            }
        });
    }

    /// From now on there is a store behind the folder, which [`Inventory::attach`] will give: until then nobody can say what it
    /// holds. It is asked on `control`; `unseal` opens the keys. Only the first one counts.
    pub fn expect_store(&self, control: Handle, unseal: Unseal) {
        let protocol = Arc::clone(&self.protocol);
        self.stored
            .get_or_init(|| Arc::new(Stored::new(self.settings.memory, control, protocol, unseal)));
    }

    /// Gives the inventory its store. Only the first one counts: a store mends its own connections.
    pub fn attach(&self, source: SharedCertificateStore) {
        if let Some(stored) = self.stored.get() {
            let _ = stored.source.set(source);
        }
    }

    /// The certificate for `hostname` that is in memory. A file of the folder comes before anything in the store, as long as it is valid:
    /// one that has expired is shown only where the store has none. In each the certificate that names the host comes before the
    /// wildcard one label above it.
    pub fn certificate(&self, hostname: &Hostname) -> Option<Arc<Certificate>> {
        match self.recall(hostname) {
            Some(Found::Certificate(certificate)) => Some(certificate),
            _ => None,
        }
    }

    /// As [`Inventory::certificate`], and asks the store where memory does not know; waits 2 s at most, then it is `Unavailable`.
    pub async fn find(&self, hostname: &Hostname) -> Found {
        match (self.recall(hostname), self.stored.get()) {
            (Some(found), _) => found,
            (None, Some(stored)) => self.or_outdated(stored.find(hostname).await, hostname),
            (None, None) => Found::Absent,
        }
    }

    /// What the store has; where that is nothing, an outdated one of the folder is better than none.
    fn or_outdated(&self, stored: Found, hostname: &Hostname) -> Found {
        if let Found::Certificate(_) = stored {
            return stored;
        }
        let snapshot = self.snapshot.load();
        let outdated = snapshot.outdated(hostname).cloned();
        outdated.map_or(stored, Found::Certificate)
    }

    /// The answer from memory; `None` where the store has to be asked.
    fn recall(&self, hostname: &Hostname) -> Option<Found> {
        if let Some(certificate) = self.snapshot.load().valid(hostname) {
            return Some(Found::Certificate(Arc::clone(certificate)));
        }
        let stored = match self.stored.get() {
            Some(stored) => stored.recall(hostname)?,
            None => Found::Absent,
        };
        Some(self.or_outdated(stored, hostname))
    }

    /// Whether a visitor who asks for `hostname` over TLS can be served, as far as memory knows: see [`Inventory::settle`].
    pub fn covers(&self, hostname: &Hostname) -> bool {
        self.snapshot.load().covers(hostname)
            || (self.stored.get()).is_some_and(|stored| stored.covers(hostname))
    }

    /// Returns when [`Inventory::covers`] can answer for `hostname`: at once, but for the first moments after a start and after an
    /// import of many, when the set of names is still being loaded.
    pub async fn settle(&self, hostname: &Hostname) {
        if let Some(stored) = self.stored.get()
            && !stored.knows_names()
            && !self.snapshot.load().covers(hostname)
        {
            // Boxed: every request has room for this wait, and hardly any has it.
            Box::pin(stored.find(hostname)).await;
        }
    }

    /// Names that no customer can have: what they demand is the same as all do, also while the store has never been reached.
    pub fn exempt(&self, exempt: Exempt) {
        if let Some(stored) = self.stored.get() {
            stored.policies.exempt(exempt);
        }
    }

    /// What visitors of `hostname` must bring, as far as memory knows.
    pub fn policy(&self, hostname: &Hostname) -> Option<Arc<NamePolicy>> {
        self.stored.get()?.policies.recall(hostname)
    }

    /// As [`Inventory::policy`], and asks the store where names have changed; nothing where nobody can say, in 2 s at most.
    pub(super) async fn find_policy(&self, hostname: &Hostname) -> Option<Option<Arc<NamePolicy>>> {
        match self.stored.get() {
            Some(stored) => stored.policy(hostname).await.ok(),
            None => Some(None),
        }
    }

    /// Resolves when what names demand may have changed: then [`Inventory::refresh_policies`] is due. Never without a store.
    pub async fn policies_due(&self) {
        match self.stored.get() {
            Some(stored) => stored.policies.due().await,
            None => std::future::pending().await,
        }
    }

    /// Reads what names demand of their visitors, where that is due.
    pub async fn refresh_policies(&self) -> Result<(), StoreError> {
        match self.stored.get() {
            Some(stored) => stored.load_policies().await,
            None => Ok(()),
        }
    }

    /// What seals the sessions that visitors take along.
    pub fn tickets(&self) -> &Arc<Tickets> {
        self.protocol.tickets()
    }

    /// What is spoken whichever certificate is shown.
    pub(super) fn protocol(&self) -> &Protocol {
        &self.protocol
    }

    /// What visitors are shown who name no host, or one that nobody here has a certificate for.
    pub fn default_certificate(&self) -> Option<Arc<Certificate>> {
        self.snapshot.load().default.clone()
    }

    /// Says where the feed stands whose changes are about to be applied; only the first time counts. Without it, or a loss, nothing that
    /// is read can be kept.
    pub fn begin(&self, cursor: Cursor) {
        if let Some(stored) = self.stored.get() {
            stored.begin(cursor);
        }
    }

    /// Brings changes of the store into force: when this returns, nothing from before them is shown any more. One caller at a time.
    pub fn apply(&self, changes: &Changes) {
        if let Some(stored) = self.stored.get() {
            stored.apply(changes);
        }
    }

    /// The store answered, or it did not: while it is away only what is in memory is shown.
    pub fn in_contact(&self, up: bool) {
        if let Some(stored) = self.stored.get() {
            stored.set_up(up);
        }
    }

    /// Resolves when certificates of the store have changed, or may have: then [`Inventory::refresh`] is due. Never without a store.
    pub async fn stirred(&self) {
        match self.stored.get() {
            Some(stored) => stored.stirred().await,
            None => std::future::pending().await,
        }
    }

    /// Loads the set of names where it is not whole, and counts the store's certificates for the metrics. False where the set was
    /// overtaken on its way and has to be asked for again.
    pub async fn refresh(&self, now: Timestamp) -> Result<bool, StoreError> {
        let Some(stored) = self.stored.get() else {
            return Ok(true);
        };
        let Some(source) = stored.source.get() else {
            return Ok(false);
        };
        let whole = stored.load_names(source).await?;
        let store = source.certificate_summary(now).await?;
        self.count(|counted| counted.store = store);
        Ok(whole)
    }

    /// Sets the gauges that say what is in memory.
    pub fn status(&self) {
        let Some(stored) = self.stored.get() else {
            return;
        };
        let (certificates, names) = stored.sizes();
        let gauge = |cache, entries: u64| {
            let entries = i64::try_from(entries).unwrap_or(i64::MAX);
            self.metrics
                .cache_entries
                .with_label_values(&[cache])
                .set(entries);
        };
        gauge("certificates", certificates);
        gauge("certificate_names", names.unwrap_or(0) as u64);
    }

    fn count(&self, change: impl FnOnce(&mut Counted)) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counted);
        let set = |state, count: u64| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics
                .certificates
                .with_label_values(&[state])
                .set(count);
        };
        let (folder, store) = (&counted.folder, &counted.store);
        set("valid", folder.valid + store.valid);
        set(
            "outside_validity",
            folder.outside_validity + store.outside_validity,
        );
        set("faulty", counted.faulty as u64);
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact until the year 285 million"
        )]
        // Nothing expires where there is nothing: an alert on "soon" must not fire.
        let first = |one: Option<i64>, other: Option<i64>| {
            let first = one.into_iter().chain(other).min();
            first.map_or(f64::INFINITY, |date| Timestamp(date).seconds() as f64)
        };
        let soonest = first(folder.soonest, store.soonest);
        self.metrics.certificate_not_after.set(soonest);
        let late_at = first(folder.late_at, store.late_at);
        self.metrics.certificate_late_at.set(late_at);
    }
}

impl Certificate {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }
}
