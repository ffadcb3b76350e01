//! Custom domains: claims by tenants, of which at most one for a name is routed.

use serde::{Serialize, Serializer};

use crate::model::{DomainPattern, DomainState, LookupKey, Slug, TenantId};

use super::changes::domain_key;
use super::session::Session;
use super::tenant_rows::{self as tenants, corrupt};
use super::tenants::{Page, TenantRef};
use super::values::Row;
use super::writing::Writing;
use super::{BULK, Changed, READ, Store, StoreError, WRITE};

/// One tenant's claim of one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Domain {
    /// The name.
    #[serde(rename = "hostname", serialize_with = "as_text")]
    pub pattern: DomainPattern,
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's slug.
    pub tenant_slug: Slug,
    /// Where it stands in its life.
    pub state: DomainState,
    /// Whether an operator vouched for it, so that no proof is asked for.
    pub trusted: bool,
    /// When it was claimed, in milliseconds since 1970.
    pub created_at: i64,
    /// When it last changed, in milliseconds since 1970.
    pub updated_at: i64,
}

/// How a claim begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Its first state.
    pub state: DomainState,
    /// Whether an operator vouches for it.
    pub trusted: bool,
}

impl Claim {
    /// Routed at once, on the operator's word.
    pub const TRUSTED: Self = Self {
        state: DomainState::Active,
        trusted: true,
    };
}

/// Where a list of domains goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainCursor {
    /// The last name of the part before.
    pub pattern: DomainPattern,
    /// Its tenant.
    pub tenant: TenantId,
}

impl Store {
    /// Claims a name for a tenant. Refused: a name that the tenant has (a removed or lapsed claim of its own begins anew), and one
    /// that is routed to another where this claim would be routed too.
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
            let routed = claims.iter().find(|other| other.state.is_routed());
            if let Some(routed) = routed.filter(|_| claim.state.is_routed()) {
                let tenant = routed.tenant_slug.clone();
                return Err(StoreError::DomainTaken {
                    pattern: pattern.clone(),
                    tenant,
                });
            }
            let now = tx.now().0;
            let domain = Domain {
                pattern: pattern.clone(),
                tenant: tenant.id,
                tenant_slug: tenant.slug,
                state: claim.state,
                trusted: claim.trusted,
                created_at: now,
                updated_at: now,
            };
            put(&mut tx, &domain).await?;
            audit(&mut tx, "domain.add", &domain).await?;
            announce(tx, tenant.id, pattern, claim.state.is_routed()).await?;
            Ok(domain)
        };
        self.timed("domain_add", WRITE, work).await
    }

    /// Every claim of a name, the routed one first, tombstones last.
    pub async fn domain(&self, pattern: &DomainPattern) -> Result<Vec<Domain>, StoreError> {
        let work = async {
            let claims = claims(&mut self.inner.reading().await?, pattern).await?;
            match claims.is_empty() {
                true => Err(StoreError::UnknownDomain(pattern.clone())),
                false => Ok(claims),
            }
        };
        self.timed("domain", READ, work).await
    }

    /// Claims by name, tombstones left out, at most `limit`, those after `after`, those of `tenant` where given.
    pub async fn domains(
        &self,
        tenant: Option<&TenantRef>,
        after: Option<&DomainCursor>,
        limit: u32,
    ) -> Result<Page<Domain, DomainCursor>, StoreError> {
        let work = async {
            let mut session = self.inner.snapshot().await?;
            let tenant = match tenant {
                Some(tenant) => Some(tenants::find(&mut session, tenant).await?.id.0),
                None => None,
            };
            let (pattern, last) = match after {
                Some(after) => (after.pattern.to_string(), after.tenant.0),
                None => (String::new(), uuid::Uuid::nil()),
            };
            let rows = session
                .rows(
                    PAGE,
                    &[
                        (&pattern).into(),
                        last.into(),
                        tenant.into(),
                        i64::from(limit).into(),
                    ],
                )
                .await?;
            let items: Vec<Domain> = rows.iter().map(read).collect::<Result<_, _>>()?;
            let full = items.len() == usize::try_from(limit).unwrap_or(usize::MAX);
            let next = items.last().filter(|_| full).map(|last| DomainCursor {
                pattern: last.pattern.clone(),
                tenant: last.tenant,
            });
            Ok(Page { items, next })
        };
        self.timed("domains", BULK, work).await
    }

    /// Gives a name to another tenant, in one step: it is routed to the one or the other at any moment. It keeps its state and its
    /// trust; the old claim becomes a tombstone.
    pub async fn move_domain(
        &self,
        pattern: &DomainPattern,
        to: &TenantRef,
    ) -> Result<Domain, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let to = tenants::present(&mut tx, to).await?;
            let old = live(claims_locked(&mut tx, pattern).await?, pattern)?;
            if old.tenant == to.id {
                return Err(StoreError::DomainExists {
                    pattern: pattern.clone(),
                    tenant: to.slug,
                });
            }
            bury(&mut tx, &old).await?;
            let now = tx.now().0;
            let moved = Domain {
                tenant: to.id,
                tenant_slug: to.slug,
                created_at: now,
                updated_at: now,
                ..old.clone()
            };
            put(&mut tx, &moved).await?;
            let detail = format!("from {} to {}", old.tenant_slug, moved.tenant_slug);
            tx.audit("domain.move", &pattern.to_string(), &detail)
                .await?;
            announce(tx, moved.tenant, pattern, old.state.is_routed()).await?;
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
            bury(&mut tx, &domain).await?;
            audit(&mut tx, "domain.remove", &domain).await?;
            announce(tx, domain.tenant, pattern, domain.state.is_routed()).await?;
            Ok(domain)
        };
        self.timed("domain_remove", WRITE, work).await
    }
}

