//! Custom domains: claims by tenants, of which at most one has the name.

use serde::{Serialize, Serializer};

use crate::model::domain_life::{Reason, Standing};
use crate::model::{Checks, DomainPattern, DomainState, Slug, TenantId};

use super::error::readable;
use super::session::Session;
use super::tenant_rows::{self as tenants, corrupt};
use super::tenants::{Page, TenantRef};
use super::values::Row;
use super::{BULK, READ, Store, StoreError};

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
    /// Why it is in this state: a name of [`Reason`].
    pub reason: String,
    /// Since when it has been in this state, in milliseconds since 1970.
    pub since: i64,
    /// What was seen of it when it was last looked at.
    pub checks: Checks,
    /// When it was last looked at, in milliseconds since 1970.
    pub checked_at: Option<i64>,
    /// When it will be looked at next, in milliseconds since 1970.
    pub next_look_at: Option<i64>,
    /// How often it was looked at in this state.
    pub looks: u32,
    /// What the record that proves control holds: 32 hexadecimal digits, drawn for this claim. It stands in DNS for all to see; here
    /// it is left out all the same, because an old one would mislead whoever reads it.
    #[serde(skip)]
    pub secret: String,
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
    /// On the operator's word or not.
    pub fn trusted_if(trusted: bool) -> Self {
        if trusted {
            Self::TRUSTED
        } else {
            Self::PENDING
        }
    }

    /// Waits for its proof.
    pub const PENDING: Self = Self {
        state: DomainState::Pending,
        trusted: false,
    };
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
            let mut items: Vec<Domain> = Vec::with_capacity(rows.len());
            for row in &rows {
                items.extend(readable(read(row), "a claim")?);
            }
            let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
            let next = items.last().filter(|_| full).map(|last| DomainCursor {
                pattern: last.pattern.clone(),
                tenant: last.tenant,
            });
            Ok(Page { items, next })
        };
        self.timed("domains", BULK, work).await
    }
}

impl Domain {
    /// A claim from its first moment on.
    pub(super) fn begun(
        pattern: DomainPattern,
        (tenant, tenant_slug): (TenantId, Slug),
        claim: Claim,
        why: Reason,
        now: i64,
    ) -> Self {
        Self {
            pattern,
            tenant,
            tenant_slug,
            state: claim.state,
            trusted: claim.trusted,
            reason: why.as_str().into(),
            since: now,
            checks: Checks::default(),
            checked_at: None,
            next_look_at: Some(now),
            looks: 0,
            secret: new_secret(),
            created_at: now,
            updated_at: now,
        }
    }

    /// As far as its life goes.
    pub fn standing(&self) -> Standing {
        Standing {
            state: self.state,
            trusted: self.trusted,
            since: self.since,
            looks: self.looks,
            why: Reason::from_name(&self.reason),
        }
    }

    /// Whether the claim stands, as opposed to having ended.
    pub(super) fn is_live(&self) -> bool {
        !matches!(self.state, DomainState::Removed | DomainState::Lapsed)
    }
}

/// 128 bits in lower-case hexadecimal: a DNS label, which has no case.
pub(super) fn new_secret() -> String {
    format!("{:032x}", rand::random::<u128>())
}

impl Store {
    /// How many claims there are in each state.
    pub async fn domain_states(&self) -> Result<Vec<(DomainState, i64)>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let count = "select state, count(*) as many from domains group by state";
            let rows = session.rows(count, &[]).await?;
            let read = |row: &Row| {
                let state: &str = row.get("state")?;
                let known =
                    DomainState::from_name(state).ok_or_else(|| corrupt("domain's state", state));
                Ok((known?, row.get("many")?))
            };
            let mut states = Vec::with_capacity(rows.len());
            for row in &rows {
                states.extend(readable(read(row), "a claim's state")?);
            }
            Ok(states)
        };
        self.timed("domain_states", BULK, work).await
    }
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
        reason: row.get("reason")?,
        since: row.get("since")?,
        checks: Checks::from_stored(row.get("checks")?),
        checked_at: row.get("checked_at")?,
        next_look_at: row.get("next_look_at")?,
        looks: u32::try_from(row.get::<i64>("looks")?).unwrap_or(u32::MAX),
        secret: row.get("secret")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Every claim of a name: first who has it, then those that wait, then those that have ended.
pub(super) async fn claims(
    session: &mut Session,
    pattern: &DomainPattern,
) -> Result<Vec<Domain>, StoreError> {
    let pattern = pattern.to_string();
    let rows = session.rows(BY_PATTERN, &[(&pattern).into()]).await?;
    let mut claims: Vec<Domain> = rows.iter().map(read).collect::<Result<_, _>>()?;
    claims.sort_by_key(|claim| {
        (
            !claim.state.is_routed(),
            !claim.state.holds(),
            !claim.is_live(),
            claim.created_at,
        )
    });
    Ok(claims)
}

fn as_text<S: Serializer>(pattern: &DomainPattern, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pattern)
}

/// A domain's columns, for [`read`], and where they come from.
macro_rules! domain_columns {
    () => {
        "select d.pattern as pattern, d.tenant as tenant, t.slug as slug, d.state as state, d.trusted as trusted, \
         d.reason as reason, d.since as since, d.checks as checks, d.checked_at as checked_at, d.next_look_at as next_look_at, \
         d.looks as looks, d.secret as secret, d.created_at as created_at, d.updated_at as updated_at \
         from domains d join tenants t on t.id = d.tenant where "
    };
}

pub(super) use domain_columns;

const BY_PATTERN: &str = concat!(domain_columns!(), "d.pattern = $1");
const PAGE: &str = concat!(
    domain_columns!(),
    "(d.pattern, d.tenant) > ($1, $2) and ($3 is null or d.tenant = $3) and d.state <> 'removed' \
     order by d.pattern, d.tenant limit $4"
);
/// See [`Session::rows_with`].
pub(super) const HELD_IN: &str = concat!(
    domain_columns!(),
    "d.state in ('verified', 'active', 'degraded') and d.pattern in"
);
/// See [`Session::rows_with`].
pub(super) const LIVE_OF: &str = concat!(domain_columns!(), "d.state <> 'removed' and d.tenant in");
