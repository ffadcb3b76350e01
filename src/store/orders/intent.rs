//! Which names certificates are wanted for, page by page, and rows kept in step with that.

use uuid::Uuid;

use crate::model::certificate::CertificateSource;
use crate::model::{DomainPattern, DomainState, TenantId};
use crate::store::certificate_owners::counts_for;
use crate::store::error::readable;
use crate::store::values::Row;
use crate::store::writing::Writing;
use crate::store::{Store, StoreError, WRITE, domains};

use super::{ORDERS_LOCK, OrderStage, lease, tenant_id};

/// What a look at a page of names found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Where to go on; `None` at the end.
    pub next: Option<DomainPattern>,
    /// Names of the page whose tenants wait for a certificate to be in place.
    pub verified: Vec<Verified>,
    /// Rows that are new.
    pub added: usize,
    /// Rows that are gone, because no certificate is wanted for their names any more or because somebody brought one.
    pub dropped: Vec<DomainPattern>,
}

/// A domain that is verified and not routed yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verified {
    /// The name.
    pub pattern: DomainPattern,
    /// Whether the store has a certificate for it.
    pub in_place: bool,
}

/// A name for which a certificate may be wanted, what is known of it, and its row.
struct Found {
    pattern: DomainPattern,
    tenant: Option<TenantId>,
    state: Option<DomainState>,
    row: Option<Existing>,
    /// Until when a certificate that somebody brought, and that counts for the claim, is far enough from its end.
    brought_until: Option<i64>,
    /// The name's own certificate, where it was ordered: its validity and its CA.
    own: Option<(i64, i64, Option<String>)>,
}

struct Existing {
    tenant: Uuid,
    stage: String,
    lease_until: i64,
}

impl Store {
    /// Looks at up to `limit` domains behind `after`: those that are verified, active or degraded get a row unless an imported
    /// certificate covers them, has not come to the last third of its life, and so will do.
    pub async fn sweep_domains(
        &self,
        after: Option<&DomainPattern>,
        limit: u32,
    ) -> Result<Swept, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(ORDERS_LOCK).await?;
            let after = after.map(DomainPattern::to_string).unwrap_or_default();
            let sql = tx.either(DOMAINS_SQLITE, DOMAINS_POSTGRES);
            let args = [(&after).into(), i64::from(limit).into()];
            let rows = tx.rows(sql, &args).await?;
            let found = all_readable(&rows)?;
            let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
            let next = found.last().filter(|_| full).map(|it| it.pattern.clone());
            let mut swept = Swept {
                next,
                ..Swept::default()
            };
            keep_all(&mut tx, found, &mut swept).await?;
            tx.finish_unannounced().await?;
            Ok(swept)
        };
        self.timed("orders_sweep", WRITE, work).await
    }

    /// As [`Store::sweep_domains`], for the domains called `names`. Those that are not verified (any more) lose their rows.
    pub async fn sweep_names(&self, names: &[DomainPattern]) -> Result<Swept, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(ORDERS_LOCK).await?;
            let mut swept = Swept::default();
            for name in names {
                let text = name.to_string();
                let sql = tx.either(DOMAIN_SQLITE, DOMAIN_POSTGRES);
                let rows = tx.rows(sql, &[(&text).into()]).await?;
                match rows.is_empty() {
                    true => drop_tenants(&mut tx, name, &mut swept).await?,
                    false => keep_all(&mut tx, all_readable(&rows)?, &mut swept).await?,
                }
            }
            tx.finish_unannounced().await?;
            Ok(swept)
        };
        self.timed("orders_names", WRITE, work).await
    }

    /// Sees to it that the operator's own names have their rows, and no others have one as such.
    pub async fn sweep_own(&self, own: &[DomainPattern]) -> Result<Swept, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(ORDERS_LOCK).await?;
            let mut swept = Swept::default();
            for name in own {
                let text = name.to_string();
                let sql = tx.either(OWN_SQLITE, OWN_POSTGRES);
                let rows = tx.rows(sql, &[(&text).into(), Uuid::nil().into()]).await?;
                let found = rows.iter().map(read).collect::<Result<_, _>>()?;
                keep_all(&mut tx, found, &mut swept).await?;
            }
            let rows = tx
                .rows(
                    "select pattern from certificate_orders where tenant = $1",
                    &[Uuid::nil().into()],
                )
                .await?;
            for row in &rows {
                let pattern = domains::pattern(row.get("pattern")?)?;
                if !own.contains(&pattern) {
                    forget(&mut tx, &pattern, &mut swept).await?;
                }
            }
            tx.finish_unannounced().await?;
            Ok(swept)
        };
        self.timed("orders_own", WRITE, work).await
    }

    /// Looks at up to `limit` rows behind `after`: those of tenants that no domain asks for any more go, unless somebody works on them.
    pub async fn sweep_orders(
        &self,
        after: Option<&DomainPattern>,
        limit: u32,
    ) -> Result<Swept, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(ORDERS_LOCK).await?;
            let after = after.map(DomainPattern::to_string).unwrap_or_default();
            let args = [(&after).into(), i64::from(limit).into(), Uuid::nil().into()];
            let rows = tx.rows(ORDERS, &args).await?;
            let mut swept = Swept::default();
            for row in &rows {
                let pattern = domains::pattern(row.get("pattern")?);
                let Some(pattern) = readable(pattern, "an order's name")? else {
                    continue;
                };
                if row.get::<i64>("asked_for")? == 0 {
                    forget(&mut tx, &pattern, &mut swept).await?;
                }
                swept.next = Some(pattern);
            }
            if rows.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
                swept.next = None;
                lease::forget_turns(&mut tx).await?;
            }
            tx.finish_unannounced().await?;
            Ok(swept)
        };
        self.timed("orders_unwanted", WRITE, work).await
    }
}

