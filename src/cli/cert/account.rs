//! `cert account`: the accounts at certificate authorities, and another key for one.

use std::sync::Arc;

use clap::Subcommand;
use http::Uri;
use serde::Serialize;

use crate::acme::{AccountFacts, AcmeCa};
use crate::cli::CliError;
use crate::cli::error::note;
use crate::cli::output::{self, OutputOption};
use crate::clock::Clock;
use crate::config::{AcmeIssuer, Config};
use crate::seal::Sealer;
use crate::store::{AcmeAccount, AcmeAccountRow, Store};
use crate::tasks::certificates::{AccountError, KeptAccount};

/// What is done about accounts. CA is a directory's address, or its host.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AccountVerb {
    /// Give the account at a CA another key; without CA, each account at the CAs of the configuration. Nodes follow by themselves
    Roll {
        ca: Option<String>,
        #[command(flatten)]
        output: OutputOption,
    },
}

/// An account as it is printed: nothing of its key.
#[derive(Serialize)]
struct Row {
    ca: String,
    account: String,
    /// What the CA was told; nothing where that is not known, or cannot be opened from here.
    contact: Option<Vec<String>>,
    created_at: i64,
    /// A change of its key was begun and has not come to its end.
    changes_key: Option<bool>,
}

/// An account that has another key.
#[derive(Serialize)]
struct Rolled {
    ca: String,
    account: String,
}

/// Prints every account.
pub(super) async fn list(
    config: &Config,
    store: &Store,
    output: OutputOption,
) -> Result<(), CliError> {
    let sealer = Sealer::open(&config.store.secret_key_file)?;
    let accounts = store.acme_accounts().await?;
    if sealer.is_none() && !accounts.is_empty() {
        let file = config.store.secret_key_file.display();
        note(&format!(
            "{file} is not here: what CAs were told cannot be shown"
        ));
    }
    let row = |it: AcmeAccountRow| -> Result<Row, CliError> {
        let facts = match &sealer {
            Some(sealer) => Some(facts(sealer, &it)?),
            None => None,
        };
        Ok(Row {
            contact: facts.as_ref().and_then(|facts| facts.contact.clone()),
            changes_key: facts.map(|facts| facts.changes_key),
            ca: it.ca,
            account: it.account.url,
            created_at: it.created_at,
        })
    };
    let rows = accounts
        .into_iter()
        .map(row)
        .collect::<Result<Vec<_>, _>>()?;
    output.print(&rows, |rows| {
        let cells = rows.iter().map(|row| {
            let key = match row.changes_key {
                Some(true) => "changing: `cert account roll` goes on",
                Some(false) => "one",
                None => "-",
            };
            let contact = row.contact.as_ref().map(|all| all.join(", "));
            [
                row.ca.clone(),
                row.account.clone(),
                contact
                    .filter(|it| !it.is_empty())
                    .unwrap_or("-".to_owned()),
                output::moment(row.created_at),
                key.to_owned(),
            ]
        });
        output::table(["ca", "account", "contact", "since", "key"], cells)
    })
}

fn facts(sealer: &Sealer, row: &AcmeAccountRow) -> Result<AccountFacts, CliError> {
    let purpose = AcmeAccount::purpose(&row.ca);
    let saved = sealer.unseal(&purpose, &row.account.sealed_credentials)?;
    AccountFacts::of(&saved).map_err(|error| CliError::Account {
        ca: row.ca.clone(),
        source: Box::new(error.into()),
    })
}

/// Gives accounts another key. One that was not changed does not keep the next one from it.
pub(super) async fn roll(
    config: &Config,
    store: &Store,
    ca: Option<&str>,
    output: OutputOption,
) -> Result<(), CliError> {
    let (mut rolled, mut failed) = (Vec::new(), None);
    for issuer in meant(config, ca)? {
        match roll_one(config, store, issuer).await {
            Ok(account) => rolled.push(Rolled {
                ca: issuer.directory_url.clone(),
                account,
            }),
            // There is nothing to change where nobody has ordered yet, unless it was asked for by name.
            Err(AccountError::None) if ca.is_none() => {}
            Err(error) => {
                failed.get_or_insert(CliError::Account {
                    ca: issuer.directory_url.clone(),
                    source: Box::new(error),
                });
            }
        }
    }
    if rolled.is_empty() && failed.is_none() {
        note(&AccountError::None.to_string());
    }
    output.print(&rolled, |rolled| {
        let line = |it: &Rolled| format!("{} at {} has another key", it.account, it.ca);
        rolled.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    failed.map_or(Ok(()), Err)
}

async fn roll_one(
    config: &Config,
    store: &Store,
    issuer: &AcmeIssuer,
) -> Result<String, AccountError> {
    let file = config.store.secret_key_file.clone();
    let account = KeptAccount {
        store: store.clone(),
        ca: Arc::new(AcmeCa::new(issuer, Clock::system())?),
        sealed_with: Arc::new(move || Sealer::open(&file).ok().flatten()),
    };
    account.roll().await
}

/// The CAs that are meant: what is told to one is signed for it, so that it must be configured.
fn meant<'c>(config: &'c Config, ca: Option<&str>) -> Result<Vec<&'c AcmeIssuer>, CliError> {
    if config.acme.is_empty() {
        let what = "no certificate authority is configured: [[acme]] names one";
        return Err(CliError::Usage(what.to_owned()));
    }
    let Some(ca) = ca else {
        return Ok(config.acme.iter().collect());
    };
    let is_meant = |it: &&AcmeIssuer| it.directory_url == ca || host(&it.directory_url) == ca;
    let meant: Vec<_> = config.acme.iter().filter(is_meant).collect();
    match meant.is_empty() {
        false => Ok(meant),
        true => {
            let known: Vec<_> = config.acme.iter().map(|it| &*it.directory_url).collect();
            let known = known.join(", ");
            Err(CliError::Usage(format!(
                "no [[acme]] is at {ca:?}; there is {known}"
            )))
        }
    }
}

/// `ca.example` of `https://ca.example:14000/dir`; its port does not count.
fn host(directory: &str) -> String {
    let url: Option<Uri> = directory.parse().ok();
    let host = url.as_ref().and_then(Uri::host);
    host.unwrap_or_default().to_owned()
}
