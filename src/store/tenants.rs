//! Tenants: made, changed, renamed, shown, listed.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::model::{
    Isolation, LimitOverrides, LookupKey, Placement, Slug, Tenant, TenantId, TenantState,
};

use super::tenant_rows::{INSERT, Stored, check, find, page, present, save};
use super::{BULK, Changed, READ, Store, StoreError, WRITE, slugs};

/// How an operator names a tenant: its id, its slug or one of its aliases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantRef {
    /// By number.
    Id(TenantId),
    /// By slug or alias.
    Slug(Slug),
}

impl std::str::FromStr for TenantRef {
    type Err = StoreError;
    fn from_str(text: &str) -> Result<Self, StoreError> {
        if let Ok(id) = Uuid::try_parse(text) {
            return Ok(Self::Id(TenantId(id)));
        }
        match Slug::parse(text) {
            Ok(slug) => Ok(Self::Slug(slug)),
            Err(error) => Err(StoreError::BadReference(
                text.chars().take(80).collect(),
                error,
            )),
        }
    }
}

impl std::fmt::Display for TenantRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Slug(slug) => slug.fmt(f),
        }
    }
}

/// A tenant to be made.
#[derive(Clone, PartialEq, Debug)]
pub struct NewTenant {
    /// Its slug.
    pub slug: Slug,
    /// What people call it; `None`: its slug.
    pub name: Option<String>,
    /// How its data is kept apart.
    pub isolation: Isolation,
    /// `None`: active where isolation is shared, else provisioning.
    pub state: Option<TenantState>,
    /// How far provisioning has come, in percent.
    pub progress: u8,
    /// The upstream it is served by, where not the default.
    pub upstream: Option<String>,
    /// The plan it is on.
    pub plan: Option<String>,
    /// Its own limits.
    pub limits: LimitOverrides,
    /// A JSON object for the application.
    pub meta: Map<String, Value>,
}

impl NewTenant {
    /// One with this slug and nothing else said.
    pub fn new(slug: Slug) -> Self {
        Self {
            slug,
            name: None,
            isolation: Isolation::Shared,
            state: None,
            progress: 0,
            upstream: None,
            plan: None,
            limits: LimitOverrides::default(),
            meta: Map::new(),
        }
    }
}

/// What to change of a tenant; what is `None` or empty stays.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TenantPatch {
    /// What people call it.
    pub name: Option<String>,
    /// `Some(None)`: the default again.
    pub upstream: Option<Option<String>>,
    /// `Some(None)`: none.
    pub plan: Option<Option<String>>,
    /// Its own limits.
    pub limits: LimitPatch,
    /// Members to set; one that is null is taken out (RFC 7396, one level deep).
    pub meta: Map<String, Value>,
}

/// Which of a tenant's own limits to change; `Some(None)`: as configured for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of LimitOverrides")]
pub struct LimitPatch {
    pub requests_per_second: Option<Option<u32>>,
    pub burst: Option<Option<u32>>,
    pub in_flight: Option<Option<u32>>,
    pub body: Option<Option<u64>>,
}

/// Part of a list, and what to ask for the next part with.
#[derive(Clone, PartialEq, Debug)]
pub struct Page<T, C> {
    /// This part.
    pub items: Vec<T>,
    /// `None` where the list ends here.
    pub next: Option<C>,
}

impl Store {
    /// Makes a tenant. Refused: a slug that is taken, an alias, or reserved; text or meta that is too long. Visible to look-ups
    /// of every node once it returns and the feed has been read.
    pub async fn create_tenant(&self, new: NewTenant) -> Result<Tenant, StoreError> {
        let work = async {
            let tenant = self.begin_tenant(new)?;
            let stored = Stored::new(&tenant)?;
            let mut tx = self.writing().await?;
            tx.insert_many(INSERT, &[stored.row()]).await?;
            slugs::claim(&mut tx, &tenant.slug, tenant.id).await?;
            let detail = format!("{} {}", tenant.id, tenant.state.as_str());
            tx.audit("tenant.create", tenant.slug.as_str(), &detail)
                .await?;
            let names = vec![LookupKey::Slug(tenant.slug.clone())];
            tx.finish(&Changed::Tenant {
                id: tenant.id,
                names,
            })
            .await?;
            Ok(tenant)
        };
        self.timed("tenant_create", WRITE, work).await
    }

