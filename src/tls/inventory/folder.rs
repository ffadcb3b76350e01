//! The operator's folder of certificates: an immutable snapshot that is swapped whole when the files have changed, or a certificate has
//! come to its end.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
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
    /// NAMEs that stay as they were before, because their files are broken, or only half there yet.
    pub kept: Vec<String>,
}

impl LoadReport {
    /// `before`: what was shown so far.
    pub(super) fn read(
        settings: &config::Tls,
        protocol: &Protocol,
        now: Timestamp,
        before: &[Arc<Certificate>],
    ) -> Self {
        let directory = &settings.directory;
        let mut report = Self::default();
        match load::list(directory) {
            Err(fault) => {
                // A folder that cannot be read says nothing of what is in it; one that is gone has nothing in it.
                if !fault.is_no_folder() {
                    before
                        .iter()
                        .for_each(|certificate| report.keep(certificate));
                }
                report.faults.push(fault);
            }
            Ok((names, lonely)) => {
                report.faults.extend(lonely);
                for name in names {
                    match load::read_pair(directory, &name, protocol) {
                        Ok(certificate) => report.add(certificate, directory, now),
                        Err(fault) => {
                            report.faults.push(fault);
                            if let Some(last) = before.iter().find(|it| it.name == name) {
                                report.keep(last);
                            }
                        }
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
            let from = certificate.not_before;
            self.faults
                .push(CertificateFault::NotYetValid { path, from });
        }
        self.certificates.push(Arc::new(certificate));
    }

    fn keep(&mut self, certificate: &Arc<Certificate>) {
        self.kept.push(certificate.name.clone());
        self.certificates.push(Arc::clone(certificate));
    }
}

/// What a folder's files look like from outside: where this is the same, nothing has been written. Links are followed, so that a folder
/// whose files are links into one that is swapped whole is seen to change.
#[derive(PartialEq, Eq, Default, Debug)]
pub(super) struct Outside(Vec<(OsString, [i64; 2], u64, u64)>);

impl Outside {
    pub(super) fn of(directory: &Path) -> Self {
        let read = || {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(directory)? {
                let path = entry?.path();
                let ending = path.extension().and_then(|ending| ending.to_str());
                let (Some("crt" | "key"), Some(name)) = (ending, path.file_name()) else {
                    continue;
                };
                // A link that leads nowhere is a file that cannot be read.
                if let Ok(file) = std::fs::metadata(&path) {
                    let written = [file.mtime(), file.mtime_nsec()];
                    files.push((name.to_owned(), written, file.size(), file.ino()));
                }
            }
            files.sort_unstable();
            Ok::<_, io::Error>(files)
        };
        Self(read().unwrap_or_default())
    }
}

/// The certificates by the names they are for.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) all: Vec<Arc<Certificate>>,
    valid: ByName,
    /// Shown only where there is nothing better anywhere.
    outdated: ByName,
    pub(super) default: Option<Arc<Certificate>>,
    /// When the next one begins or ceases to be valid.
    due: Timestamp,
}

#[derive(Debug, Default)]
struct ByName {
    exact: HashMap<Box<str>, Arc<Certificate>>,
    /// By the wildcard's parent.
    wildcard: HashMap<Box<str>, Arc<Certificate>>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self::new(&[], None, Timestamp(0))
    }
}

impl Snapshot {
    /// Of several for one name the one that is valid longest.
    pub(super) fn new(all: &[Arc<Certificate>], default: Option<&str>, now: Timestamp) -> Self {
        let ends = all.iter().flat_map(|it| [it.not_before, it.not_after]);
        let mut snapshot = Self {
            all: all.to_vec(),
            valid: ByName::default(),
            outdated: ByName::default(),
            default: all
                .iter()
                .find(|it| Some(it.name.as_str()) == default)
                .cloned(),
            due: ends
                .filter(|end| *end > now)
                .min()
                .unwrap_or(Timestamp(i64::MAX)),
        };
        // The best one last: it stays.
        let mut by_worth: Vec<_> = all.iter().collect();
        by_worth.sort_by_key(|it| it.not_after);
        for certificate in by_worth {
            match certificate.is_valid(now) {
                true => snapshot.valid.put(certificate),
                false => snapshot.outdated.put(certificate),
            }
        }
        snapshot
    }

    /// The certificate that is valid and that every visitor of `pattern` is shown.
    pub(super) fn of(&self, pattern: &DomainPattern) -> Option<&Arc<Certificate>> {
        match pattern {
            DomainPattern::Exact(name) => self.valid(name),
            DomainPattern::Wildcard(parent) => self.valid.wildcard.get(parent.as_str()),
        }
    }

    /// Whether it would be another one at `now`.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due <= now
    }

    pub(super) fn valid(&self, hostname: &Hostname) -> Option<&Arc<Certificate>> {
        self.valid.find(hostname)
    }

    pub(super) fn outdated(&self, hostname: &Hostname) -> Option<&Arc<Certificate>> {
        self.outdated.find(hostname)
    }

    /// Whether there is any for `hostname`.
    pub(super) fn covers(&self, hostname: &Hostname) -> bool {
        self.valid(hostname).is_some() || self.outdated(hostname).is_some()
    }
}

impl ByName {
    fn put(&mut self, certificate: &Arc<Certificate>) {
        for pattern in certificate.names.patterns() {
            let (index, name) = match pattern {
                DomainPattern::Exact(name) => (&mut self.exact, name),
                DomainPattern::Wildcard(parent) => (&mut self.wildcard, parent),
            };
            index.insert(name.as_str().into(), Arc::clone(certificate));
        }
    }

    fn find(&self, hostname: &Hostname) -> Option<&Arc<Certificate>> {
        let wildcard = || self.wildcard.get(hostname.parent()?);
        self.exact.get(hostname.as_str()).or_else(wildcard)
    }
}
