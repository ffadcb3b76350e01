//! `domain …`: custom domains.

use clap::{Args, Subcommand};

use super::error::note;
use super::output::OutputOption;
use super::tenant::tenant_domains;
use super::{CliError, session};
use crate::config::Config;
use crate::model::{DomainPattern, DomainState, HostnameError};
use crate::store::{Access, Claim, Domain, Handover, Store, TenantRef};

mod certificate;
mod doctor;
mod look;
mod order;
mod own;
mod show;
mod tls;

/// Verbs on custom domains. HOSTNAME is a name or, for all names one label below, `*.name`.
#[derive(Debug, Subcommand)]
pub(super) enum DomainVerb {
    /// Claim a name for a tenant, and show what its owner must set in DNS
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
    /// Show who claims a name, where each claim stands, and what to set in DNS
    Show(Asked),
    /// Look for the proof of control now, instead of when its turn comes
    Verify(Asked),
    /// Say what to fix; the exit code is 1 where there is anything
    Doctor(Asked),
    /// Give a name to another tenant, in one step; a name that was proved moves with that tenant's own proof
    Move {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        tenant: TenantRef,
        /// What the name demands of TLS, and a certificate that was brought for it, go with it: the customer stays the same
        #[arg(long)]
        keep_tls: bool,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Set what visitors of a name must bring to a handshake
    Set(tls::SetTls),
    /// End a claim
    Remove {
        #[arg(value_parser = pattern)]
        hostname: DomainPattern,
        /// That of this tenant; else the one that has the name
        #[arg(long)]
        tenant: Option<TenantRef>,
        #[command(flatten)]
        output: OutputOption,
    },
}

/// Where nothing says where names lead, nothing but its proof keeps a name.
fn note_of_nowhere(config: &Config, trusted: bool) {
    if !trusted && config.says_nowhere() {
        note(
            "neither `domains.cname_target` nor `domains.addresses` says where names lead: the proof must stay for as long as the name",
        );
    }
}

/// What is asked of a name.
#[derive(Debug, Args)]
pub(super) struct Asked {
    #[arg(value_parser = pattern)]
    hostname: DomainPattern,
    /// Only the claim of this tenant; else all of them, of which `doctor` counts who has the name
    #[arg(long)]
    tenant: Option<TenantRef>,
    #[command(flatten)]
    output: OutputOption,
}

impl Asked {
    fn of(&self) -> (&DomainPattern, Option<&TenantRef>) {
        (&self.hostname, self.tenant.as_ref())
    }
}

impl DomainVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        if let Self::Add {
            hostname, trusted, ..
        } = &self
            && let Some(reason) = config.refuses_claim(hostname, *trusted)
        {
            let hostname = hostname.clone();
            return Err(CliError::Unownable { hostname, reason });
        }
        session::with_store(config, Access::Command, async |store| {
            self.act(config, store).await
        })
    }

    async fn act(self, config: &Config, store: &Store) -> Result<(), CliError> {
        match self {
            Self::Add {
                tenant,
                hostname,
                trusted,
                output,
            } => {
                let claim = Claim::trusted_if(trusted);
                let domain = store.add_domain(&tenant, &hostname, claim).await?;
                note_of_nowhere(config, trusted);
                show::one(output, config, store, domain).await
            }
            Self::List { tenant, output } => {
                show::many(output, &tenant_domains(store, tenant.as_ref()).await?)
            }
            Self::Show(asked) => show::claims(asked.output, config, store, asked.of()).await,
            Self::Verify(asked) => {
                look::verify(config, store, asked.of()).await?;
                show::claims(asked.output, config, store, asked.of()).await
            }
            Self::Doctor(asked) => doctor::run(config, store, asked.of(), asked.output).await,
            Self::Move {
                hostname,
                tenant,
                keep_tls,
                output,
            } => {
                let handover = match keep_tls {
                    true => Handover::Tls,
                    false => Handover::Nothing,
                };
                let before = tls::demanded(store, &hostname).await?;
                let moved = look::give(config, store, &hostname, (&tenant, handover)).await?;
                let after = tls::demanded(store, &hostname).await?;
                tls::note_what_went(&hostname, &before, &after);
                show::one(output, config, store, moved).await
            }
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
        }
    }
}

fn pattern(text: &str) -> Result<DomainPattern, HostnameError> {
    DomainPattern::parse_typed(text)
}
