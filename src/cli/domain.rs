//! `domain …`: custom domains.

use std::cmp::Reverse;

use clap::Subcommand;
use serde::Serialize;

use super::output::{self, OutputOption};
use super::tenant::tenant_domains;
use super::{CliError, error, session};
use crate::config::{Config, Shadowed};
use crate::model::{DomainPattern, DomainState, HostnameError};
use crate::store::{Access, Claim, Date, Domain, Store, TenantRef};

mod tls;

/// Verbs on custom domains. HOSTNAME is a name or, for all names one label below, `*.name`.
#[derive(Debug, Subcommand)]
pub(super) enum DomainVerb {
    /// Claim a name for a tenant
    Add {
        tenant: TenantRef,
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        /// Active at once, on your word, without proof
        #[arg(long)]
        trusted: bool,
        #[command(flatten)]
        output: OutputOption,
    },
    /// List names
    List {
        /// Only this tenant's
        tenant: Option<TenantRef>,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show who claims a name, and where each claim stands
    Show {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Look for the proof of control now (not supported yet)
    Verify {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
    },
    /// Say what to fix (not supported yet)
    Doctor {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
    },
    /// Give a name to another tenant, in one step
    Move {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        tenant: TenantRef,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Set what visitors of a name must bring to a handshake
    Set(tls::SetTls),
    /// End a claim
    Remove {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        /// That of this tenant; else the one that is routed
        #[arg(long)]
        tenant: Option<TenantRef>,
        #[command(flatten)]
        output: OutputOption,
    },
}

/// A name as it is shown: the claim that counts, and whoever else claims it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    domain: Domain,
    claims: Vec<Domain>,
}

impl DomainVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        if let Self::Add { hostname, .. } = &self
            && let Some(reason) = config.unownable(hostname)
        {
            let hostname = hostname.clone();
            return Err(CliError::Unownable { hostname, reason });
        }
        match self {
            Self::Add { trusted: false, .. } => {
                Err(CliError::NotYet("domain add without --trusted"))
            }
            Self::Verify { .. } => Err(CliError::NotYet("domain verify")),
            Self::Doctor { .. } => Err(CliError::NotYet("domain doctor")),
            verb => session::with_store(config, Access::Command, async |store| {
                verb.act(config, store).await
            }),
        }
    }

    async fn act(self, config: &Config, store: &Store) -> Result<(), CliError> {
        match self {
            Self::Add {
                tenant,
                hostname,
                output,
                ..
            } => {
                note_shadow(config, &hostname);
                print_one(
                    output,
                    store.add_domain(&tenant, &hostname, Claim::TRUSTED).await?,
                )
            }
            Self::List { tenant, output } => {
                print_many(output, tenant_domains(store, tenant.as_ref()).await?)
            }
            Self::Show { hostname, output } => show(output, store.domain(&hostname).await?),
            Self::Move {
                hostname,
                tenant,
                output,
            } => print_one(output, store.move_domain(&hostname, &tenant).await?),
            Self::Remove {
                hostname,
                tenant,
                output,
            } => {
                let was = store.remove_domain(&hostname, tenant.as_ref()).await?;
                let removed = Domain {
                    state: DomainState::Removed,
                    ..was
                };
                output.print(&removed, |domain| {
                    format!(
                        "{} no longer belongs to {}",
                        domain.pattern, domain.tenant_slug
                    )
                })
            }
            Self::Set(set) => set.run(store).await,
            Self::Verify { .. } | Self::Doctor { .. } => {
                Err(CliError::NotYet("domain verification"))
            }
        }
    }
}

/// Counts: the routed claim, else the newest of those that have not ended, else the newest.
fn show(output: OutputOption, mut claims: Vec<Domain>) -> Result<(), CliError> {
    claims.sort_by_key(|claim| {
        let ended = claim.state == DomainState::Removed;
        (!claim.state.is_routed(), ended, Reverse(claim.created_at))
    });
    let mut claims = claims.into_iter();
    // The store answers with an error where nobody claims the name.
    let Some(domain) = claims.next() else {
        return Ok(());
    };
    let claims = claims.collect();
    output.print(&Shown { domain, claims }, |shown| {
        table(std::iter::once(&shown.domain).chain(&shown.claims))
    })
}

fn print_one(output: OutputOption, domain: Domain) -> Result<(), CliError> {
    output.print(&domain, |domain| table([domain]))
}

fn print_many(output: OutputOption, domains: Vec<Domain>) -> Result<(), CliError> {
    output.print(&domains, |domains| table(domains))
}

fn table<'d>(domains: impl IntoIterator<Item = &'d Domain>) -> String {
    let row = |domain: &Domain| {
        [
            domain.pattern.to_string(),
            domain.tenant_slug.to_string(),
            domain.state.as_str().to_owned(),
            if domain.trusted { "operator" } else { "proof" }.to_owned(),
            Date(domain.created_at).to_string(),
        ]
    };
    let header = ["hostname", "tenant", "state", "trust", "created"];
    output::table(header, domains.into_iter().map(row))
}

fn note_shadow(config: &Config, pattern: &DomainPattern) {
    if let Some(reason) = config.shadow(&Shadowed::Domain(pattern.clone())) {
        error::note(&format!(
            "requests for {pattern} will not all get there: {reason}"
        ));
    }
}

fn pattern(text: &str) -> Result<DomainPattern, HostnameError> {
    DomainPattern::parse_typed(text)
}
