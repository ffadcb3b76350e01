//! `key …`: signing keys, and the key that seals them.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Subcommand;
use serde::Serialize;

use super::output::{self, OutputOption};
use super::{CliError, error, session};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config, SigningAlgorithm};
use crate::model::{KeyState, SigningKeyRecord};
use crate::seal::Sealer;
use crate::sign::keys::{self, Mode};
use crate::store::{Access, Store, StoreError};

/// What signs where no key of the store does.
const BY_SECRET: &str =
    "under signing.algorithm = \"HS256\" each upstream's hmac_secret_file signs";

/// Verbs on keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeyVerb {
    /// List the signing keys and where each stands
    List {
        #[command(flatten)]
        output: OutputOption,
    },
    /// Make a new signing key, published at once and signing once every verifier knows it
    Rotate {
        /// Sign with it at once: verifiers that do not know it yet refuse what it signs, until they fetch the keys again
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Stop publishing a key
    Retire {
        kid: String,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Seal everything anew with a new sealing key
    Reseal {
        #[command(flatten)]
        output: OutputOption,
    },
}

/// A signing key as it is printed: nothing of its private half.
#[derive(Serialize)]
struct Row {
    kid: String,
    state: KeyState,
    public_key: String,
    created_at: i64,
    active_from: i64,
    retired_at: Option<i64>,
}

/// What was sealed anew.
#[derive(Serialize)]
struct Resealed {
    keys: usize,
    /// Keys of certificates, secrets of webhooks.
    others: usize,
}

impl KeyVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        if config.signing.algorithm == SigningAlgorithm::Hs256 {
            match self {
                Self::Rotate { .. } => {
                    let what = format!("there is no key to rotate: {BY_SECRET}; replace that file");
                    return Err(CliError::Usage(what));
                }
                Self::List { .. } => {
                    error::note(&format!("no key of this list signs: {BY_SECRET}"))
                }
                Self::Retire { .. } | Self::Reseal { .. } => {}
            }
        }
        let now = Clock::system().now();
        session::with_store(config, Access::Command, async |store| {
            self.act(config, store, now).await
        })
    }

    async fn act(self, config: &Config, store: &Store, now: Timestamp) -> Result<(), CliError> {
        let output = match self {
            Self::List { output } => output,
            Self::Rotate {
                now: at_once,
                output,
            } => {
                let mode = if at_once { Mode::Now } else { Mode::Scheduled };
                rotate(config, store, mode, now).await?;
                output
            }
            Self::Retire { kid, output } => {
                let lifetime = config.signing.lifetime;
                let plan = |all: &mut Vec<_>| {
                    keys::retire(all, &kid, now, lifetime).map_err(CliError::from)
                };
                let notes = store.update_signing_keys("key.retire", plan).await?;
                notes.iter().for_each(|note| error::note(note));
                output
            }
            Self::Reseal { output } => return reseal(&config.store, store, now, output).await,
        };
        print(output, &store.signing_keys().await?, now)
    }
}

/// Where there is no key yet, the first one is made as a node would on its first run.
async fn rotate(
    config: &Config,
    store: &Store,
    mode: Mode,
    now: Timestamp,
) -> Result<(), CliError> {
    let first = store.signing_keys().await?.is_empty();
    let sealer = store
        .first_run(&config.store.secret_key_file, |sealer| {
            keys::generate(sealer, now)
        })
        .await?;
    if first {
        return Ok(());
    }
    let lifetime = config.signing.lifetime;
    let plan = |all: &mut Vec<_>| {
        let make = |at| keys::generate(&sealer, at);
        keys::rotate(all, mode, now, lifetime, make).map_err(CliError::from)
    };
    let notes = store.update_signing_keys("key.rotate", plan).await?;
    notes.iter().for_each(|note| error::note(note));
    Ok(())
}

/// The new sealing key is on disk beside the old one before anything is sealed with it, and takes its place after: whenever this is
/// cut short, one of the two files opens the store, and running it again ends it.
async fn reseal(
    settings: &config::Store,
    store: &Store,
    now: Timestamp,
    output: OutputOption,
) -> Result<(), CliError> {
    let path = &settings.secret_key_file;
    let new_path = beside(path, "new");
    let records = store.signing_keys().await?;
    let new = match Sealer::open(&new_path)? {
        Some(new) => new,
        None => Sealer::create(&new_path)?,
    };
    let done = !records.is_empty()
        && records
            .iter()
            .all(|key| new.sealed(&key.sealed_private_key));
    let mut others = 0;
    if !done {
        let missing = || StoreError::SealingKeyMissing { path: path.clone() };
        let old = Sealer::open(path)?.ok_or_else(missing)?;
        let other = |purpose: &str, sealed: &[u8]| {
            let plain = old.unseal(purpose, sealed)?;
            Ok::<_, CliError>(new.seal(purpose, plain.expose()))
        };
        let keys = |all: &[_]| keys::reseal(all, &old, &new).map_err(CliError::from);
        (_, others) = store.reseal(keys, other).await?;
    }
    let kept = beside(path, &format!("{}.old", now.0));
    let rename = |from: &Path, to: &Path| {
        std::fs::rename(from, to).map_err(|source| CliError::Input {
            path: from.to_owned(),
            source,
        })
    };
    if path.exists() {
        rename(path, &kept)?;
    }
    rename(&new_path, path)?;
    error::note(&format!(
        "copy {} to every node before it restarts",
        path.display()
    ));
    error::note(&format!("{} opens backups made until now", kept.display()));
    let keys = records.len();
    output.print(&Resealed { keys, others }, |resealed| {
        let Resealed { keys, others } = resealed;
        let keys = error::count(*keys, "key");
        format!(
            "{keys} and {} sealed anew",
            error::count(*others, "other secret")
        )
    })
}

/// The file `secret.key.new` beside `secret.key`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{ending}"));
    PathBuf::from(name)
}

fn print(
    output: OutputOption,
    records: &[SigningKeyRecord],
    now: Timestamp,
) -> Result<(), CliError> {
    let row = |record: &SigningKeyRecord| Row {
        kid: record.kid.clone(),
        state: keys::state(record, records, now),
        public_key: BASE64_URL_SAFE_NO_PAD.encode(&record.public_key),
        created_at: record.created_at,
        active_from: record.active_from,
        retired_at: record.retired_at,
    };
    let rows: Vec<Row> = records.iter().map(row).collect();
    output.print(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            let retired = row.retired_at.map_or("-".to_owned(), output::moment);
            [
                row.kid.clone(),
                row.state.as_str().to_owned(),
                output::moment(row.created_at),
                output::moment(row.active_from),
                retired,
            ]
        });
        output::table(
            ["kid", "state", "created", "signs from", "out of use"],
            cells,
        )
    })
}
