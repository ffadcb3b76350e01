//! A claim's steps as they are written down: its state, an audit row and an event for each, and whose certificates are.

use crate::model::EventKind;
use crate::model::domain_life::{Reason, Step};

use super::domain_claims::{announce_state, bury};
use super::domains::Domain;
use super::writing::Writing;
use super::{StoreError, certificate_owners};

/// Takes a claim through `steps`, with an audit row and an event for each; whether nodes must hear of it: the name is routed
/// otherwise than before, or certificates are ordered for it from now on, or no more.
pub(super) async fn walk(
    tx: &mut Writing,
    domain: &mut Domain,
    steps: &[Step],
) -> Result<bool, StoreError> {
    let (was_routed, did_hold) = (domain.state.is_routed(), domain.state.holds());
    for step in steps {
        let from = domain.state;
        debug_assert!(from.leads_to(step.to), "{from:?} -> {:?}", step.to);
        domain.state = step.to;
        let before = format!("was {}", from.as_str());
        tell(tx, domain, step.why, &before).await?;
    }
    let name = domain.pattern.to_string();
    match (did_hold, domain.state.holds()) {
        (true, false) => certificate_owners::left(tx, &name, domain.tenant).await?,
        (false, true) => certificate_owners::taken(tx, &name).await?,
        _ => {}
    }
    Ok(was_routed != domain.state.is_routed() || did_hold != domain.state.holds())
}

/// The claim keeps its state, for another reason and so for a new time.
pub(super) async fn stay(
    tx: &mut Writing,
    domain: &mut Domain,
    why: Reason,
) -> Result<(), StoreError> {
    let before = format!("still {}", domain.state.as_str());
    tell(tx, domain, why, &before).await
}

async fn tell(
    tx: &mut Writing,
    domain: &mut Domain,
    why: Reason,
    before: &str,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    domain.reason = why.as_str().into();
    (domain.since, domain.updated_at) = (now, now);
    let detail = format!("{}, {before}: {}", domain.tenant_slug, why.text());
    let name = domain.pattern.to_string();
    let kind = EventKind::from(domain.state);
    tx.audit(kind.as_str(), &name, &detail).await?;
    announce_state(tx, domain, why).await
}

/// Ends the claim of who had the name, for `new`.
pub(super) async fn displace(
    tx: &mut Writing,
    old: &Domain,
    new: &Domain,
    why: Reason,
) -> Result<(), StoreError> {
    bury(tx, old, why).await?;
    let (from, to, why) = (&old.tenant_slug, &new.tenant_slug, why.text());
    let detail = format!("from {from} to {to}: {why}");
    tx.audit("domain.move", &old.pattern.to_string(), &detail)
        .await
}