    /// Changes some of a tenant's settings. Nothing is written where all of them are so already.
    pub async fn set_tenant(
        &self,
        tenant: &TenantRef,
        patch: TenantPatch,
    ) -> Result<Tenant, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let before = present(&mut tx, tenant).await?;
            let mut after = before.clone();
            patch.apply(&mut after);
            if after == before {
                return Ok(before);
            }
            save(&mut tx, &mut after).await?;
            tx.audit("tenant.set", after.slug.as_str(), &patch.describe())
                .await?;
            tx.finish(&Changed::Tenant {
                id: after.id,
                names: Vec::new(),
            })
            .await?;
            Ok(after)
        };
        self.timed("tenant_set", WRITE, work).await
    }

    /// Gives a tenant another slug. The old one becomes an alias that goes on leading to it and that no other tenant can have for
    /// the cool-off of slugs; one of its own aliases can be taken back at once.
    pub async fn rename_tenant(&self, tenant: &TenantRef, to: &Slug) -> Result<Tenant, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let mut tenant = present(&mut tx, tenant).await?;
            if tenant.slug == *to {
                return Ok(tenant);
            }
            let old = std::mem::replace(&mut tenant.slug, to.clone());
            slugs::claim(&mut tx, to, tenant.id).await?;
            slugs::make_alias(&mut tx, &old).await?;
            tenant.aliases = slugs::aliases(&mut tx, tenant.id).await?;
            save(&mut tx, &mut tenant).await?;
            tx.audit("tenant.rename", to.as_str(), &format!("was {old}"))
                .await?;
            let names = vec![LookupKey::Slug(to.clone()), LookupKey::Slug(old)];
            tx.finish(&Changed::Tenant {
                id: tenant.id,
                names,
            })
            .await?;
            Ok(tenant)
        };
        self.timed("tenant_rename", WRITE, work).await
    }

    /// The tenant with this id, slug or alias, also where it is removed.
    pub async fn tenant(&self, tenant: &TenantRef) -> Result<Tenant, StoreError> {
        let work = async { find(&mut self.inner.snapshot().await?, tenant).await };
        self.timed("tenant", READ, work).await
    }

    /// Tenants in the order in which they were made, at most `limit`, those after `after`, those in `state` where given.
    pub async fn tenants(
        &self,
        state: Option<TenantState>,
        after: Option<TenantId>,
        limit: u32,
    ) -> Result<Page<Tenant, TenantId>, StoreError> {
        let work = async {
            let mut session = self.inner.snapshot().await?;
            let items = page(&mut session, state, after, limit).await?;
            let full = items.len() == usize::try_from(limit).unwrap_or(usize::MAX);
            let next = items.last().filter(|_| full).map(|tenant| tenant.id);
            Ok(Page { items, next })
        };
        self.timed("tenants", BULK, work).await
    }

    /// A checked tenant with an id of its own, as of now.
    pub(super) fn begin_tenant(&self, new: NewTenant) -> Result<Tenant, StoreError> {
        let now = self.inner.clock.now().0;
        let state = new.state.unwrap_or(match new.isolation {
            Isolation::Shared => TenantState::Active,
            Isolation::Schema | Isolation::Database => TenantState::Provisioning,
        });
        let tenant = Tenant {
            id: TenantId(self.inner.new_uuid()),
            name: new.name.unwrap_or_else(|| new.slug.to_string()),
            slug: new.slug,
            state,
            progress: new.progress.min(100),
            plan: new.plan,
            upstream: new.upstream,
            limits: new.limits,
            placement: Placement {
                isolation: new.isolation,
                ..Placement::default()
            },
            meta: new.meta,
            aliases: Vec::new(),
            version: 1,
            created_at: now,
            updated_at: now,
            removed_at: None,
        };
        check(&tenant)?;
        Ok(tenant)
    }
}

impl TenantPatch {
    fn apply(&self, tenant: &mut Tenant) {
        if let Some(name) = &self.name {
            tenant.name.clone_from(name);
        }
        if let Some(upstream) = &self.upstream {
            tenant.upstream.clone_from(upstream);
        }
        if let Some(plan) = &self.plan {
            tenant.plan.clone_from(plan);
        }
        let limits = &mut tenant.limits;
        if let Some(value) = self.limits.requests_per_second {
            limits.requests_per_second = value;
        }
        if let Some(value) = self.limits.burst {
            limits.burst = value;
        }
        if let Some(value) = self.limits.in_flight {
            limits.in_flight = value;
        }
        if let Some(value) = self.limits.body {
            limits.body = value;
        }
        for (member, value) in &self.meta {
            match value {
                Value::Null => drop(tenant.meta.remove(member)),
                _ => drop(tenant.meta.insert(member.clone(), value.clone())),
            }
        }
    }

    /// Which settings it touches, for the audit; the values stand in the row.
    fn describe(&self) -> String {
        let limits = self.limits != LimitPatch::default();
        let touched = [
            ("name", self.name.is_some()),
            ("upstream", self.upstream.is_some()),
            ("plan", self.plan.is_some()),
            ("limits", limits),
            ("meta", !self.meta.is_empty()),
        ];
        let touched: Vec<_> = touched
            .iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| *name)
            .collect();
        touched.join(", ")
    }
}
