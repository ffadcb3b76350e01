//! Verbs that look at names themselves: from here, not from a node.

use serde::Serialize;

use super::order::with_order;
use super::{own, show};
use crate::acme::{AcmeCa, Ca};
use crate::cli::CliError;
use crate::cli::cert::waits::Waits;
use crate::cli::error::note;
use crate::cli::output::OutputOption;
use crate::clock::Clock;
use crate::config::Config;
use crate::domains::{Expected, Looker};
use crate::metrics::Metrics;
use crate::model::domain_life::Seen;
use crate::model::{Causes, Check, DomainPattern, DomainState};
use crate::store::{Claim, Domain, DueLook, Handover, Store, StoreError, TenantRef};
use crate::tasks::domains::{self as looks, NameWatch};
use crate::tls::Inventory;

/// What is to be fixed of one claim.
#[derive(Serialize)]
struct Findings {
    hostname: String,
    /// Nobody's where it is the operator's own.
    tenant: Option<String>,
    state: Option<DomainState>,
    checks: Vec<Check>,
}

/// Looks at every claim of a name and draws the consequences.
pub(super) async fn verify(
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
) -> Result<(), CliError> {
    let watch = watch(config, store).await?;
    for due in store.domain_to_look_at(hostname).await? {
        let looked = watch.look(&due).await;
        store.domain_looked(&looked, &watch.settings).await?;
    }
    // Whoever has this looked at has just put something right.
    store.hurry_order(hostname).await?;
    Ok(())
}

/// Says all that can be said of a name. Changes nothing.
pub(super) async fn doctor(
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
    output: OutputOption,
) -> Result<(), CliError> {
    let mut watch = watch(config, store).await?;
    ask_identities(config, &mut watch).await;
    let order = store.order(hostname).await?;
    let now = watch.clock.now();
    let waits = Waits::of(config, store, order.as_ref(), now).await?;
    let mut findings = Vec::new();
    if own::is_own(config, hostname) {
        findings.push(Findings {
            hostname: hostname.to_string(),
            tenant: None,
            state: None,
            checks: own::look(config, store, &watch, hostname, order.as_ref()).await?,
        });
    }
    let due = match findings.is_empty() {
        true => store.domain_to_look_at(hostname).await?,
        false => Vec::new(),
    };
    for DueLook { claim, .. } in due {
        let mut checks = watch.doctor(&claim).await;
        // What only the store knows of was written down when the name was last looked at.
        let known = |check: &&Check| checks.iter().all(|other| other.code != check.code);
        let kept: Vec<Check> = claim.checks.iter().filter(known).cloned().collect();
        checks.extend(kept.into_iter().filter(looks::is_of_the_store));
        if claim.state.holds() {
            waits.iter().for_each(|it| it.tell(&mut checks, now));
        }
        findings.push(Findings {
            hostname: claim.pattern.to_string(),
            tenant: Some(claim.tenant_slug.to_string()),
            state: Some(claim.state),
            checks: with_order(checks, Some(claim.state), order.as_ref()),
        });
    }
    output.print(&findings, |findings| {
        let one = |it: &Findings| {
            let head = match (&it.tenant, it.state) {
                (Some(tenant), Some(state)) => {
                    format!("{} of {tenant} ({})", it.hostname, state.as_str())
                }
                _ => format!("{}, your own", it.hostname),
            };
            format!("{head}\n{}", show::checks(&it.checks))
        };
        findings.iter().map(one).collect::<Vec<_>>().join("\n\n")
    })?;
    let all = findings.iter().flat_map(|it| &it.checks);
    match all.filter(|check| !check.ok).count() {
        0 => Ok(()),
        count => Err(CliError::Unwell {
            hostname: hostname.clone(),
            count,
        }),
    }
}

/// Gives a name to `tenant`: one that stands on an operator's word at once, one that was proved with the tenant's own proof, which
/// then counts more than that of whoever has the name.
pub(super) async fn give(
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
    (tenant, handover): (&TenantRef, Handover),
) -> Result<Domain, CliError> {
    match store.move_domain_with(hostname, tenant, handover).await {
        Err(StoreError::MoveNeedsProof { .. }) => {}
        moved => return Ok(moved?),
    }
    match store.add_domain(tenant, hostname, Claim::PENDING).await {
        Ok(_) => note(&format!("{hostname} is claimed for {tenant} now")),
        Err(StoreError::DomainExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let watch = watch(config, store).await?;
    let due = store.domain_to_look_at(hostname).await?;
    let to = store.tenant(tenant).await?.id;
    let own = due.into_iter().find(|due| due.claim.tenant == to);
    let own = own.ok_or_else(|| StoreError::UnknownDomain(hostname.clone()))?;
    let mut looked = watch.look(&own).await;
    if let Some(holder) = &mut looked.holder {
        (holder.proof, holder.handover) = (Seen::No, handover);
    }
    let outcome = store.domain_looked(&looked, &watch.settings).await?;
    match outcome.map(|outcome| outcome.domain) {
        Some(domain) if domain.state.holds() => Ok(domain),
        _ => Err(StoreError::MoveNeedsProof {
            pattern: hostname.clone(),
            tenant: own.claim.tenant_slug,
        }
        .into()),
    }
}

/// By which names CAA records mean the CAs: asked of those where it is not configured. One that does not answer is left out.
async fn ask_identities(config: &Config, watch: &mut NameWatch) {
    for (ca, settings) in watch.expected.cas.iter_mut().zip(&config.acme) {
        if !ca.identities.is_empty() {
            continue;
        }
        let Ok(asked) = AcmeCa::new(settings, watch.clock.clone()) else {
            continue;
        };
        match asked.directory().await {
            Ok(directory) => ca.identities = directory.caa_identities,
            Err(error) => note(&format!(
                "{} cannot be asked by which name CAA records mean it: {}",
                ca.directory_url,
                Causes(&error)
            )),
        }
    }
}

async fn watch(config: &Config, store: &Store) -> Result<NameWatch, CliError> {
    let looker = Looker::new(&config.domains).map_err(|error| CliError::Dns(Box::new(error)))?;
    let mut expected = Expected::new(config);
    for ca in &mut expected.cas {
        ca.account = store.acme_account_url(&ca.directory_url).await?;
    }
    Ok(NameWatch {
        looker,
        expected,
        settings: looks::settings(config),
        clock: Clock::system(),
        own_certificate: own_certificates(config),
    })
}

/// Whether the files of `[tls] directory` that can be read from here are good for a name.
fn own_certificates(config: &Config) -> Box<dyn Fn(&DomainPattern) -> bool + Send + Sync> {
    let now = Clock::system().now();
    let loaded = Metrics::new(0)
        .ok()
        .and_then(|metrics| Inventory::load(&config.tls, metrics, now).ok());
    match loaded {
        Some((inventory, _)) => Box::new(move |pattern| inventory.folder_covers(pattern, now)),
        None => Box::new(|_| false),
    }
}
