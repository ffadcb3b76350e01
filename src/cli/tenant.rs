//! `tenant …`: what can be typed. How it is done stands in `tenant/`.

use std::path::PathBuf;

use clap::Subcommand;

use super::output::OutputOption;
use super::pairs::{LimitPair, MetaPair};
use super::{CliError, error, session};
use crate::config::{Config, Shadowed};
use crate::model::{Isolation, LimitOverrides, Slug, TenantState};
use crate::store::{Access, NewTenant, Store, TenantPatch, TenantRef};

mod lines;
mod show;

pub(super) use show::domains as tenant_domains;

/// Verbs on tenants. TENANT is a slug, an old slug or an id.
#[derive(Debug, Subcommand)]
pub(super) enum TenantVerb {
    /// Make a tenant
    Create {
        /// Its slug: the subdomain and path it answers at
        slug: Slug,
        #[command(flatten)]
        settings: Settings,
        /// How its data is kept apart from the others': shared; schema and database are not supported yet
        #[arg(long, value_name = "MODEL", value_parser = isolation, default_value = "shared")]
        isolation: Isolation,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Change settings of a tenant; those that are not named stay
    Set {
        tenant: TenantRef,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Give a tenant another slug; the old one leads there from now on
    Rename {
        tenant: TenantRef,
        /// The new slug
        slug: Slug,
        #[command(flatten)]
        output: OutputOption,
    },
    /// List tenants
    List {
        /// Only those in this state
        #[arg(long, value_parser = state)]
        state: Option<TenantState>,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Show everything about a tenant
    Show {
        tenant: TenantRef,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Stop serving a tenant: its visitors get 403
    Suspend(One),
    /// End suspend and maintain
    Resume(One),
    /// Pause a tenant for work on its data: its visitors get 503
    Maintain(One),
    /// Remove a tenant: its visitors get 410, its names stay reserved for a while
    Remove {
        #[command(flatten)]
        one: One,
        /// Confirm
        #[arg(long)]
        yes: bool,
    },
    /// Bring a removed tenant back
    Restore(One),
    /// Make tenants from JSON lines, all or none
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
        /// Domains are active at once, on your word
        #[arg(long)]
        trusted: bool,
        #[command(flatten)]
        output: OutputOption,
    },
    /// Write all tenants as JSON lines, as import reads them, in either output format
    Export {
        #[command(flatten)]
        _output: OutputOption,
    },
}

/// One tenant, and how what became of it is printed.
#[derive(Debug, clap::Args)]
pub(super) struct One {
    tenant: TenantRef,
    #[command(flatten)]
    output: OutputOption,
}

/// What can be set of a tenant.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// The upstream it is served by; "" = as configured
    #[arg(long)]
    upstream: Option<String>,
    /// The plan it is on; "" = none
    #[arg(long)]
    plan: Option<String>,
    /// A limit of its own: requests_per_second, burst, in_flight, body; no value = as configured
    #[arg(long = "limit", value_name = "K=V", value_parser = LimitPair::parse)]
    limits: Vec<LimitPair>,
    /// Something for the application to know; the value is JSON or a word, no value takes it out
    #[arg(long, value_name = "K=V", value_parser = MetaPair::parse)]
    meta: Vec<MetaPair>,
}

impl TenantVerb {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        if let Self::Remove { one, yes: false } = &self {
            return Err(CliError::NotConfirmed(format!(
                "removing {}, which ends it for its visitors at once,",
                one.tenant
            )));
        }
        session::with_store(config, Access::Command, async |store| {
            self.act(config, store).await
        })
    }

    async fn act(self, config: &Config, store: &Store) -> Result<(), CliError> {
        match self {
            Self::Create {
                slug,
                settings,
                isolation,
                output,
            } => {
                settings.note_unknown_upstream(config);
                note_shadow(config, &slug);
                note_unbuilt(isolation);
                let made = store
                    .create_tenant(settings.new_tenant(slug, isolation))
                    .await?;
                show::tenant(output, made, Vec::new())
            }
            Self::Set {
                tenant,
                settings,
                output,
            } => {
                settings.note_unknown_upstream(config);
                let changed = store.set_tenant(&tenant, settings.patch()).await?;
                show::with_domains(output, store, changed).await
            }
            Self::Rename {
                tenant,
                slug,
                output,
            } => {
                note_shadow(config, &slug);
                let renamed = store.rename_tenant(&tenant, &slug).await?;
                show::with_domains(output, store, renamed).await
            }
            Self::List { state, output } => show::list(output, store, state).await,
            Self::Show { tenant, output } => {
                let found = store.tenant(&tenant).await?;
                show::with_domains(output, store, found).await
            }
            Self::Suspend(one) => show::state(one.output, store.suspend_tenant(&one.tenant).await?),
            Self::Resume(one) => show::state(one.output, store.resume_tenant(&one.tenant).await?),
            Self::Maintain(one) => {
                show::state(one.output, store.maintain_tenant(&one.tenant).await?)
            }
            Self::Remove { one, .. } => {
                show::state(one.output, store.remove_tenant(&one.tenant).await?)
            }
            Self::Restore(one) => show::state(one.output, store.restore_tenant(&one.tenant).await?),
            Self::Import {
                file,
                trusted,
                output,
            } => lines::import(config, store, &file, trusted, output).await,
            Self::Export { .. } => lines::export(store).await,
        }
    }
}

impl Settings {
    fn new_tenant(self, slug: Slug, isolation: Isolation) -> NewTenant {
        let limits = LimitPair::patch(&self.limits);
        let mut meta = MetaPair::patch(self.meta);
        meta.retain(|_, value| !value.is_null());
        NewTenant {
            name: self.name,
            isolation,
            upstream: self.upstream.filter(|name| !name.is_empty()),
            plan: self.plan.filter(|name| !name.is_empty()),
            limits: LimitOverrides {
                requests_per_second: limits.requests_per_second.flatten(),
                burst: limits.burst.flatten(),
                in_flight: limits.in_flight.flatten(),
                body: limits.body.flatten(),
            },
            meta,
            ..NewTenant::new(slug)
        }
    }

