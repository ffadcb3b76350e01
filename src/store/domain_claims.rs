//! Claims begin, move and end: what tenants and operators do. What is seen of names is `domain_looks.rs`.

use serde_json::json;

use crate::model::domain_life::Reason;
use crate::model::{DomainPattern, DomainState, LookupKey, TenantId};

use super::changes::domain_key;
use super::domain_tls::hand_over;
use super::domains::{Claim, Domain, claims, pattern};
use super::events::Event;
use super::tenant_rows as tenants;
use super::tenants::TenantRef;
use super::writing::Writing;
use super::{Changed, Store, StoreError, WRITE, certificate_owners};

/// What goes along with a name to its next tenant: what it demands of its visitors, and a certificate that was brought for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Handover {
    /// Nothing: they are the old tenant's.
    #[default]
    Nothing,
    /// Both: the customer stays the same.
    Tls,
}

impl Store {
    /// Claims a name for a tenant; each claim has its own secret, so an old proof never counts. Refused: a name that the tenant has (a
    /// removed or lapsed claim of its own begins anew), and one that another has where this claim would be routed at once.
    pub async fn add_domain(
        &self,
        tenant: &TenantRef,
        pattern: &DomainPattern,
        claim: Claim,
    ) -> Result<Domain, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let tenant = tenants::present(&mut tx, tenant).await?;
            let claims = claims_locked(&mut tx, pattern).await?;
            let own = claims.iter().find(|other| other.tenant == tenant.id);
            if own.is_some_and(Domain::is_live) {
                return Err(StoreError::DomainExists {
                    pattern: pattern.clone(),
                    tenant: tenant.slug,
                });
            }
            let holder = claims.iter().find(|other| other.state.holds());
            if let Some(holder) = holder.filter(|_| claim.state.holds()) {
                let tenant = holder.tenant_slug.clone();
                return Err(StoreError::DomainTaken {
                    pattern: pattern.clone(),
                    tenant,
                });
            }
            let why = match claim.trusted {
                true => Reason::Trusted,
                false => Reason::Claimed,
            };
            let now = tx.now().0;
            let domain = Domain::begun(pattern.clone(), (tenant.id, tenant.slug), claim, why, now);
            put(&mut tx, &domain).await?;
            if domain.state.holds() {
                certificate_owners::taken(&mut tx, &pattern.to_string()).await?;
            }
            audit(&mut tx, "domain.add", &domain).await?;
            announce_state(&mut tx, &domain, why).await?;
            finish(tx, &domain, claim.state.is_routed()).await?;
            Ok(domain)
        };
        self.timed("domain_add", WRITE, work).await
    }

    /// Gives a name that stands on an operator's word to another tenant, in one step: it is routed to the one or the other at any
    /// moment. It keeps its state; the old claim becomes a tombstone. One that was proved moves with the new tenant's own proof only
    /// ([`Store::domain_looked`]).
    pub async fn move_domain(
        &self,
        pattern: &DomainPattern,
        to: &TenantRef,
    ) -> Result<Domain, StoreError> {
        self.move_domain_with(pattern, to, Handover::Nothing).await
    }

    /// As [`Store::move_domain`], and `handover` goes with it.
    pub async fn move_domain_with(
        &self,
        pattern: &DomainPattern,
        to: &TenantRef,
        handover: Handover,
    ) -> Result<Domain, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let to = tenants::present(&mut tx, to).await?;
            let mut claims = claims_locked(&mut tx, pattern).await?;
            let waiting = claims
                .iter()
                .find(|claim| claim.tenant == to.id && claim.state != DomainState::Removed)
                .map(|claim| claim.secret.clone());
            // Who has the name, else whoever else claims it.
            claims.sort_by_key(|claim| (!claim.state.holds(), claim.tenant == to.id));
            let old = live(claims, pattern)?;
            if old.tenant == to.id {
                return Err(StoreError::DomainExists {
                    pattern: pattern.clone(),
                    tenant: to.slug,
                });
            }
            if !old.trusted {
                return Err(StoreError::MoveNeedsProof {
                    pattern: pattern.clone(),
                    tenant: to.slug,
                    state: old.state,
                });
            }
            bury(&mut tx, &old, Reason::GivenAway).await?;
            let now = tx.now().0;
            let claim = Claim {
                state: old.state,
                trusted: true,
            };
            let mut moved =
                Domain::begun(pattern.clone(), (to.id, to.slug), claim, Reason::Moved, now);
            // A claim of the new tenant's own that waited goes on, with what it demands.
            moved.secret = waiting.unwrap_or(moved.secret);
            put(&mut tx, &moved).await?;
            if moved.state.holds() {
                certificate_owners::taken(&mut tx, &pattern.to_string()).await?;
            }
            if handover == Handover::Tls {
                hand_over(&mut tx, &old, &moved).await?;
            }
            let why = Reason::GivenAway.text();
            let detail = format!("from {} to {}: {why}", old.tenant_slug, moved.tenant_slug);
            tx.audit("domain.move", &pattern.to_string(), &detail)
                .await?;
            announce_state(&mut tx, &moved, Reason::Moved).await?;
            finish(tx, &moved, old.state.is_routed()).await?;
            Ok(moved)
        };
        self.timed("domain_move", WRITE, work).await
    }

    /// Ends a claim: that of `tenant`, or without one the routed claim, else the oldest. Returns what it was.
    pub async fn remove_domain(
        &self,
        pattern: &DomainPattern,
        tenant: Option<&TenantRef>,
    ) -> Result<Domain, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let tenant = match tenant {
                Some(tenant) => Some(tenants::find(&mut tx, tenant).await?.id),
                None => None,
            };
            let mut claims = claims_locked(&mut tx, pattern).await?;
            claims.retain(|claim| tenant.is_none_or(|tenant| tenant == claim.tenant));
            let domain = live(claims, pattern)?;
            bury(&mut tx, &domain, Reason::Withdrawn).await?;
            audit(&mut tx, "domain.remove", &domain).await?;
            finish(tx, &domain, domain.state.holds()).await?;
            Ok(domain)
        };
        self.timed("domain_remove", WRITE, work).await
    }
}

