//! `store …`: the routing database itself.

use std::path::PathBuf;

use clap::Subcommand;

use super::{CliError, output, session};
use crate::config::Config;
use crate::store::Access;

/// Verbs on the store.
#[derive(Debug, Subcommand)]
pub(super) enum StoreVerb {
    /// Make the store, or bring its schema up to this version
    Migrate,
    /// Write a copy of the store to a file
    Backup { file: PathBuf },
    /// Put the copy in a file in the store's place
    Restore { file: PathBuf },
}

impl StoreVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        match self {
            Self::Migrate => session::with_store(config, Access::Migrate, async |_| {
                // Opening it did the work.
                output::line("the store is there and has this version's schema")
            }),
            Self::Backup { .. } => Err(CliError::NotYet("store backup")),
            Self::Restore { .. } => Err(CliError::NotYet("store restore")),
        }
    }
}
