//! `store …`: the routing database itself.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::output::OutputOption;
use super::{CliError, error, session};
use crate::config::Config;
use crate::seal::Sealer;
use crate::sign::keys;
use crate::store::{self, Access, Backup, Existing, Held, StoreError};

mod file;

use file::NewFile;

/// Verbs on the store.
#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    /// Make the store, or bring its schema up to this version
    Migrate {
        #[command(flatten)]
        output: OutputOption,
    },
    /// Write a copy of the store to a file, while nodes run; SQLite and PostgreSQL can both restore it
    Backup {
        file: PathBuf,
        /// Replace the file if there is one
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Put the copy in a file in the store's place, all of it or nothing; running nodes follow
    Restore {
        file: PathBuf,
        /// Confirm that the tenants that are in the store go
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        output: OutputOption,
    },
}

/// What a store has come to.
#[derive(Serialize)]
struct Migrated {
    schema: i64,
}

/// What was written or put back.
#[derive(Serialize)]
struct Report {
    file: PathBuf,
    #[serde(flatten)]
    held: Held,
}

impl StoreVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        match self {
            Self::Migrate { output } => session::with_store(config, Access::Migrate, async |_| {
                // Opening it did the work.
                let schema = store::schema_version();
                output.print(&Migrated { schema }, |_| {
                    "the store is there and has this version's schema".to_owned()
                })
            }),
            Self::Backup {
                file,
                force,
                output,
            } => backup(config, file, force, output),
            Self::Restore { file, yes, output } => {
                let existing = if yes {
                    Existing::Replace
                } else {
                    Existing::Keep
                };
                restore(config, file, existing, output)
            }
        }
    }
}

fn backup(
    config: &Config,
    file: PathBuf,
    force: bool,
    output: OutputOption,
) -> Result<(), CliError> {
    let held = session::with_store(config, Access::Command, async |store| {
        let mut new = NewFile::beside(&file, force)?;
        let held = store.backup(&mut new).await?;
        new.take_place()?;
        Ok(held)
    })?;
    if held.signing_keys > 0 {
        error::note(&format!(
            "keep {} too, apart from the backup: nothing else opens the signing keys in it",
            config.store.secret_key_file.display()
        ));
    }
    print(output, "written to", Report { file, held })
}

fn restore(
    config: &Config,
    file: PathBuf,
    existing: Existing,
    output: OutputOption,
) -> Result<(), CliError> {
    let input = |source| CliError::Input {
        path: file.clone(),
        source,
    };
    let backup = Backup::read(File::open(&file).map_err(input)?).map_err(StoreError::from)?;
    check_sealing_key(&backup, &config.store.secret_key_file)?;
    let held = session::with_store(config, Access::Command, async |store| {
        Ok(store.restore(backup, existing).await?)
    })?;
    print(output, "restored from", Report { file, held })
}

/// Keys that no node could open would be of no use to anybody, and the store's own would be gone.
fn check_sealing_key(backup: &Backup, path: &Path) -> Result<(), CliError> {
    let sealed = backup.signing_keys();
    if sealed.is_empty() {
        return Ok(());
    }
    let missing = || StoreError::SealingKeyMissing { path: path.into() };
    let sealer = Sealer::open(path)?.ok_or_else(missing)?;
    if sealed
        .iter()
        .any(|key| !sealer.sealed(&key.sealed_private_key))
    {
        return Err(StoreError::SealingKeyWrong { path: path.into() }.into());
    }
    Ok(keys::check(sealed, &sealer)?)
}

fn print(output: OutputOption, done: &str, report: Report) -> Result<(), CliError> {
    output.print(&report, |Report { file, held }| {
        format!(
            "{}, {}, {} and {} {done} {}",
            error::count(held.tenants, "tenant"),
            error::count(held.domains, "domain"),
            error::count(held.signing_keys, "signing key"),
            error::count(held.certificates, "certificate"),
            file.display()
        )
    })
}
