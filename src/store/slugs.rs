//! Who has which slug: each tenant's current one and its old ones, and until when nobody else can have them.

use std::collections::HashMap;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::{Slug, Tenant, TenantId, TenantState};

use super::StoreError;
use super::error::Date;
use super::session::Session;
use super::tenant_rows::{corrupt, slug as read_slug};
use super::values::Row;
use super::writing::Writing;

/// How long a slug that was renamed or whose tenant was removed can go to nobody else unless it is configured: links and cookies of before must not lead to
/// a stranger.
pub const COOLOFF: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// A slug that somebody has or had.
pub(super) struct Held {
    tenant: TenantId,
    /// The tenant's slug now: another one where this is an alias.
    current: Slug,
    removed: bool,
    alias: bool,
    reserved_until: Option<i64>,
}

/// What [`held`] reads of a slug; ends so that a condition can be added.
macro_rules! held_columns {
    () => {
        "select s.slug as slug, s.tenant as tenant, s.kind as kind, s.reserved_until as reserved_until, \
         t.slug as current, t.state as state from slugs s join tenants t on t.id = s.tenant where s.slug "
    };
}
/// The same for many, see [`Session::rows_with`].
pub(super) const HELD_IN: &str = concat!(held_columns!(), "in");

/// Makes `slug` the current one of `tenant`: a new one, an alias of its own, or one whose cool-off is over.
pub(super) async fn claim(
    tx: &mut Writing,
    slug: &Slug,
    tenant: TenantId,
) -> Result<(), StoreError> {
    let row = tx
        .row(concat!(held_columns!(), "= $1"), &[slug.as_str().into()])
        .await?;
    if let Some(row) = row {
        let held = held(&row)?;
        if held.tenant != tenant {
            held.refusal(slug, tx.now()).map_or(Ok(()), Err)?;
        }
        tx.run("delete from slugs where slug = $1", &[slug.as_str().into()])
            .await?;
    }
    let inserted = tx
        .run(
            "insert into slugs (slug, tenant, kind) values ($1, $2, 'current')",
            &[slug.as_str().into(), tenant.0.into()],
        )
        .await;
    match inserted {
        Err(error) if error.is_duplicate() => Err(StoreError::SlugTaken(slug.clone())),
        other => other.map(drop),
    }
}

/// Makes a current slug an alias.
pub(super) async fn make_alias(tx: &mut Writing, slug: &Slug) -> Result<(), StoreError> {
    let until = tx.slug_free_at();
    tx.run(
        "update slugs set kind = 'alias', reserved_until = $2 where slug = $1",
        &[slug.as_str().into(), until.into()],
    )
    .await
    .map(drop)
}

/// Starts the cool-off of a removed tenant's slug.
pub(super) async fn release(tx: &mut Writing, tenant: TenantId) -> Result<(), StoreError> {
    let until = tx.slug_free_at();
    tx.run(
        "update slugs set reserved_until = $2 where tenant = $1 and kind = 'current'",
        &[tenant.0.into(), until.into()],
    )
    .await
    .map(drop)
}

/// Takes a released slug back; refused where it has gone to another tenant meanwhile.
pub(super) async fn take_back(tx: &mut Writing, tenant: &Tenant) -> Result<(), StoreError> {
    let taken = tx
        .run(
            "update slugs set reserved_until = null where slug = $1 and tenant = $2 and kind = 'current'",
            &[tenant.slug.as_str().into(), tenant.id.0.into()],
        )
        .await?;
    match taken {
        0 => Err(StoreError::SlugGone(tenant.slug.clone())),
        _ => Ok(()),
    }
}

/// A tenant's old slugs.
pub(super) async fn aliases(
    session: &mut Session,
    tenant: TenantId,
) -> Result<Vec<Slug>, StoreError> {
    let rows = session
        .rows(
            "select slug from slugs where tenant = $1 and kind = 'alias' order by slug",
            &[tenant.0.into()],
        )
        .await?;
    rows.iter().map(|row| read_slug(row.get("slug")?)).collect()
}

/// Fills in the aliases of many tenants.
pub(super) async fn add_aliases(
    session: &mut Session,
    tenants: &mut [Tenant],
) -> Result<(), StoreError> {
    let ids: Vec<_> = tenants.iter().map(|tenant| tenant.id.0.into()).collect();
    let rows = session
        .rows_with(
            "select tenant, slug from slugs where kind = 'alias' and tenant in",
            &ids,
        )
        .await?;
    let mut found: HashMap<Uuid, Vec<Slug>> = HashMap::new();
    for row in &rows {
        found
            .entry(row.get("tenant")?)
            .or_default()
            .push(read_slug(row.get("slug")?)?);
    }
    for tenant in tenants {
        tenant.aliases = found.remove(&tenant.id.0).unwrap_or_default();
        tenant.aliases.sort();
    }
    Ok(())
}

/// Reads a row of [`held_columns`].
pub(super) fn held(row: &Row) -> Result<Held, StoreError> {
    let state: &str = row.get("state")?;
    let state = TenantState::from_name(state).ok_or_else(|| corrupt("tenant's state", state))?;
    Ok(Held {
        tenant: TenantId(row.get("tenant")?),
        current: read_slug(row.get("current")?)?,
        removed: state == TenantState::Removed,
        alias: row.get::<&str>("kind")? == "alias",
        reserved_until: row.get("reserved_until")?,
    })
}

impl Held {
    /// Why nobody else can have the slug, if so.
    pub(super) fn refusal(self, slug: &Slug, now: Timestamp) -> Option<StoreError> {
        let slug = slug.clone();
        let until = match self.reserved_until {
            Some(until) if until <= now.0 => return None,
            Some(until) => Date(until),
            None => return Some(StoreError::SlugTaken(slug)),
        };
        Some(if self.alias && !self.removed {
            StoreError::SlugIsAlias {
                slug,
                tenant: self.current,
                until,
            }
        } else {
            StoreError::SlugReserved { slug, until }
        })
    }
}
