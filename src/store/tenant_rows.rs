//! Tenants as rows: read, checked, written.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::model::tenant::MAX_META;
use crate::model::{Slug, Tenant, TenantId, TenantState};

use super::session::Session;
use super::tenants::TenantRef;
use super::values::{Arg, Row};
use super::writing::Writing;
use super::{StoreError, slugs};

/// Longest display name, in characters.
const MAX_NAME: usize = 200;
/// Longest name of a plan or an upstream, in characters.
const MAX_LABEL: usize = 64;

/// A tenant's columns, for [`read`].
macro_rules! tenant_columns {
    () => {
        "t.id as id, t.slug as slug, t.name as name, t.state as state, t.progress as progress, t.plan as plan, \
         t.upstream as upstream, t.limits as limits, t.placement as placement, t.meta as meta, t.version as version, \
         t.created_at as created_at, t.updated_at as updated_at, t.removed_at as removed_at"
    };
}
pub(super) use tenant_columns;

/// The tenant and its aliases.
pub(super) async fn find(session: &mut Session, tenant: &TenantRef) -> Result<Tenant, StoreError> {
    let row = match tenant {
        TenantRef::Id(id) => session.row(BY_ID, &[id.0.into()]).await?,
        TenantRef::Slug(slug) => session.row(BY_SLUG, &[slug.as_str().into()]).await?,
    };
    let row = row.ok_or_else(|| StoreError::UnknownTenant(tenant.to_string()))?;
    let mut found = read(&row)?;
    found.aliases = slugs::aliases(session, found.id).await?;
    Ok(found)
}

/// Like [`find`], and nobody else can change the row until this transaction ends: what is read here may be written back.
pub(super) async fn find_locked(
    tx: &mut Writing,
    tenant: &TenantRef,
) -> Result<Tenant, StoreError> {
    let found = find(tx, tenant).await?;
    if !tx.either(false, true) {
        return Ok(found);
    }
    tx.run(
        "select 1 from tenants where id = $1 for update",
        &[found.id.0.into()],
    )
    .await?;
    find(tx, &TenantRef::Id(found.id)).await
}

/// Like [`find_locked`], for what cannot be done to a removed tenant.
pub(super) async fn present(tx: &mut Writing, tenant: &TenantRef) -> Result<Tenant, StoreError> {
    let found = find_locked(tx, tenant).await?;
    match found.state {
        TenantState::Removed => Err(StoreError::TenantRemoved(found.slug)),
        _ => Ok(found),
    }
}

/// Writes a changed tenant back, one version further.
pub(super) async fn save(tx: &mut Writing, tenant: &mut Tenant) -> Result<(), StoreError> {
    check(tenant)?;
    tenant.version += 1;
    tenant.updated_at = tx.now().0;
    let stored = Stored::new(tenant)?;
    tx.run(UPDATE, &stored.row()).await.map(drop)
}

/// Tenants with an id above `after`, by id.
pub(super) async fn page(
    session: &mut Session,
    state: Option<TenantState>,
    after: Option<TenantId>,
    limit: u32,
) -> Result<Vec<Tenant>, StoreError> {
    let after = after.map_or(Uuid::nil(), |id| id.0);
    let state = state.map(TenantState::as_str);
    let rows = session
        .rows(PAGE, &[after.into(), state.into(), i64::from(limit).into()])
        .await?;
    let mut tenants: Vec<Tenant> = rows.iter().map(read).collect::<Result<_, _>>()?;
    slugs::add_aliases(session, &mut tenants).await?;
    Ok(tenants)
}

/// Reads [`tenant_columns`]; the aliases are elsewhere.
pub(super) fn read(row: &Row) -> Result<Tenant, StoreError> {
    let state: &str = row.get("state")?;
    let limits: &str = row.get("limits")?;
    let placement: &str = row.get("placement")?;
    let meta: Option<&str> = row.get("meta")?;
    Ok(Tenant {
        id: TenantId(row.get("id")?),
        slug: slug(row.get("slug")?)?,
        name: row.get("name")?,
        state: TenantState::from_name(state).ok_or_else(|| corrupt("tenant's state", state))?,
        progress: u8::try_from(row.get::<i64>("progress")?).unwrap_or(100),
        plan: row.get("plan")?,
        upstream: row.get("upstream")?,
        limits: serde_json::from_str(limits).map_err(|_| corrupt("tenant's limits", limits))?,
        placement: serde_json::from_str(placement)
            .map_err(|_| corrupt("tenant's placement", placement))?,
        meta: match meta {
            Some(meta) => serde_json::from_str(meta).map_err(|_| corrupt("tenant's meta", meta))?,
            None => Map::new(),
        },
        aliases: Vec::new(),
        version: row.get::<i64>("version")?.unsigned_abs(),
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        removed_at: row.get("removed_at")?,
    })
}

