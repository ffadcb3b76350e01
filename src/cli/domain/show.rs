//! How names are printed.

use std::cmp::Reverse;

use serde::Serialize;

use super::look;
use super::order::with_order;
use super::tls::Demands;
use crate::cli::CliError;
use crate::cli::output::{self, OutputOption};
use crate::config::Config;
use crate::domains::{Claimed, Expected, RecordToSet, records_to_set};
use crate::model::{Check, DomainPattern, DomainState};
use crate::store::{CertificateOrder, ClaimTls, Date, Domain, Store, StoreError, TenantRef};

/// A claim, with what its owner must set in DNS.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    domain: Domain,
    #[serde(flatten)]
    demands: Demands,
    records: Vec<Record>,
}

/// A name: the claim that counts, and whoever else claims it.
#[derive(Serialize)]
struct ShownName {
    #[serde(flatten)]
    shown: Shown,
    claims: Vec<Shown>,
}

#[derive(Serialize)]
struct Record {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
    purpose: &'static str,
}

/// What is known of a name besides its claims.
struct Besides {
    demands: Vec<ClaimTls>,
    order: Option<CertificateOrder>,
}

impl Besides {
    async fn of(store: &Store, hostname: &DomainPattern) -> Result<Self, CliError> {
        Ok(Self {
            demands: store.domain_tls(hostname).await?,
            order: store.order(hostname).await?,
        })
    }
}

/// One claim.
pub(super) async fn one(
    output: OutputOption,
    config: &Config,
    store: &Store,
    domain: Domain,
) -> Result<(), CliError> {
    let besides = Besides::of(store, &domain.pattern).await?;
    output.print(&shown(config, &besides, domain), people)
}

/// A list of claims.
pub(super) fn many(output: OutputOption, domains: &Vec<Domain>) -> Result<(), CliError> {
    output.print(domains, |domains| table(domains))
}

/// Every claim of a name, or that of one tenant. First the one that counts: who has the name, else the newest of those that have not
/// ended, else the newest.
pub(super) async fn claims(
    output: OutputOption,
    config: &Config,
    store: &Store,
    of: (&DomainPattern, Option<&TenantRef>),
) -> Result<(), CliError> {
    let mut claims = claims_of(store, of).await?;
    let besides = Besides::of(store, of.0).await?;
    claims.sort_by_key(|claim| {
        let ended = claim.state == DomainState::Removed;
        (!claim.state.holds(), ended, Reverse(claim.created_at))
    });
    let shown = |claim| shown(config, &besides, claim);
    let mut claims = claims.into_iter().map(shown);
    // The store answers with an error where nobody claims the name.
    let Some(first) = claims.next() else {
        return Ok(());
    };
    let name = ShownName {
        shown: first,
        claims: claims.collect(),
    };
    output.print(&name, |name| {
        let all = std::iter::once(&name.shown).chain(&name.claims);
        all.map(people).collect::<Vec<_>>().join("\n\n")
    })
}

async fn claims_of(
    store: &Store,
    (hostname, tenant): (&DomainPattern, Option<&TenantRef>),
) -> Result<Vec<Domain>, CliError> {
    let mut claims = match store.domain(hostname).await {
        Err(StoreError::UnknownDomain(_)) => return Err(look::nobodys(store, hostname).await?),
        claims => claims?,
    };
    if let Some(tenant) = tenant {
        let tenant = store.tenant(tenant).await?;
        claims.retain(|claim| claim.tenant == tenant.id);
        if claims.is_empty() {
            let pattern = hostname.clone();
            let tenant = tenant.slug;
            return Err(StoreError::NotClaimed { pattern, tenant }.into());
        }
    }
    Ok(claims)
}

fn shown(config: &Config, besides: &Besides, mut domain: Domain) -> Shown {
    let seen = std::mem::take(&mut *domain.checks);
    domain.checks = with_order(seen, domain.state, besides.order.as_ref()).into();
    let of_claim = |it: &&ClaimTls| it.tenant == domain.tenant;
    let demands = besides.demands.iter().find(of_claim);
    let demands = demands.map(|it| it.tls.clone().into()).unwrap_or_default();
    let ended = domain.state == DomainState::Removed;
    if ended {
        // What was to be done for it helps no more: its secret never counts again.
        domain.checks.clear();
    }
    let records = match ended {
        true => Vec::new(),
        false => records(config, &domain),
    };
    Shown {
        domain,
        demands,
        records,
    }
}

/// What is to be set; no proof where an operator's word stands for it.
fn records(config: &Config, domain: &Domain) -> Vec<Record> {
    let claimed = Claimed {
        pattern: domain.pattern.clone(),
        secret: domain.secret.clone(),
    };
    let expected = Expected::new(config);
    records_to_set(&claimed, &expected)
        .into_iter()
        .filter(|record| !(domain.trusted && record.value.starts_with("vestibule-verify=")))
        .map(
            |RecordToSet {
                 name,
                 kind,
                 value,
                 purpose,
             }| Record {
                name,
                kind,
                value,
                purpose,
            },
        )
        .collect()
}

fn people(shown: &Shown) -> String {
    let domain = &shown.domain;
    let moment = |at: Option<i64>| at.map_or_else(|| "-".to_owned(), output::moment);
    let mut facts = vec![
        ("hostname", domain.pattern.to_string()),
        ("tenant", domain.tenant_slug.to_string()),
        ("state", domain.state.as_str().to_owned()),
        ("reason", domain.reason.clone()),
        ("since", output::moment(domain.since)),
        ("trust", trust(domain)),
        ("created", output::moment(domain.created_at)),
    ];
    if domain.state != DomainState::Removed {
        facts.push(("looked at", moment(domain.checked_at)));
        facts.push(("next look", moment(domain.next_look_at)));
        facts.extend(shown.demands.facts());
    }
    let mut parts = vec![output::facts(facts)];
    if !domain.checks.is_empty() {
        parts.push(checks(&domain.checks));
    }
    if !shown.records.is_empty() {
        let rows = shown.records.iter().map(|record| {
            let kind = record.kind.to_owned();
            let (name, value) = (record.name.clone(), record.value.clone());
            [name, kind, value, record.purpose.to_owned()]
        });
        let header = ["set in dns", "type", "value", "purpose"];
        parts.push(output::table(header, rows));
    }
    parts.join("\n\n")
}

/// Findings, each with what is expected, what was seen and what to do.
pub(super) fn checks(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let mark = if check.ok { "ok  " } else { "FIX " };
        let mut text = format!("{mark}{}: {}", check.code.as_str(), check.observed);
        if !check.ok {
            text.push_str(&format!("\n      expected: {}", check.expected));
        }
        if let Some(hint) = &check.hint {
            text.push_str(&format!("\n      hint: {hint}"));
        }
        if !check.seen_by.is_empty() {
            text.push_str(&format!("\n      seen by: {}", check.seen_by.join(", ")));
        }
        text
    };
    checks.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn trust(domain: &Domain) -> String {
    if domain.trusted { "operator" } else { "proof" }.to_owned()
}

fn table<'d>(domains: impl IntoIterator<Item = &'d Domain>) -> String {
    let row = |domain: &Domain| {
        [
            domain.pattern.to_string(),
            domain.tenant_slug.to_string(),
            domain.state.as_str().to_owned(),
            trust(domain),
            Date(domain.created_at).to_string(),
        ]
    };
    let header = ["hostname", "tenant", "state", "trust", "created"];
    output::table(header, domains.into_iter().map(row))
}
