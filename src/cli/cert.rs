//! `cert …`: certificates that visitors are shown, those in the store.

use std::path::PathBuf;

use clap::Subcommand;

use super::output::OutputOption;
use super::{CliError, session};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::model::{DomainPattern, HostnameError};
use crate::store::{Access, Store};

mod account;
mod export;
mod import;
mod renew;
mod show;
pub(super) mod waits;

/// Verbs on certificates. HOSTNAME is a name or, for all names one label below, `*.name`.
#[derive(Debug, Subcommand)]
pub(super) enum CertVerb {
    /// List the names that there is a certificate for in the store
    List {
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show the certificate that visitors of a name are shown
    Show {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Bring a certificate, or many at once: all or none. It is shown for every name that stands in it
    Import {
        /// A name that it must be for
        #[arg(value_parser = pattern, required_unless_present = "from", conflicts_with = "from")]
        hostname: Option<DomainPattern>,
        /// PEM: the certificate, then those that lead to its root
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "from",
            conflicts_with = "from"
        )]
        chain: Option<PathBuf>,
        /// PEM: its private key
        #[arg(
            long,
            value_name = "FILE",
            required_unless_present = "from",
            conflicts_with = "from"
        )]
        key: Option<PathBuf>,
        /// Many: a folder of NAME.crt and NAME.key, or JSON lines {"chain", "key", "hostname"?} with names of files; - is standard input
        #[arg(long, value_name = "FOLDER|FILE")]
        from: Option<PathBuf>,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Have a new certificate ordered now, by a node that runs
    Renew {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Write a certificate's chain to standard output or a file, and its key to a file
    Export {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        /// Where the chain goes instead of standard output
        #[arg(long, value_name = "FILE")]
        chain: Option<PathBuf>,
        /// Write the private key too, to this new file (mode 0600)
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        #[command(flatten)]
        output: OutputOption,
    },
    /// List the accounts at certificate authorities, or give one another key
    #[command(args_conflicts_with_subcommands = true)]
    Account {
        #[command(subcommand)]
        verb: Option<account::AccountVerb>,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Take a name's certificate away
    Remove {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        #[command(flatten)]
        output: OutputOption,
    },
}

impl CertVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let now = Clock::system().now();
        session::with_store(config, Access::Command, async |store| {
            self.act(config, store, now).await
        })
    }

    async fn act(self, config: &Config, store: &Store, now: Timestamp) -> Result<(), CliError> {
        match self {
            Self::List { output } => show::list(output, store, now).await,
            Self::Show { hostname, output } => {
                show::name(output, config, store, &hostname, now).await
            }
            Self::Import {
                hostname,
                chain,
                key,
                from,
                output,
            } => match (hostname, chain, key, from) {
                (_, _, _, Some(from)) => import::many(config, store, &from, now)
                    .await
                    .and_then(|imported| import::print(output, imported)),
                (Some(hostname), Some(chain), Some(key), None) => {
                    import::one(config, store, (&hostname, chain, key), now).await?;
                    let certificate = store.certificate(&hostname).await?;
                    show::one(output, certificate.about, now)
                }
                _ => Err(CliError::Usage(
                    "HOSTNAME needs --chain and --key".to_owned(),
                )),
            },
            Self::Renew { hostname, output } => {
                renew::run(config, store, &hostname, (output, now)).await
            }
            Self::Export {
                hostname,
                chain,
                key,
                output,
            } => export::run(config, store, &hostname, (chain, key), output).await,
            Self::Account { verb: None, output } => account::list(config, store, output).await,
            Self::Account {
                verb: Some(account::AccountVerb::Roll { ca, output }),
                ..
            } => account::roll(config, store, ca.as_deref(), output).await,
            Self::Remove { hostname, output } => {
                let gone = store.remove_certificate(&hostname).await?;
                output.print(&show::Row::new(gone, now), |row| {
                    format!("visitors of {} are no longer shown it", row.hostname())
                })
            }
        }
    }
}

fn pattern(text: &str) -> Result<DomainPattern, HostnameError> {
    DomainPattern::parse_typed(text)
}
