//! What is wrong with the files that a configuration names, beyond being there: read as a node would read them, all of them.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clock::Timestamp;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::Causes;
use crate::resolve::{self, TokensError};
use crate::seal::Sealer;
use crate::tls::{CertificateFault, Inventory};
use crate::upstream::{self, UpstreamError};

/// One fault of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileFault {
    /// The file.
    #[serde(rename = "source")]
    pub file: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Every fault of every file that `config` names.
pub(super) fn faults(config: &Config, now: Timestamp) -> Vec<FileFault> {
    let mut faults = Vec::new();
    for error in resolve::check_key_files(&config.routing.tokens) {
        faults.push(FileFault::new(key_file(&error), &error));
    }
    for error in upstream::check_ca_files(&config.upstreams) {
        let file = match &error {
            UpstreamError::CaFile { path, .. } => path.as_path(),
            _ => Path::new(""),
        };
        faults.push(FileFault::new(file, &error));
    }
    if !config.edge.https.is_empty() {
        certificates(config, now, &mut faults);
    }
    if let Err(error) = Sealer::open(&config.store.secret_key_file) {
        faults.push(FileFault::new(&config.store.secret_key_file, &error));
    }
    faults
}

fn certificates(config: &Config, now: Timestamp, faults: &mut Vec<FileFault>) {
    let directory = &config.tls.directory;
    if !directory.is_dir() {
        // Said where the setting is.
        return;
    }
    let loaded = Metrics::new(0)
        .ok()
        .map(|metrics| Inventory::load(&config.tls, metrics, now));
    match loaded {
        Some(Ok((_, report))) => faults.extend(
            (report.faults.iter())
                .map(|fault| FileFault::new(certificate_file(fault, directory), fault)),
        ),
        Some(Err(error)) => faults.push(FileFault::new(directory, &error)),
        None => {}
    }
}

fn key_file(error: &TokensError) -> &Path {
    match error {
        TokensError::Read { path, .. }
        | TokensError::KeySet { path, .. }
        | TokensError::Key { path, .. }
        | TokensError::NoKey { path, .. } => path,
        _ => Path::new(""),
    }
}

fn certificate_file<'f>(fault: &'f CertificateFault, directory: &'f Path) -> &'f Path {
    use CertificateFault as Fault;
    match fault {
        Fault::Unreadable { path, .. }
        | Fault::Lonely { path }
        | Fault::Pem { path, .. }
        | Fault::Malformed { path }
        | Fault::NoNames { path }
        | Fault::Key { path, .. }
        | Fault::Expired { path }
        | Fault::NotYetValid { path, .. } => path,
        Fault::Mismatch { key, .. } => key,
        _ => directory,
    }
}

impl FileFault {
    fn new(file: &Path, error: &dyn Error) -> Self {
        Self {
            file: file.to_owned(),
            reason: Causes(error).to_string(),
        }
    }
}
