//! The certificates in memory: an immutable snapshot that is swapped whole.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::load::{self, Certificate, CertificateFault};
use super::protocol::Protocol;
use crate::clock::Timestamp;
use crate::config;
use crate::metrics::Metrics;
use crate::model::{DomainPattern, Hostname};

/// The TLS library would not start (no randomness for the ticket keys).
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct SetupError(#[from] rustls::Error);

/// All certificates of this node, by the names they are for.
pub struct Inventory {
    settings: config::Tls,
    protocol: Protocol,
    metrics: Arc<Metrics>,
    snapshot: ArcSwap<Snapshot>,
}

#[derive(Debug, Default)]
struct Snapshot {
    all: Vec<Arc<Certificate>>,
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// By the wildcard's parent.
    wildcard: HashMap<Box<str>, Arc<Certificate>>,
    default: Option<Arc<Certificate>>,
}

/// What loading found.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// What can be shown now, by NAME.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is wrong, file by file. One file's fault keeps no other from being loaded.
    pub faults: Vec<CertificateFault>,
}

impl Inventory {
    /// Loads the configured folder. Faults of files are in the report, not errors: a node with one bad certificate serves the
    /// others.
    pub fn load(
        settings: &config::Tls,
        metrics: Arc<Metrics>,
        now: Timestamp,
    ) -> Result<(Arc<Self>, LoadReport), SetupError> {
        let inventory = Arc::new(Self {
            settings: settings.clone(),
            protocol: Protocol::new(settings.minimum)?,
            metrics,
            snapshot: ArcSwap::default(),
        });
        let report = inventory.reload(now);
        Ok((inventory, report))
    }

    /// Reads the folder again and swaps what is shown. Connections keep what they were shown.
    pub fn reload(&self, now: Timestamp) -> LoadReport {
        let report = self.read(now);
        self.snapshot.store(Arc::new(Snapshot::new(
            &report.certificates,
            self.settings.default.as_deref(),
            now,
        )));
        self.count(now, report.faults.len());
        report
    }

    /// The certificate for `hostname`: the one that names it, else the wildcard one label above it. Of several the one that is
    /// valid longest.
    pub fn certificate(&self, hostname: &Hostname) -> Option<Arc<Certificate>> {
        self.snapshot.load().find(hostname).cloned()
    }

    /// Whether a visitor who asks for `hostname` over TLS can be served.
    pub fn covers(&self, hostname: &Hostname) -> bool {
        self.snapshot.load().find(hostname).is_some()
    }

    /// What visitors are shown who name no host, or one that nobody here has a certificate for.
    pub fn default_certificate(&self) -> Option<Arc<Certificate>> {
        self.snapshot.load().default.clone()
    }

    fn read(&self, now: Timestamp) -> LoadReport {
        let directory = &self.settings.directory;
        let mut report = LoadReport::default();
        match load::list(directory) {
            Err(fault) => report.faults.push(fault),
            Ok((names, lonely)) => {
                report.faults.extend(lonely);
                for name in names {
                    match load::read_pair(directory, &name, &self.protocol) {
                        Ok(certificate) => report.add(certificate, directory, now),
                        Err(fault) => report.faults.push(fault),
                    }
                }
            }
        }
        let loaded = |name: &String| report.certificates.iter().any(|it| it.name == *name);
        if let Some(name) = self.settings.default.as_ref().filter(|name| !loaded(name)) {
            report.faults.push(CertificateFault::NoDefault {
                name: name.clone(),
                directory: directory.clone(),
            });
        }
        report
    }

    fn count(&self, now: Timestamp, faults: usize) {
        let snapshot = self.snapshot.load();
        let (valid, outside): (Vec<_>, Vec<_>) =
            snapshot.all.iter().partition(|it| it.is_valid(now));
        let soonest = valid.iter().map(|it| it.not_after.seconds()).min();
        let set = |state, count| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics
                .certificates
                .with_label_values(&[state])
                .set(count);
        };
        set("valid", valid.len());
        set("outside_validity", outside.len());
        set("faulty", faults.saturating_sub(outside.len()));
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact until the year 285 million"
        )]
        // Nothing expires where there is nothing: an alert on "soon" must not fire.
        self.metrics
            .certificate_not_after
            .set(soonest.map_or(f64::INFINITY, |date| date as f64));
    }
}

impl Certificate {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

impl LoadReport {
    fn add(&mut self, certificate: Certificate, directory: &std::path::Path, now: Timestamp) {
        let path = directory.join(format!("{}.crt", certificate.name));
        if certificate.not_after <= now {
            self.faults.push(CertificateFault::Expired { path });
        } else if now < certificate.not_before {
            self.faults.push(CertificateFault::NotYetValid { path });
        }
        self.certificates.push(Arc::new(certificate));
    }
}

impl Snapshot {
    fn new(all: &[Arc<Certificate>], default: Option<&str>, now: Timestamp) -> Self {
        let mut snapshot = Self {
            all: all.to_vec(),
            default: all
                .iter()
                .find(|it| Some(it.name.as_str()) == default)
                .cloned(),
            ..Self::default()
        };
        // The best one last: it stays.
        let mut by_worth: Vec<_> = all.iter().collect();
        by_worth.sort_by_key(|it| (it.is_valid(now), it.not_after));
        for certificate in by_worth {
            for pattern in certificate.names.patterns() {
                let (index, name) = match pattern {
                    DomainPattern::Exact(name) => (&mut snapshot.exact, name),
                    DomainPattern::Wildcard(parent) => (&mut snapshot.wildcard, parent),
                };
                index.insert(name.as_str().into(), Arc::clone(certificate));
            }
        }
        snapshot
    }

    fn find(&self, hostname: &Hostname) -> Option<&Arc<Certificate>> {
        let wildcard = || self.wildcard.get(hostname.parent()?);
        self.exact.get(hostname.as_str()).or_else(wildcard)
    }
}