const CLAIMS_SQLITE: &str =
    "select pattern, state from domains where tenant = $1 and state <> 'removed' order by pattern";
const CLAIMS_POSTGRES: &str = "select pattern, state from domains where tenant = $1 and state <> 'removed' order by pattern for update";

/// Ends every claim of a removed tenant; the names that it had.
pub(super) async fn remove_all(
    tx: &mut Writing,
    tenant: TenantId,
) -> Result<Vec<LookupKey>, StoreError> {
    // Locked as they are read: what a look makes of them meanwhile would be told to nobody.
    let sql = tx.either(CLAIMS_SQLITE, CLAIMS_POSTGRES);
    let rows = tx.rows(sql, &[tenant.0.into()]).await?;
    let now = tx.now().0;
    certificate_owners::left_all(tx, tenant).await?;
    tx.run(
        "update domains set state = 'removed', reason = $3, since = $2, updated_at = $2, next_look_at = null \
         where tenant = $1 and state <> 'removed'",
        &[
            tenant.0.into(),
            now.into(),
            Reason::TenantRemoved.as_str().into(),
        ],
    )
    .await?;
    let (mut routed, mut events) = (Vec::new(), Vec::new());
    for row in &rows {
        let (name, state): (&str, &str) = (row.get("pattern")?, row.get("state")?);
        events.push(state_event(
            name,
            tenant,
            DomainState::Removed,
            Reason::TenantRemoved,
        ));
        if DomainState::from_name(state).is_some_and(DomainState::holds) {
            routed.push(domain_key(pattern(name)?));
        }
    }
    tx.audit_events(&events, Reason::TenantRemoved.text())
        .await?;
    tx.events(&events).await?;
    Ok(routed)
}

/// The claims of a name that nobody else can change until this transaction ends. The lock is on the name, not on rows: on
/// PostgreSQL two tenants could add theirs side by side.
pub(super) async fn claims_locked(
    tx: &mut Writing,
    pattern: &DomainPattern,
) -> Result<Vec<Domain>, StoreError> {
    tx.lock(name_lock(&pattern.to_string())).await?;
    let name = pattern.to_string();
    // The rows too: a tenant's removal ends its claims without knowing their names.
    let locked = tx.either(CLAIMS, CLAIMS_LOCKED);
    tx.rows(locked, &[(&name).into()]).await?;
    claims(tx, pattern).await
}

