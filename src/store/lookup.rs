//! What the resolver asks: one row by name, all names, what changed.

use std::collections::HashMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use crate::model::{LookupKey, Route, Tenant};

use super::changes::{domain_key, no_feed};
use super::session::Session;
use super::tenant_rows::{self as tenants, tenant_columns};
use super::values::Arg;
use super::{BULK, Changes, Cursor, Looked, Names, READ, RouteSource, Store, StoreError};

/// The columns of a look-up: the tenant's, and the feed position of the same statement, so of the same moment.
macro_rules! look_up {
    ($joins:literal) => {
        concat!(
            "select f.epoch as epoch, coalesce((select max(position) from changes), f.pruned_to) as position, ",
            tenant_columns!(),
            " from feed f ",
            $joins
        )
    };
}

const BY_SLUG: &str =
    look_up!("left join slugs s on s.slug = $1 left join tenants t on t.id = s.tenant");
/// A removed tenant's domains stop at once; its slugs and its id go on leading to it, so that visitors are told.
const BY_DOMAIN: &str = look_up!(
    "left join domains d on d.pattern = $1 and d.state in ('active', 'degraded') \
     left join tenants t on t.id = d.tenant and t.state <> 'removed'"
);
const BY_ID: &str = look_up!("left join tenants t on t.id = $1");

/// The columns of a look-up of several: what was asked for besides. What leads nowhere is not among the rows.
macro_rules! look_up_many {
    ($wanted:literal, $from:literal, $where:literal) => {
        concat!(
            "select f.epoch as epoch, coalesce((select max(position) from changes), f.pruned_to) as position, ",
            $wanted,
            " as wanted, ",
            tenant_columns!(),
            " from ",
            $from,
            " cross join feed f where ",
            $where,
            " in"
        )
    };
}

const MANY_BY_SLUG: &str = look_up_many!(
    "s.slug",
    "slugs s join tenants t on t.id = s.tenant",
    "s.slug"
);
const MANY_BY_DOMAIN: &str = look_up_many!(
    "d.pattern",
    "domains d join tenants t on t.id = d.tenant and t.state <> 'removed'",
    "d.state in ('active', 'degraded') and d.pattern"
);

const SLUGS: &str = "select count(*) as many, string_agg(slug, ' ') as names \
     from (select slug from slugs where slug > $1 order by slug limit $2) as page";
const ROUTED_DOMAINS: &str = "select count(*) as many, string_agg(pattern, ' ') as names \
     from (select pattern from domains where state in ('active', 'degraded') and pattern > $1 \
     order by pattern limit $2) as page";

impl RouteSource for Store {
    fn lookup<'a>(&'a self, key: &'a LookupKey) -> BoxFuture<'a, Result<Looked, StoreError>> {
        // Apart in the series: what visitors ask by name, and what is asked of tenants that are being served.
        let query = match key {
            LookupKey::Id(_) => "lookup_id",
            _ => "lookup",
        };
        self.timed(query, READ, self.look_up(key)).boxed()
    }

    fn lookup_many<'a>(
        &'a self,
        keys: &'a [LookupKey],
    ) -> BoxFuture<'a, Result<Vec<Looked>, StoreError>> {
        self.timed("lookup_many", READ, self.look_up_many(keys))
            .boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Names, StoreError>> {
        self.timed("names", BULK, self.all_names()).boxed()
    }

    fn changes_after(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>> {
        self.after(cursor).boxed()
    }
}

impl Store {
    async fn look_up_many(&self, keys: &[LookupKey]) -> Result<Vec<Looked>, StoreError> {
        let mut found = vec![None; keys.len()];
        let mut session = self.inner.reading().await?;
        let slugs: Vec<_> = wanted(keys, slug_text);
        find_many(&mut session, MANY_BY_SLUG, &slugs, &mut found).await?;
        let patterns: Vec<_> = wanted(keys, pattern_text);
        find_many(&mut session, MANY_BY_DOMAIN, &patterns, &mut found).await?;
        drop(session);
        // Ids, which few ask for, and lists of which nothing was found and therefore no position either.
        let mut all = Vec::with_capacity(keys.len());
        for (key, looked) in keys.iter().zip(found) {
            all.push(match looked {
                Some(looked) => looked,
                None => self.look_up(key).await?,
            });
        }
        Ok(all)
    }

