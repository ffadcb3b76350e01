//! Tenants on standard output.

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::output::{self, OutputOption};
use crate::model::{LimitOverrides, Tenant, TenantState};
use crate::store::{Date, Domain, DomainCursor, Store, TenantRef};

/// Rows asked for at once.
const PAGE: u32 = 1000;

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    tenant: Tenant,
    domains: Vec<Domain>,
}

/// Prints a tenant with its domains.
pub(super) async fn with_domains(
    output: OutputOption,
    store: &Store,
    shown: Tenant,
) -> Result<(), CliError> {
    let domains = domains(store, Some(&TenantRef::Id(shown.id))).await?;
    tenant(output, shown, domains)
}

/// Prints a tenant.
pub(super) fn tenant(
    output: OutputOption,
    tenant: Tenant,
    domains: Vec<Domain>,
) -> Result<(), CliError> {
    output.print(&Shown { tenant, domains }, |shown| {
        output::facts(facts(shown))
    })
}

/// Prints the state that a tenant has come to.
pub(super) fn state(output: OutputOption, tenant: Tenant) -> Result<(), CliError> {
    output.print(&tenant, |tenant| {
        format!("{} is {}", tenant.slug, tenant.state.as_str())
    })
}

/// Prints all tenants, or those in one state.
pub(super) async fn list(
    output: OutputOption,
    store: &Store,
    state: Option<TenantState>,
) -> Result<(), CliError> {
    let mut tenants = Vec::new();
    let mut after = None;
    loop {
        let page = store.tenants(state, after, PAGE).await?;
        tenants.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    output.print(&tenants, |tenants| {
        let header = ["slug", "state", "name", "plan", "upstream", "created", "id"];
        output::table(header, tenants.iter().map(row))
    })
}

/// All claims of names, or those of one tenant.
pub(in crate::cli) async fn domains(
    store: &Store,
    tenant: Option<&TenantRef>,
) -> Result<Vec<Domain>, CliError> {
    let mut domains = Vec::new();
    let mut after: Option<DomainCursor> = None;
    loop {
        let page = store.domains(tenant, after.as_ref(), PAGE).await?;
        domains.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(domains);
        }
    }
}

fn row(tenant: &Tenant) -> [String; 7] {
    [
        tenant.slug.to_string(),
        tenant.state.as_str().to_owned(),
        tenant.name.clone(),
        dash(tenant.plan.clone()),
        dash(tenant.upstream.clone()),
        Date(tenant.created_at).to_string(),
        tenant.id.to_string(),
    ]
}

fn facts(shown: &Shown) -> Vec<(&'static str, String)> {
    let tenant = &shown.tenant;
    let state = match tenant.state {
        TenantState::Provisioning => format!("provisioning, {} %", tenant.progress),
        other => other.as_str().to_owned(),
    };
    let mut facts = vec![
        ("slug", tenant.slug.to_string()),
        ("id", tenant.id.to_string()),
        ("name", tenant.name.clone()),
        ("state", state),
        ("plan", dash(tenant.plan.clone())),
        ("upstream", dash(tenant.upstream.clone())),
        ("limits", limits(&tenant.limits)),
        ("isolation", tenant.placement.isolation.as_str().to_owned()),
        ("aliases", joined(tenant.aliases.iter())),
        (
            "meta",
            if tenant.meta.is_empty() {
                dash(None)
            } else {
                serde_json::json!(tenant.meta).to_string()
            },
        ),
        ("created", output::moment(tenant.created_at)),
        ("changed", output::moment(tenant.updated_at)),
    ];
    facts.extend(tenant.removed_at.map(|at| ("removed", output::moment(at))));
    let names = shown
        .domains
        .iter()
        .map(|domain| format!("{} ({})", domain.pattern, domain.state.as_str()));
    facts.push(("domains", joined(names)));
    facts
}

fn limits(limits: &LimitOverrides) -> String {
    let set = [
        (
            "requests_per_second",
            limits.requests_per_second.map(u64::from),
        ),
        ("burst", limits.burst.map(u64::from)),
        ("in_flight", limits.in_flight.map(u64::from)),
        ("body", limits.body),
    ];
    joined(
        set.into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?))),
    )
}

fn joined(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    dash(Some(items.join(", ")).filter(|text| !text.is_empty()))
}

/// What is not set.
fn dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