    fn patch(self) -> TenantPatch {
        let unless_empty = |text: String| Some(text).filter(|text| !text.is_empty());
        TenantPatch {
            name: self.name,
            upstream: self.upstream.map(unless_empty),
            plan: self.plan.map(unless_empty),
            limits: LimitPair::patch(&self.limits),
            meta: MetaPair::patch(self.meta),
        }
    }

    /// The nodes' configuration may be another one, so this is no fault.
    fn note_unknown_upstream(&self, config: &Config) {
        let known = |name: &String| {
            config
                .upstreams
                .iter()
                .any(|upstream| upstream.name == *name)
        };
        if let Some(name) = self
            .upstream
            .as_ref()
            .filter(|name| !name.is_empty() && !known(name))
        {
            error::note(&format!(
                "no upstream is called {name:?} in this configuration"
            ));
        }
    }
}

fn note_shadow(config: &Config, slug: &Slug) {
    if let Some(reason) = config.shadow(&Shadowed::Tenant(slug.clone())) {
        error::note(&format!("requests for {slug} will not get there: {reason}"));
    }
}

/// Nothing builds what such a tenant is to have: whoever makes one is to know that it will not get further by itself.
fn note_unbuilt(isolation: Isolation) {
    if isolation != Isolation::Shared {
        error::note(&format!(
            "building a tenant's own {} is not supported yet: it stays in provisioning, and its visitors are told so",
            isolation.as_str()
        ));
    }
}

fn isolation(text: &str) -> Result<Isolation, &'static str> {
    Isolation::from_name(text).ok_or("it is shared, schema or database")
}

fn state(text: &str) -> Result<TenantState, String> {
    let names = TenantState::ALL.map(TenantState::as_str).join(", ");
    TenantState::from_name(text).ok_or(format!("it is one of {names}"))
}