    async fn look_up(&self, key: &LookupKey) -> Result<Looked, StoreError> {
        let mut session = self.inner.reading().await?;
        let row = match key {
            LookupKey::Slug(slug) => session.row(BY_SLUG, &[slug.as_str().into()]).await?,
            LookupKey::Domain(name) => session.row(BY_DOMAIN, &[name.as_str().into()]).await?,
            LookupKey::Wildcard(parent) => {
                let pattern = format!("*.{parent}");
                session.row(BY_DOMAIN, &[(&pattern).into()]).await?
            }
            LookupKey::Id(id) => session.row(BY_ID, &[id.0.into()]).await?,
        };
        let row = row.ok_or_else(no_feed)?;
        let route = match row.get::<Option<Uuid>>("id")? {
            Some(_) => Some(route(tenants::read(&row)?)),
            None => None,
        };
        Ok(Looked {
            at: session.cursor(&row)?,
            route,
        })
    }

    /// Read within one snapshot and page by page: a million names are then some 60 MB, once.
    async fn all_names(&self) -> Result<Names, StoreError> {
        let mut session = self.inner.snapshot().await?;
        session.unhurried().await?;
        let head = session
            .row(
                "select epoch, coalesce((select max(position) from changes), pruned_to) as position, \
                 (select count(*) from slugs) + (select count(*) from domains) as many from feed",
                &[],
            )
            .await?
            .ok_or_else(no_feed)?;
        let many = usize::try_from(head.get::<i64>("many")?).unwrap_or(0);
        let mut names = Vec::with_capacity(many);
        session
            .each_name(SLUGS, |name| {
                names.push(LookupKey::Slug(tenants::slug(name)?));
                Ok(())
            })
            .await?;
        session
            .each_name(ROUTED_DOMAINS, |name| {
                names.push(domain_key(super::domains::pattern(name)?));
                Ok(())
            })
            .await?;
        Ok(Names {
            at: session.cursor(&head)?,
            names,
        })
    }
}

/// The names of one kind among `keys`, each with its place.
fn wanted(keys: &[LookupKey], text: fn(&LookupKey) -> Option<String>) -> Vec<(usize, String)> {
    let named = |(place, key)| Some((place, text(key)?));
    keys.iter().enumerate().filter_map(named).collect()
}

/// Puts what `statement` finds of `wanted` in their places; nothing where it finds none of them.
async fn find_many(
    session: &mut Session,
    statement: &'static str,
    wanted: &[(usize, String)],
    found: &mut [Option<Looked>],
) -> Result<(), StoreError> {
    let mut names: Vec<Arg<'_>> = wanted.iter().map(|(_, name)| name.into()).collect();
    // Few lengths of lists, so that few statements are prepared.
    let Some(last) = names.last().cloned() else {
        return Ok(());
    };
    names.resize(names.len().next_power_of_two(), last);
    let rows = session.rows_with(statement, &names).await?;
    // One statement is one moment, also for what it did not find.
    let Some(at) = rows.first().map(|row| session.cursor(row)).transpose()? else {
        return Ok(());
    };
    let mut routes = HashMap::with_capacity(rows.len());
    for row in &rows {
        routes.insert(row.get::<&str>("wanted")?, route(tenants::read(row)?));
    }
    for (place, name) in wanted {
        if let Some(place) = found.get_mut(*place) {
            let route = routes.get(name.as_str()).cloned();
            *place = Some(Looked { at, route });
        }
    }
    Ok(())
}

fn slug_text(key: &LookupKey) -> Option<String> {
    match key {
        LookupKey::Slug(slug) => Some(slug.as_str().to_owned()),
        LookupKey::Domain(_) | LookupKey::Wildcard(_) | LookupKey::Id(_) => None,
    }
}

fn pattern_text(key: &LookupKey) -> Option<String> {
    match key {
        LookupKey::Domain(name) => Some(name.as_str().to_owned()),
        LookupKey::Wildcard(parent) => Some(format!("*.{parent}")),
        LookupKey::Slug(_) | LookupKey::Id(_) => None,
    }
}

/// The part of a tenant that the request path needs.
fn route(tenant: Tenant) -> Route {
    Route {
        tenant: tenant.id,
        slug: tenant.slug,
        state: tenant.state,
        progress: tenant.progress,
        removed_at: tenant.removed_at,
        plan: tenant.plan.map(Into::into),
        upstream: tenant.upstream.map(Into::into),
        limits: tenant.limits,
        placement: tenant.placement,
        meta: (!tenant.meta.is_empty()).then(|| tenants::compact(&tenant.meta).into()),
        version: tenant.version,
    }
}