/// Reads a slug column.
pub(super) fn slug(text: &str) -> Result<Slug, StoreError> {
    Slug::parse(text).map_err(|_| corrupt("slug", text))
}

/// `meta` as it stands in the assertion.
pub(super) fn compact(meta: &Map<String, Value>) -> String {
    serde_json::to_string(meta).unwrap_or_default()
}

pub(super) fn corrupt(what: &'static str, value: &str) -> StoreError {
    StoreError::Corrupt {
        what,
        value: value.chars().take(80).collect(),
    }
}

/// Refuses texts that do not fit.
pub(super) fn check(tenant: &Tenant) -> Result<(), StoreError> {
    check_text("name", &tenant.name, MAX_NAME)?;
    check_text("plan", tenant.plan.as_deref().unwrap_or("-"), MAX_LABEL)?;
    check_text(
        "upstream",
        tenant.upstream.as_deref().unwrap_or("-"),
        MAX_LABEL,
    )?;
    match compact(&tenant.meta).len() {
        bytes if bytes > MAX_META => Err(StoreError::MetaTooLarge(bytes)),
        _ => Ok(()),
    }
}

/// Control characters have no business in labels that end up in headers, logs and terminals; PostgreSQL takes no NUL at all.
fn check_text(field: &'static str, text: &str, longest: usize) -> Result<(), StoreError> {
    let reason = if text.is_empty() {
        "is empty"
    } else if text.chars().take(longest + 1).count() > longest {
        "is too long"
    } else if text.chars().any(char::is_control) {
        "has control characters in it"
    } else {
        return Ok(());
    };
    Err(StoreError::BadText { field, reason })
}

/// A tenant in the shape of its row.
pub(super) struct Stored<'t> {
    tenant: &'t Tenant,
    version: i64,
    limits: String,
    placement: String,
    meta: Option<String>,
}

impl<'t> Stored<'t> {
    pub(super) fn new(tenant: &'t Tenant) -> Result<Self, StoreError> {
        let json = |result: serde_json::Result<String>| {
            result.map_err(|_| corrupt("tenant", tenant.slug.as_str()))
        };
        Ok(Self {
            tenant,
            version: i64::try_from(tenant.version).unwrap_or(i64::MAX),
            limits: json(serde_json::to_string(&tenant.limits))?,
            placement: json(serde_json::to_string(&tenant.placement))?,
            meta: (!tenant.meta.is_empty()).then(|| compact(&tenant.meta)),
        })
    }

    /// The columns of [`INSERT`] and [`UPDATE`].
    pub(super) fn row(&self) -> Vec<Arg<'_>> {
        let tenant = self.tenant;
        vec![
            tenant.id.0.into(),
            tenant.slug.as_str().into(),
            (&tenant.name).into(),
            tenant.state.as_str().into(),
            i64::from(tenant.progress).into(),
            tenant.plan.as_deref().into(),
            tenant.upstream.as_deref().into(),
            (&self.limits).into(),
            (&self.placement).into(),
            self.meta.as_deref().into(),
            self.version.into(),
            tenant.created_at.into(),
            tenant.updated_at.into(),
            tenant.removed_at.into(),
        ]
    }
}

pub(super) const INSERT: &str = "insert into tenants (id, slug, name, state, progress, plan, upstream, limits, placement, meta, \
     version, created_at, updated_at, removed_at) values";
const UPDATE: &str = "update tenants set slug = $2, name = $3, state = $4, progress = $5, plan = $6, upstream = $7, \
     limits = $8, placement = $9, meta = $10, version = $11, created_at = $12, updated_at = $13, removed_at = $14 \
     where id = $1";
const BY_ID: &str = concat!(
    "select ",
    tenant_columns!(),
    " from tenants t where t.id = $1"
);
const BY_SLUG: &str = concat!(
    "select ",
    tenant_columns!(),
    " from slugs s join tenants t on t.id = s.tenant where s.slug = $1"
);
const PAGE: &str = concat!(
    "select ",
    tenant_columns!(),
    " from tenants t where t.id > $1 and ($2 is null or t.state = $2) order by t.id limit $3"
);
