//! `check`: everything that is wrong with configuration, the files that it names, and the store; nothing is started.

use std::path::Path;

use serde::Serialize;

use super::output::{self, Output, OutputOption};
use super::tenant::tenant_domains;
use super::{CliError, error, session};
use crate::clock::Clock;
use crate::config::{Config, Fault, Faults, Shadow, Shadowed};
use crate::model::{Causes, Slug, TenantState};
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
    /// What is allowed and most likely not meant.
    warnings: Vec<Fault>,
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

/// What became of looking at the store.
enum Looked {
    At(Rows),
    /// It was not tried, or there is none; why.
    Not(String),
    InVain(CliError),
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
        let looked = match &config {
            Some(config) if faults.is_none() => look(config),
            _ => Looked::Not("the configuration comes first".to_owned()),
        };
        let report = Report::new(config.as_ref(), faults.as_ref(), &files, &looked);
        let faulty = faults.is_some() || !files.is_empty();
        let nothing_else = !report.has_rows() && report.warnings.is_empty();
        let only_faults = faulty && nothing_else && !matches!(looked, Looked::InVain(_));
        // People are shown the faults themselves, on stderr.
        if self.output.output == Output::Json || !only_faults {
            self.output.print(&report, Report::text)?;
        }
        if faulty {
            return Err(CliError::Faulty { faults, files });
        }
        if let Looked::InVain(error) = looked {
            return Err(error);
        }
        match (report.shadowed.len(), report.unknown_upstreams.len()) {
            (0, 0) => Ok(()),
            (names, upstreams) => Err(CliError::Astray { names, upstreams }),
        }
    }
}

/// What the store holds. One that is not there is no fault; one that cannot be asked must not hide the faults found so far.
fn look(config: &Config) -> Looked {
    match session::with_store(config, Access::Command, Rows::read) {
        Ok(rows) => Looked::At(rows),
        Err(CliError::Store(error @ StoreError::Missing { .. })) => Looked::Not(error.to_string()),
        Err(error) => Looked::InVain(error),
    }
}

impl Looked {
    fn text(&self) -> String {
        match self {
            Self::At(_) => "looked at".to_owned(),
            Self::Not(reason) => format!("not looked at: {reason}"),
            Self::InVain(error) => format!("not looked at: {}", Causes(error)),
        }
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
        looked: &Looked,
    ) -> Self {
        let nothing = Rows::default();
        let (rows, asked) = match looked {
            Looked::At(rows) => (rows, true),
            Looked::Not(_) => (&nothing, true),
            Looked::InVain(_) => (&nothing, false),
        };
        let unknown_upstreams = config.map_or_else(Vec::new, |config| rows.lost(config));
        let shadowed = config.map_or_else(Vec::new, |config| {
            config.shadows(rows.names.iter().cloned())
        });
        let settings = faults.map_or(&[][..], Faults::list).iter().cloned();
        let faults: Vec<AnyFault> = settings
            .map(AnyFault::Setting)
            .chain(files.iter().cloned().map(AnyFault::File))
            .collect();
        Self {
            ok: asked && faults.is_empty() && shadowed.is_empty() && unknown_upstreams.is_empty(),
            faults,
            warnings: config.map_or_else(Vec::new, |config| config.warnings.clone()),
            store: looked.text(),
            shadowed: shadowed.into_iter().map(Row::from).collect(),
            unknown_upstreams,
        }
    }

    fn has_rows(&self) -> bool {
        !self.shadowed.is_empty() || !self.unknown_upstreams.is_empty()
    }

    fn text(&self) -> String {
        let faults = match self.faults.len() {
            0 => "no faults".to_owned(),
            many => error::count(many, "fault"),
        };
        let mut summary = format!("configuration: {faults}\nstore: {}", self.store);
        for it in &self.warnings {
            let place = format!("{}:{}", it.source, it.line);
            summary.push_str(&format!("\nwarning: {place}: {}", it.reason));
            let hint = it.hint.as_ref();
            summary.extend(hint.map(|hint| format!("\n  hint: {hint}")));
        }
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
