//! `check`: everything that is wrong with configuration, the files that it names, and the store; nothing is started.

use std::path::Path;

use serde::Serialize;

use super::output::{self, Output, OutputOption};
use super::tenant::tenant_domains;
use super::{CliError, session};
use crate::clock::Clock;
use crate::config::{Config, Fault, Faults, Shadow, Shadowed};
use crate::model::{Slug, TenantState};
use crate::store::{Access, Store, StoreError};

mod files;

pub use files::FileFault;

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
    faults: Vec<AnyFault>,
    /// What of the store was looked at.
    store: String,
    shadowed: Vec<Row>,
    /// Tenants whose own upstream the configuration does not have.
    unknown_upstreams: Vec<Lost>,
}

/// A fault of the configuration, or of a file that it names.
#[derive(Serialize)]
#[serde(untagged)]
enum AnyFault {
    Setting(Fault),
    File(FileFault),
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    tenant: String,
    reason: String,
}

#[derive(Serialize)]
struct Lost {
    tenant: String,
    upstream: String,
}

/// What of the store the configuration bears on.
#[derive(Default)]
struct Rows {
    /// Every name that the configuration could stand before, with its tenant.
    names: Vec<(Shadowed, Slug)>,
    /// Tenants with an upstream of their own.
    upstreams: Vec<(Slug, String)>,
}

impl CheckArguments {
    pub(super) fn run(
        self,
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<(), CliError> {
        let (config, faults) = Config::examine(path, env);
        let files = config.as_ref().map_or_else(Vec::new, |config| {
            files::faults(config, Clock::system().now())
        });
        let (rows, store) = match &config {
            Some(config) if faults.is_none() => look(config)?,
            _ => {
                let store = "not looked at: the configuration comes first";
                (Rows::default(), store.to_owned())
            }
        };
        let report = Report::new(config.as_ref(), faults.as_ref(), &files, rows, store);
        // People are shown the faults themselves, on stderr.
        if self.output.output == Output::Json || (faults.is_none() && files.is_empty()) {
            self.output.print(&report, Report::text)?;
        } else if report.has_rows() {
            self.output.print(&report, Report::tables)?;
        }
        if faults.is_some() || !files.is_empty() {
            return Err(CliError::Faulty { faults, files });
        }
        match (report.shadowed.len(), report.unknown_upstreams.len()) {
            (0, 0) => Ok(()),
            (names, upstreams) => Err(CliError::Astray { names, upstreams }),
        }
    }
}

/// What the store holds, and what to say of it. One that is not there is no fault.
fn look(config: &Config) -> Result<(Rows, String), CliError> {
    let found = session::with_store(config, Access::Command, async |store| {
        Ok((Rows::read(store).await?, "looked at".to_owned()))
    });
    match found {
        Err(CliError::Store(error @ StoreError::Missing { .. })) => {
            Ok((Rows::default(), format!("not looked at: {error}")))
        }
        other => other,
    }
}

impl Rows {
    async fn read(store: &Store) -> Result<Self, CliError> {
        let mut rows = Self::default();
        let mut after = None;
        loop {
            let page = store.tenants(None, after, 1000).await?;
            for tenant in page
                .items
                .into_iter()
                .filter(|tenant| tenant.state != TenantState::Removed)
            {
                let slug = tenant.slug;
                rows.names
                    .push((Shadowed::Tenant(slug.clone()), slug.clone()));
                let alias = |alias: Slug| (Shadowed::Alias(alias), slug.clone());
                rows.names.extend(tenant.aliases.into_iter().map(alias));
                rows.upstreams
                    .extend(tenant.upstream.map(|name| (slug.clone(), name)));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let domains = tenant_domains(store, None).await?;
        let name =
            |domain: crate::store::Domain| (Shadowed::Domain(domain.pattern), domain.tenant_slug);
        rows.names.extend(domains.into_iter().map(name));
        Ok(rows)
    }

    /// Those whose upstream is none of the configuration's.
    fn lost(&self, config: &Config) -> Vec<Lost> {
        let known = |name: &str| {
            let mut upstreams = config.upstreams.iter();
            upstreams.any(|upstream| upstream.name == name)
        };
        self.upstreams
            .iter()
            .filter(|(_, name)| !known(name))
            .map(|(slug, name)| Lost {
                tenant: slug.to_string(),
                upstream: name.clone(),
            })
            .collect()
    }
}

impl Report {
    fn new(
        config: Option<&Config>,
        faults: Option<&Faults>,
        files: &[FileFault],
        rows: Rows,
        store: String,
    ) -> Self {
        let unknown_upstreams = config.map_or_else(Vec::new, |config| rows.lost(config));
        let shadowed = config.map_or_else(Vec::new, |config| config.shadows(rows.names));
        let settings = faults.map_or(&[][..], Faults::list).iter().cloned();
        let faults: Vec<AnyFault> = settings
            .map(AnyFault::Setting)
            .chain(files.iter().cloned().map(AnyFault::File))
            .collect();
        Self {
            ok: faults.is_empty() && shadowed.is_empty() && unknown_upstreams.is_empty(),
            faults,
            store,
            shadowed: shadowed.into_iter().map(Row::from).collect(),
            unknown_upstreams,
        }
    }

    fn has_rows(&self) -> bool {
        !self.shadowed.is_empty() || !self.unknown_upstreams.is_empty()
    }

    fn text(&self) -> String {
        let summary = format!("configuration: no faults\nstore: {}", self.store);
        match self.has_rows() {
            true => format!("{summary}\n\n{}", self.tables()),
            false => summary,
        }
    }

    fn tables(&self) -> String {
        let mut tables = Vec::new();
        if !self.shadowed.is_empty() {
            let rows = self.shadowed.iter().map(|row| {
                [
                    row.kind.to_owned(),
                    row.name.clone(),
                    row.tenant.clone(),
                    row.reason.clone(),
                ]
            });
            tables.push(output::table(
                ["shadowed", "name", "tenant", "because"],
                rows,
            ));
        }
        if !self.unknown_upstreams.is_empty() {
            let rows = self
                .unknown_upstreams
                .iter()
                .map(|row| [row.tenant.clone(), row.upstream.clone()]);
            tables.push(output::table(["tenant", "unknown upstream"], rows));
        }
        tables.join("\n\n")
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