impl Domain {
    /// Whether the claim stands, as opposed to having ended.
    fn is_live(&self) -> bool {
        !matches!(self.state, DomainState::Removed | DomainState::Lapsed)
    }
}

/// Ends every claim of a removed tenant; the names that were routed to it.
pub(super) async fn remove_all(
    tx: &mut Writing,
    tenant: TenantId,
) -> Result<Vec<LookupKey>, StoreError> {
    let rows = tx
        .rows(
            "select pattern from domains where tenant = $1 and state in ('active', 'degraded') order by pattern",
            &[tenant.0.into()],
        )
        .await?;
    let now = tx.now().0;
    tx.run(
        "update domains set state = 'removed', updated_at = $2 where tenant = $1 and state <> 'removed'",
        &[tenant.0.into(), now.into()],
    )
    .await?;
    rows.iter()
        .map(|row| Ok(domain_key(pattern(row.get("pattern")?)?)))
        .collect()
}

/// Reads a pattern column.
pub(super) fn pattern(text: &str) -> Result<DomainPattern, StoreError> {
    DomainPattern::parse(text).map_err(|_| corrupt("domain", text))
}

/// Reads [`domain_columns`].
pub(super) fn read(row: &Row) -> Result<Domain, StoreError> {
    let state: &str = row.get("state")?;
    Ok(Domain {
        pattern: pattern(row.get("pattern")?)?,
        tenant: TenantId(row.get("tenant")?),
        tenant_slug: tenants::slug(row.get("slug")?)?,
        state: DomainState::from_name(state).ok_or_else(|| corrupt("domain's state", state))?,
        trusted: row.get::<i64>("trusted")? != 0,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

async fn claims(session: &mut Session, pattern: &DomainPattern) -> Result<Vec<Domain>, StoreError> {
    let pattern = pattern.to_string();
    let rows = session.rows(BY_PATTERN, &[(&pattern).into()]).await?;
    let mut claims: Vec<Domain> = rows.iter().map(read).collect::<Result<_, _>>()?;
    claims.sort_by_key(|claim| (!claim.state.is_routed(), !claim.is_live(), claim.created_at));
    Ok(claims)
}

/// The claims of a name that nobody else can change until this transaction ends. The lock is on the name, not on rows: on
/// PostgreSQL two tenants could add theirs side by side.
async fn claims_locked(
    tx: &mut Writing,
    pattern: &DomainPattern,
) -> Result<Vec<Domain>, StoreError> {
    tx.lock(name_lock(&pattern.to_string())).await?;
    claims(tx, pattern).await
}

/// A lock number of a name (FNV-1a, 64 bits). Two names that share one only wait for each other.
fn name_lock(name: &str) -> i64 {
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

async fn put(tx: &mut Writing, domain: &Domain) -> Result<(), StoreError> {
    let pattern = domain.pattern.to_string();
    tx.run(
        "insert into domains (pattern, tenant, state, trusted, created_at, updated_at) values ($1, $2, $3, $4, $5, $6) \
         on conflict (pattern, tenant) do update set state = excluded.state, trusted = excluded.trusted, \
         created_at = excluded.created_at, updated_at = excluded.updated_at",
        &[
            (&pattern).into(),
            domain.tenant.0.into(),
            domain.state.as_str().into(),
            i64::from(domain.trusted).into(),
            domain.created_at.into(),
            domain.updated_at.into(),
        ],
    )
    .await
    .map(drop)
}

async fn bury(tx: &mut Writing, domain: &Domain) -> Result<(), StoreError> {
    let (pattern, now) = (domain.pattern.to_string(), tx.now().0);
    tx.run(
        "update domains set state = 'removed', updated_at = $3 where pattern = $1 and tenant = $2",
        &[(&pattern).into(), domain.tenant.0.into(), now.into()],
    )
    .await
    .map(drop)
}

async fn audit(tx: &mut Writing, action: &'static str, domain: &Domain) -> Result<(), StoreError> {
    let trusted = if domain.trusted { ", trusted" } else { "" };
    let detail = format!("{}, {}{trusted}", domain.tenant_slug, domain.state.as_str());
    tx.audit(action, &domain.pattern.to_string(), &detail).await
}

/// A claim that is not routed changes no answer of the data plane, so it makes no noise.
async fn announce(
    tx: Writing,
    id: TenantId,
    pattern: &DomainPattern,
    routed: bool,
) -> Result<(), StoreError> {
    if !routed {
        return tx.finish_unannounced().await;
    }
    let names = vec![domain_key(pattern.clone())];
    tx.finish(&Changed::Tenant { id, names }).await
}

fn as_text<S: Serializer>(pattern: &DomainPattern, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pattern)
}

/// A domain's columns, for [`read`].
macro_rules! domain_columns {
    () => {
        "select d.pattern as pattern, d.tenant as tenant, t.slug as slug, d.state as state, d.trusted as trusted, \
         d.created_at as created_at, d.updated_at as updated_at from domains d join tenants t on t.id = d.tenant where "
    };
}

const BY_PATTERN: &str = concat!(domain_columns!(), "d.pattern = $1");
const PAGE: &str = concat!(
    domain_columns!(),
    "(d.pattern, d.tenant) > ($1, $2) and ($3 is null or d.tenant = $3) and d.state <> 'removed' \
     order by d.pattern, d.tenant limit $4"
);
/// See [`Session::rows_with`].
pub(super) const ROUTED_IN: &str = concat!(
    domain_columns!(),
    "d.state in ('active', 'degraded') and d.pattern in"
);
/// See [`Session::rows_with`].
pub(super) const LIVE_OF: &str = concat!(domain_columns!(), "d.state <> 'removed' and d.tenant in");