/// Of several claims of one name the routed one comes first, and counts.
async fn keep_all(
    tx: &mut Writing,
    found: Vec<Found>,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let mut last: Option<DomainPattern> = None;
    for name in found {
        if last.as_ref() != Some(&name.pattern) {
            last = Some(name.pattern.clone());
            keep(tx, &name, swept).await?;
        }
    }
    Ok(())
}

async fn keep(tx: &mut Writing, name: &Found, swept: &mut Swept) -> Result<(), StoreError> {
    let now = tx.now().0;
    let brought = name.brought_until.is_some_and(|until| now < until);
    let own = name.own.as_ref().filter(|own| now < own.1);
    if name.state == Some(DomainState::Verified) {
        swept.verified.push(Verified {
            pattern: name.pattern.clone(),
            in_place: brought || own.is_some(),
        });
    }
    let pattern = name.pattern.to_string();
    match &name.row {
        Some(_) if brought => forget(tx, &name.pattern, swept).await?,
        None if brought => {}
        None => {
            let (stage, dates) = match own {
                Some((from, to, ca)) => (OrderStage::Kept, Some((*from, *to, ca.as_deref()))),
                None => (OrderStage::Due, None),
            };
            swept.added += 1;
            insert(tx, &pattern, name.tenant, stage, dates).await?;
        }
        Some(row) => {
            if row.tenant != tenant_id(name.tenant) {
                let args = [(&pattern).into(), tenant_id(name.tenant).into()];
                tx.run(
                    "update certificate_orders set tenant = $2 where pattern = $1",
                    &args,
                )
                .await?;
            }
            let gone = name.own.is_none() && row.stage == OrderStage::Kept.as_str();
            if gone && row.lease_until <= now {
                tx.run(BEGIN_ANEW, &[(&pattern).into(), now.into()]).await?;
            }
        }
    }
    Ok(())
}

async fn insert(
    tx: &mut Writing,
    pattern: &str,
    tenant: Option<TenantId>,
    stage: OrderStage,
    dates: Option<(i64, i64, Option<&str>)>,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.run(
        INSERT,
        &[
            pattern.into(),
            tenant_id(tenant).into(),
            stage.as_str().into(),
            dates.map(|dates| dates.0).into(),
            dates.map(|dates| dates.1).into(),
            dates.and_then(|dates| dates.2).into(),
            now.into(),
        ],
    )
    .await
    .map(drop)
}

/// Ends the row of a name, unless somebody works on it: the next look will find it again.
async fn forget(
    tx: &mut Writing,
    pattern: &DomainPattern,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let (name, now) = (pattern.to_string(), tx.now().0);
    let gone = tx
        .run(
            "delete from certificate_orders where pattern = $1 and lease_until <= $2",
            &[(&name).into(), now.into()],
        )
        .await?;
    if gone > 0 {
        swept.dropped.push(pattern.clone());
    }
    Ok(())
}

/// As [`forget`], unless the name is the operator's own.
async fn drop_tenants(
    tx: &mut Writing,
    pattern: &DomainPattern,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let name = pattern.to_string();
    let row = tx
        .row(
            "select tenant from certificate_orders where pattern = $1",
            &[(&name).into()],
        )
        .await?;
    match row.map(|row| row.get::<Uuid>("tenant")).transpose()? {
        Some(tenant) if !tenant.is_nil() => forget(tx, pattern, swept).await,
        _ => Ok(()),
    }
}

