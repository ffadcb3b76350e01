//! What visitors of some names must bring beyond what all must: few names, all of them in memory, read again when the feed speaks of names.
//!
//! A handshake waits for a reading that is due. While the store is away what was read last holds; where nothing was ever read, nobody can
//! say what a customer's name demands, and it is not served.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use crate::model::{Causes, DomainPattern, Hostname};
use crate::store::{NameTls, SharedCertificateStore, StoreError};
use crate::tls::load::Certificate;
use crate::tls::protocol::Protocol;

/// How long a handshake waits for a reading at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// What one name demands, ready for handshakes.
pub struct NamePolicy {
    demands: NameTls,
    /// Without a certificate; `None` where what the store holds cannot be used, and nobody is let in.
    ground: Option<ServerConfig>,
}

/// The demands of all names that have any.
pub(super) struct Policies {
    known: ArcSwap<Known>,
    /// Something may have changed since what is known was read.
    stale: AtomicBool,
    due: Notify,
    turn: Mutex<()>,
    /// Names that no customer can have, so that nobody need be asked about them.
    exempt: OnceLock<Exempt>,
}

/// Whether a name is the operator's own.
pub type Exempt = Box<dyn Fn(&Hostname) -> bool + Send + Sync>;

#[derive(Default)]
struct Known {
    read: bool,
    /// By the pattern's text.
    names: HashMap<Box<str>, Option<Arc<NamePolicy>>>,
}

/// Nobody can say what a name demands.
pub(super) struct Unknown;

impl Policies {
    pub(super) fn new() -> Self {
        Self {
            known: ArcSwap::default(),
            stale: AtomicBool::new(true),
            due: Notify::new(),
            turn: Mutex::new(()),
            exempt: OnceLock::new(),
        }
    }

    pub(super) fn exempt(&self, exempt: Exempt) {
        let _ = self.exempt.set(exempt);
    }

    /// What is known of `hostname` now, without asking anybody.
    pub(super) fn recall(&self, hostname: &Hostname) -> Option<Arc<NamePolicy>> {
        self.known.load().of(hostname)
    }

    /// What is read next is due: names may have changed.
    pub(super) fn outdate(&self) {
        self.stale.store(true, Ordering::Release);
        self.due.notify_one();
    }

    /// Resolves when [`Policies::load`] is due.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// Whether nothing is known of `hostname` but what a reading would say.
    pub(super) fn waits(&self, hostname: &Hostname) -> bool {
        let own = || self.exempt.get().is_some_and(|own| own(hostname));
        self.stale.load(Ordering::Acquire) && !own()
    }

    /// Whether something was ever read.
    pub(super) fn is_read(&self) -> bool {
        self.known.load().read
    }

    /// Reads what is due, unless somebody has done so meanwhile.
    pub(super) async fn load(
        &self,
        source: &SharedCertificateStore,
        protocol: &Protocol,
    ) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        // Before it is read: a change from now on makes another one due.
        if !self.stale.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let list = source.name_tls().await.inspect_err(|_| {
            self.stale.store(true, Ordering::Release);
        })?;
        let before = self.known.load();
        let policy = |(name, demands): (DomainPattern, NameTls)| {
            let name: Box<str> = name.to_string().into();
            if demands == NameTls::default() {
                return (name, None);
            }
            let same = before.names.get(&name).cloned().flatten();
            let same = same.filter(|policy| policy.demands == demands);
            let policy = same.unwrap_or_else(|| NamePolicy::new(&name, demands, protocol));
            (name, Some(policy))
        };
        let names = list.into_iter().map(policy).collect();
        self.known.store(Arc::new(Known { read: true, names }));
        Ok(())
    }
}

impl Known {
    /// Exact before wildcard.
    fn of(&self, hostname: &Hostname) -> Option<Arc<NamePolicy>> {
        // Nearly everywhere.
        if self.names.is_empty() {
            return None;
        }
        if let Some(own) = self.names.get(hostname.as_str()) {
            return own.clone();
        }
        let wildcard = format!("*.{}", hostname.parent()?);
        self.names.get(wildcard.as_str()).cloned().flatten()
    }
}

impl NamePolicy {
    fn new(name: &str, demands: NameTls, protocol: &Protocol) -> Arc<Self> {
        let ground = protocol.demanding(&demands);
        let ground = ground.inspect_err(|error| {
            tracing::error!(name, error = %Causes(error), "what this name demands of visitors cannot be used; nobody is let in");
        });
        Arc::new(Self {
            demands,
            ground: ground.ok(),
        })
    }

    /// Whether visitors must bring a certificate.
    pub fn wants_certificate(&self) -> bool {
        self.demands.client_ca.is_some()
    }

    /// Whether anybody can be let in.
    pub fn is_usable(&self) -> bool {
        self.ground.is_some()
    }

    /// What is demanded, for people.
    pub fn in_words(&self) -> String {
        let minimum = self.demands.minimum;
        let version = minimum.map(|minimum| format!("TLS {} at least", minimum.as_str()));
        let certificate = self.wants_certificate();
        let certificate =
            certificate.then(|| "a certificate that its own CA vouches for".to_owned());
        let all: Vec<String> = version.into_iter().chain(certificate).collect();
        all.join(" and ")
    }

    /// The configuration that shows `certificate` to visitors of whom this is demanded. Made for each handshake: such names are few.
    pub(in crate::tls) fn config(&self, certificate: &Certificate) -> Option<Arc<ServerConfig>> {
        let mut config = self.ground.clone()?;
        config.cert_resolver = Arc::clone(&certificate.config.cert_resolver);
        Some(Arc::new(config))
    }
}

/// Of the same demands.
impl PartialEq for NamePolicy {
    fn eq(&self, other: &Self) -> bool {
        self.demands == other.demands
    }
}

/// So that one and the same is seen to be without reading it.
impl Eq for NamePolicy {}

impl fmt::Debug for NamePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamePolicy")
            .field("minimum", &self.demands.minimum)
            .field("wants_certificate", &self.wants_certificate())
            .finish_non_exhaustive()
    }
}

impl super::Stored {
    /// What `hostname` demands. Waits for a reading that is due, on the control plane; where there can be none, what was read last counts.
    pub(super) async fn policy(
        self: &Arc<Self>,
        hostname: &Hostname,
    ) -> Result<Option<Arc<NamePolicy>>, Unknown> {
        if self.policies.waits(hostname) {
            if self.is_up() {
                let stored = Arc::clone(self);
                let reading = async move { stored.load_policies().await };
                let reading = self.control.spawn(reading);
                // How it went is seen below.
                let _ = timeout(PATIENCE, reading).await;
            }
            if !self.policies.is_read() {
                return Err(Unknown);
            }
        }
        Ok(self.policies.recall(hostname))
    }

    /// Reads what names demand, where that is due and there is a store.
    pub(super) async fn load_policies(&self) -> Result<(), StoreError> {
        let source = self.source.get().ok_or(StoreError::NotOpen)?;
        self.policies.load(source, &self.protocol).await
    }
}
