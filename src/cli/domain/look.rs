//! Verbs that look at names themselves: from here, not from a node.

use crate::acme::{AcmeCa, Ca};
use crate::cli::CliError;
use crate::cli::error::note;
use crate::clock::Clock;
use crate::config::Config;
use crate::domains::{Expected, Looker};
use crate::metrics::Metrics;
use crate::model::{Causes, DomainPattern};
use crate::store::{Claim, Domain, DueLook, Handover, Store, StoreError, TenantRef};
use crate::tasks::domains::{self as looks, NameWatch};
use crate::tls::Inventory;

/// Looks at every claim of a name, or that of one tenant, and draws the consequences.
pub(super) async fn verify(
    config: &Config,
    store: &Store,
    (hostname, tenant): (&DomainPattern, Option<&TenantRef>),
) -> Result<(), CliError> {
    let watch = watch(config, store).await?;
    for due in claims(store, hostname, tenant).await? {
        let looked = watch.look(&due).await;
        store.domain_looked(&looked, &watch.settings).await?;
    }
    // Whoever has this looked at has just put something right.
    store.hurry_order(hostname).await?;
    Ok(())
}

/// Every claim of a name that has not ended, or that of one tenant.
pub(super) async fn claims(
    store: &Store,
    hostname: &DomainPattern,
    tenant: Option<&TenantRef>,
) -> Result<Vec<DueLook>, CliError> {
    let mut due = match store.domain_to_look_at(hostname).await {
        Err(StoreError::UnknownDomain(_)) => return Err(nobodys(store, hostname).await?),
        due => due?,
    };
    if let Some(tenant) = tenant {
        let tenant = store.tenant(tenant).await?;
        due.retain(|due| due.claim.tenant == tenant.id);
        if due.is_empty() {
            let pattern = hostname.clone();
            let tenant = tenant.slug;
            return Err(StoreError::NotClaimed { pattern, tenant }.into());
        }
    }
    Ok(due)
}

/// That nobody has the name; or that it is served all the same, as one of all those below another.
pub(super) async fn nobodys(store: &Store, hostname: &DomainPattern) -> Result<CliError, CliError> {
    let parent = match hostname {
        DomainPattern::Exact(name) => name.parent_name(),
        DomainPattern::Wildcard(_) => None,
    };
    if let Some(wildcard) = parent.map(DomainPattern::Wildcard) {
        match store.domain_to_look_at(&wildcard).await {
            Err(StoreError::UnknownDomain(_)) => {}
            claimed => {
                claimed?;
                let hostname = hostname.clone();
                return Ok(CliError::Covered { hostname, wildcard });
            }
        }
    }
    Ok(StoreError::UnknownDomain(hostname.clone()).into())
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
    let state = own.holder.as_ref().map_or(own.claim.state, |it| it.state);
    let mut looked = watch.look(&own).await;
    if let Some(holder) = &mut looked.holder {
        (holder.given_away, holder.handover) = (true, handover);
    }
    let outcome = store.domain_looked(&looked, &watch.settings).await?;
    match outcome.map(|outcome| outcome.domain) {
        Some(domain) if domain.state.holds() => Ok(domain),
        _ => Err(StoreError::MoveNeedsProof {
            pattern: hostname.clone(),
            tenant: own.claim.tenant_slug,
            state,
        }
        .into()),
    }
}

/// By which names CAA records mean the CAs: asked of those where it is not configured. One that does not answer is left out.
pub(super) async fn ask_identities(config: &Config, watch: &mut NameWatch) {
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

pub(super) async fn watch(config: &Config, store: &Store) -> Result<NameWatch, CliError> {
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