fn all_readable(rows: &[Row]) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.extend(readable(read(row), "a name to certify")?);
    }
    Ok(found)
}

fn read(row: &Row) -> Result<Found, StoreError> {
    let tenant: Uuid = row.get("tenant")?;
    let state: Option<&str> = row.get("state")?;
    let existing = match row.get::<Option<Uuid>>("ordered_for")? {
        Some(tenant) => Some(Existing {
            tenant,
            stage: row.get("stage")?,
            lease_until: row.get("lease_until")?,
        }),
        None => None,
    };
    let ordered = row.get::<Option<&str>>("source")? == Some(CertificateSource::Acme.as_str());
    let own = match ordered {
        true => Some((
            row.get("not_before")?,
            row.get("not_after")?,
            row.get("ca")?,
        )),
        false => None,
    };
    Ok(Found {
        pattern: domains::pattern(row.get("pattern")?)?,
        tenant: (!tenant.is_nil()).then_some(TenantId(tenant)),
        state: state.and_then(DomainState::from_name),
        row: existing,
        brought_until: row.get("brought_until")?,
        own,
    })
}

/// `$names` gives `pattern`, `tenant` and `state`; `$position` is the engine's search in a text. A third of a certificate's life is left
/// when it is to be renewed: one that was brought does until then. A wildcard's does where the name has none of its own, which would be
/// shown instead.
macro_rules! wanted {
    ($names:literal, $position:literal, $rest:literal) => {
        concat!(
            "select d.pattern as pattern, d.tenant as tenant, d.state as state, o.tenant as ordered_for, o.stage as stage, \
             o.lease_until as lease_until, c.source as source, c.not_before as not_before, c.not_after as not_after, c.ca as ca, \
             (select max(i.not_after - (i.not_after - i.not_before) / 3) from certificate_names m \
             join certificates i on i.id = m.certificate where i.source <> 'acme' \
             and m.pattern in (d.pattern, '*.' || substr(d.pattern, ",
            $position,
            "(d.pattern, '.') + 1)) and (m.pattern = d.pattern or n.pattern is null) and ",
            counts_for!("m", "i", "d.tenant"),
            ") as brought_until from ",
            $names,
            " d left join certificate_orders o on o.pattern = d.pattern \
             left join certificate_names n on n.pattern = d.pattern left join certificates c on c.id = n.certificate ",
            $rest
        )
    };
}

/// The routed one of several claims comes first: `active` and `degraded` before `verified`.
macro_rules! page {
    ($position:literal) => {
        wanted!(
            "domains",
            $position,
            "where d.state in ('verified', 'active', 'degraded') and d.pattern > $1 order by d.pattern, d.state limit $2"
        )
    };
}

macro_rules! one {
    ($position:literal) => {
        wanted!(
            "domains",
            $position,
            "where d.state in ('verified', 'active', 'degraded') and d.pattern = $1 order by d.state"
        )
    };
}

const DOMAINS_SQLITE: &str = page!("instr");
const DOMAINS_POSTGRES: &str = page!("strpos");
const DOMAIN_SQLITE: &str = one!("instr");
const DOMAIN_POSTGRES: &str = one!("strpos");
const OWN_SQLITE: &str = wanted!(
    "(select $1 as pattern, $2 as tenant, null as state)",
    "instr",
    ""
);
const OWN_POSTGRES: &str = wanted!(
    "(select $1::text collate \"C\" as pattern, $2::uuid as tenant, null::text as state)",
    "strpos",
    ""
);
const ORDERS: &str = "select pattern, (select count(*) from domains d where d.pattern = o.pattern \
     and d.state in ('verified', 'active', 'degraded')) as asked_for \
     from certificate_orders o where pattern > $1 and tenant <> $3 order by pattern limit $2";
/// Somebody took the certificate away: there is nothing to renew.
const BEGIN_ANEW: &str = "update certificate_orders set stage = 'due', not_before = null, not_after = null, renew_at = null, \
     window_start = null, window_end = null, ask_at = null, ca = null, replaces = 0, waits_for = null, next_at = $2, updated_at = $2 where pattern = $1";
const INSERT: &str = "insert into certificate_orders (pattern, tenant, stage, replaces, polls, attempts, failures, ca_failures, restarts, \
     checks, not_before, not_after, issued_by, next_at, lease_until, created_at, updated_at) \
     values ($1, $2, $3, 0, 0, 0, 0, 0, 0, '[]', $4, $5, $6, $7, 0, $7, $7) on conflict (pattern) do nothing";
