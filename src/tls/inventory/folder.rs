//! The operator's folder of certificates: an immutable snapshot that is swapped whole.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::config;
use crate::model::{DomainPattern, Hostname};
use crate::tls::fault::CertificateFault;
use crate::tls::load::{self, Certificate};
use crate::tls::protocol::Protocol;

/// What loading found.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// What can be shown now, by NAME.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is wrong, file by file. One file's fault keeps no other from being loaded.
    pub faults: Vec<CertificateFault>,
}

impl LoadReport {
    pub(super) fn read(settings: &config::Tls, protocol: &Protocol, now: Timestamp) -> Self {
        let directory = &settings.directory;
        let mut report = Self::default();
        match load::list(directory) {
            Err(fault) => report.faults.push(fault),
            Ok((names, lonely)) => {
                report.faults.extend(lonely);
                for name in names {
                    match load::read_pair(directory, &name, protocol) {
                        Ok(certificate) => report.add(certificate, directory, now),
                        Err(fault) => report.faults.push(fault),
                    }
                }
            }
        }
        let loaded = |name: &String| report.certificates.iter().any(|it| it.name == *name);
        if let Some(name) = settings.default.as_ref().filter(|name| !loaded(name)) {
            report.faults.push(CertificateFault::NoDefault {
                name: name.clone(),
                directory: directory.clone(),
            });
        }
        report
    }

    fn add(&mut self, certificate: Certificate, directory: &Path, now: Timestamp) {
        let path = directory.join(format!("{}.crt", certificate.name));
        if certificate.not_after <= now {
            self.faults.push(CertificateFault::Expired { path });
        } else if now < certificate.not_before {
            self.faults.push(CertificateFault::NotYetValid { path });
        }
        self.certificates.push(Arc::new(certificate));
    }
}

/// The certificates by the names they are for.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) all: Vec<Arc<Certificate>>,
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// By the wildcard's parent.
    wildcard: HashMap<Box<str>, Arc<Certificate>>,
    pub(super) default: Option<Arc<Certificate>>,
}

impl Snapshot {
    /// Of several for one name the one that is valid longest.
    pub(super) fn new(all: &[Arc<Certificate>], default: Option<&str>, now: Timestamp) -> Self {
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

    /// The certificate that every visitor of `pattern` is shown.
    pub(super) fn of(&self, pattern: &DomainPattern) -> Option<&Arc<Certificate>> {
        match pattern {
            DomainPattern::Exact(name) => self.find(name),
            DomainPattern::Wildcard(parent) => self.wildcard.get(parent.as_str()),
        }
    }

    pub(super) fn find(&self, hostname: &Hostname) -> Option<&Arc<Certificate>> {
        let wildcard = || self.wildcard.get(hostname.parent()?);
        self.exact.get(hostname.as_str()).or_else(wildcard)
    }
}
