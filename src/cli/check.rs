//! `check`: everything that is wrong with configuration and store, and nothing started.

use std::path::Path;

use serde::Serialize;

use super::output::{self, Output, OutputOption};
use super::tenant::tenant_domains;
use super::{CliError, session};
use crate::config::{Config, Fault, Shadow, Shadowed};
use crate::model::{Slug, TenantState};
use crate::store::{Access, Store, StoreError};

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    output: OutputOption,
}

/// What was found.
#[derive(Serialize)]
struct Report {
    ok: bool,
    faults: Vec<Fault>,
    /// What of the store was looked at.
    store: String,
    shadowed: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    tenant: String,
    reason: String,
}

impl CheckArguments {
    pub(super) fn run(
        self,
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(), CliError> {
        let config = match Config::load(path, env) {
            Ok(config) => config,
            Err(faults) => {
                if self.output.output == Output::Json {
                    let report = Report {
                        ok: false,
                        faults: faults.list().to_vec(),
                        store: "not looked at: the configuration comes first".to_owned(),
                        shadowed: Vec::new(),
                    };
                    self.output.print(&report, |_| String::new())?;
                }
                return Err(faults.into());
            }
        };
        let found = session::with_store(&config, Access::Command, async |store| names(store).await);
        match found {
            Ok(names) => self.finish(&config, names, "looked at"),
            Err(CliError::Store(error @ StoreError::Missing { .. })) => {
                let store = format!("not looked at: {error}");
                self.finish(&config, Vec::new(), &store)
            }
            Err(error) => Err(error),
        }
    }

    /// Reports on a configuration without faults; `names` are the store's.
    fn finish(
        self,
        config: &Config,
        names: Vec<(Shadowed, Slug)>,
        store: &str,
    ) -> Result<(), CliError> {
        let shadowed: Vec<Row> = config.shadows(names).into_iter().map(Row::from).collect();
        let report = Report {
            ok: shadowed.is_empty(),
            faults: Vec::new(),
            store: store.to_owned(),
            shadowed,
        };
        self.output.print(&report, Report::text)?;
        match report.shadowed.len() {
            0 => Ok(()),
            count => Err(CliError::Shadowed(count)),
        }
    }
}

/// Every name in the store that the configuration could stand before, with its tenant.
async fn names(store: &Store) -> Result<Vec<(Shadowed, Slug)>, CliError> {
    let mut names = Vec::new();
    let mut after = None;
    loop {
        let page = store.tenants(None, after, 1000).await?;
        for tenant in page
            .items
            .iter()
            .filter(|tenant| tenant.state != TenantState::Removed)
        {
            names.push((Shadowed::Tenant(tenant.slug.clone()), tenant.slug.clone()));
            let alias = |alias: &Slug| (Shadowed::Alias(alias.clone()), tenant.slug.clone());
            names.extend(tenant.aliases.iter().map(alias));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let domains = tenant_domains(store, None).await?;
    names.extend(
        domains
            .into_iter()
            .map(|domain| (Shadowed::Domain(domain.pattern), domain.tenant_slug)),
    );
    Ok(names)
}

impl Report {
    fn text(&self) -> String {
        let summary = format!("configuration: no faults\nstore: {}", self.store);
        if self.shadowed.is_empty() {
            return summary;
        }
        let rows = self.shadowed.iter().map(|row| {
            [
                row.kind.to_owned(),
                row.name.clone(),
                row.tenant.clone(),
                row.reason.clone(),
            ]
        });
        let table = output::table(["shadowed", "name", "tenant", "because"], rows);
        format!("{summary}\n\n{table}")
    }
}

impl From<Shadow> for Row {
    fn from(shadow: Shadow) -> Self {
        Self {
            kind: shadow.what.kind(),
            name: shadow.what.to_string(),
            tenant: shadow.tenant.to_string(),
            reason: shadow.reason,
        }
    }
}