const CLAIMS: &str = "select 1 as one from domains where pattern = $1";
const CLAIMS_LOCKED: &str =
    "select 1 as one from domains where pattern = $1 order by tenant for update";

/// A lock number of a name (FNV-1a, 64 bits). Two names that share one only wait for each other.
pub(super) fn name_lock(name: &str) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.cast_signed()
}

fn live(claims: Vec<Domain>, pattern: &DomainPattern) -> Result<Domain, StoreError> {
    claims
        .into_iter()
        .find(|claim| claim.state != DomainState::Removed)
        .ok_or_else(|| StoreError::UnknownDomain(pattern.clone()))
}

/// Writes a claim as it is now; one of the same tenant that has ended makes room. A claim that has begun anew demands nothing of visitors:
/// whoever claims a name again, perhaps for somebody else, would not expect what was set for the old one.
pub(super) async fn put(tx: &mut Writing, domain: &Domain) -> Result<(), StoreError> {
    let pattern = domain.pattern.to_string();
    let checks = domain.checks.to_stored();
    tx.run(
        "insert into domains (pattern, tenant, state, trusted, created_at, updated_at, secret, reason, since, looks, \
         checks, checked_at, next_look_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         on conflict (pattern, tenant) do update set state = excluded.state, trusted = excluded.trusted, \
         created_at = excluded.created_at, updated_at = excluded.updated_at, secret = excluded.secret, \
         reason = excluded.reason, since = excluded.since, looks = excluded.looks, checks = excluded.checks, \
         checked_at = excluded.checked_at, next_look_at = excluded.next_look_at, \
         minimum_tls = case when domains.secret = excluded.secret then domains.minimum_tls end, \
         client_ca = case when domains.secret = excluded.secret then domains.client_ca end",
        &[
            (&pattern).into(),
            domain.tenant.0.into(),
            domain.state.as_str().into(),
            i64::from(domain.trusted).into(),
            domain.created_at.into(),
            domain.updated_at.into(),
            (&domain.secret).into(),
            (&domain.reason).into(),
            domain.since.into(),
            i64::from(domain.looks).into(),
            (&checks).into(),
            domain.checked_at.into(),
            domain.next_look_at.into(),
        ],
    )
    .await
    .map(drop)
}

/// Makes a claim a tombstone.
pub(super) async fn bury(tx: &mut Writing, domain: &Domain, why: Reason) -> Result<(), StoreError> {
    let buried = Domain {
        state: DomainState::Removed,
        reason: why.as_str().into(),
        since: tx.now().0,
        updated_at: tx.now().0,
        next_look_at: None,
        ..domain.clone()
    };
    put(tx, &buried).await?;
    if domain.state.holds() {
        certificate_owners::left(tx, &domain.pattern.to_string(), domain.tenant).await?;
    }
    announce_state(tx, &buried, why).await
}

async fn audit(tx: &mut Writing, action: &'static str, domain: &Domain) -> Result<(), StoreError> {
    let trusted = if domain.trusted { ", trusted" } else { "" };
    let detail = format!("{}, {}{trusted}", domain.tenant_slug, domain.state.as_str());
    tx.audit(action, &domain.pattern.to_string(), &detail).await
}

/// The event of a claim's new state.
pub(super) async fn announce_state(
    tx: &mut Writing,
    domain: &Domain,
    why: Reason,
) -> Result<(), StoreError> {
    let name = domain.pattern.to_string();
    tx.event(state_event(&name, domain.tenant, domain.state, why))
        .await
}

fn state_event(name: &str, tenant: TenantId, state: DomainState, why: Reason) -> Event<'_> {
    Event {
        kind: state.into(),
        subject: name,
        tenant: Some(tenant),
        data: json!({ "state": state.as_str(), "reason": why.as_str(), "text": why.text() }),
    }
}

/// Commits. A claim that has nothing changes no answer of the data plane and no wish for a certificate, so it makes no noise.
pub(super) async fn finish(
    tx: Writing,
    domain: &Domain,
    routing_changed: bool,
) -> Result<(), StoreError> {
    if !routing_changed {
        return tx.finish_unannounced().await;
    }
    let id = domain.tenant;
    let names = vec![domain_key(domain.pattern.clone())];
    tx.finish(&Changed::Tenant { id, names }).await
}
