//! A certificate out of the store: its chain, and its key only where that is asked for.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::output::{self, Output, OutputOption};
use crate::config::Config;
use crate::model::DomainPattern;
use crate::seal::Sealer;
use crate::store::{Store, StoreError};

#[derive(Serialize)]
struct Exported<'a> {
    hostname: String,
    chain: Option<&'a str>,
    chain_file: Option<&'a Path>,
    key_file: Option<&'a Path>,
}

pub(super) async fn run(
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
    (chain_file, key_file): (Option<PathBuf>, Option<PathBuf>),
    option: OutputOption,
) -> Result<(), CliError> {
    let found = store.certificate(hostname).await?;
    if let Some(file) = &key_file {
        let path = &config.store.secret_key_file;
        let missing = || StoreError::SealingKeyMissing { path: path.clone() };
        let sealer = Sealer::open(path)?.ok_or_else(missing)?;
        let key = sealer.unseal(&found.purpose(), &found.sealed_key)?;
        // Written down before the key is out, so that nobody takes one unseen.
        let subject = found.about.pattern.to_string();
        store
            .audit_export(&subject, &found.about.fingerprint)
            .await?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        write(file, &options, key.expose())?;
    }
    if let Some(file) = &chain_file {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        write(file, &options, found.chain.as_bytes())?;
    }
    if option.output == Output::Table && chain_file.is_none() {
        return output::raw(found.chain.as_bytes());
    }
    let exported = Exported {
        hostname: found.about.pattern.to_string(),
        chain: chain_file.is_none().then_some(found.chain.as_str()),
        chain_file: chain_file.as_deref(),
        key_file: key_file.as_deref(),
    };
    option.print(&exported, |exported| {
        let files = exported.chain_file.iter().chain(&exported.key_file);
        let files: Vec<_> = files.map(|file| file.display().to_string()).collect();
        format!(
            "the certificate of {} is in {}",
            exported.hostname,
            files.join(" and ")
        )
    })
}

fn write(file: &Path, options: &OpenOptions, bytes: &[u8]) -> Result<(), CliError> {
    let written = options
        .open(file)
        .and_then(|mut file| file.write_all(bytes));
    written.map_err(|source| CliError::Input {
        path: file.to_owned(),
        source,
    })
}
