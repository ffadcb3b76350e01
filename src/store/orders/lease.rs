//! Whose turn it is: rows are handed to one node at a time, and between tenants in turn.

use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::store::error::readable;
use crate::store::writing::Writing;
use crate::store::{READ, Store, StoreError, WRITE};

use super::{CertificateOrder, ORDERS_LOCK, columns, read};

/// How long a node has a row to itself without saying that it still works on it. Whoever works on one does nothing that takes longer
/// without saving it in between.
pub const ORDER_LEASE: Duration = Duration::from_secs(60);
/// The statements below have it in figures. A row that is being placed is left alone for twice as long: whoever takes it orders a second
/// time, and a clock that is a minute ahead of its holder's must not do that.
const _: () = assert!(ORDER_LEASE.as_millis() == 60_000);

/// Which rows are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderClass<'a> {
    /// Orders that a CA has, or that were being placed when their node died.
    InFlight,
    /// Certificates in place that are to be renewed, at this CA.
    Renewals(AtCa<'a>),
    /// Names without a certificate, at this CA.
    New(AtCa<'a>),
    /// Certificates in place that the CA is to be asked about, or whose renewal begins.
    Kept,
}

/// Rows that are to be ordered at one CA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AtCa<'a> {
    /// Which one.
    pub ca: &'a str,
    /// Whether rows that ask for none in particular are meant too.
    pub first: bool,
}

/// Which rows are due, roughly: without regard to whom they are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DueStages {
    /// Of [`OrderClass::InFlight`].
    pub in_flight: bool,
    /// Of [`OrderClass::Renewals`] or [`OrderClass::New`].
    pub due: bool,
    /// Of [`OrderClass::Kept`].
    pub kept: bool,
}

impl Store {
    /// Whether there is anything to lease: a question that keeps nobody from writing.
    pub async fn due_stages(&self) -> Result<DueStages, StoreError> {
        let work = async {
            let now = self.inner.clock.now().0;
            let mut session = self.inner.reading().await?;
            let Some(row) = session.row(ANY, &[now.into()]).await? else {
                return Ok(DueStages::default());
            };
            let any = |column| Ok::<_, StoreError>(row.get::<Option<String>>(column)?.is_some());
            Ok(DueStages {
                in_flight: any("placing")? || any("placed")?,
                due: any("due")?,
                kept: any("kept")?,
            })
        };
        self.timed("orders_due", READ, work).await
    }

    /// Takes up to `limit` rows that are due, for `holder` alone, for [`ORDER_LEASE`]. Of rows to be ordered each tenant's oldest comes
    /// before anybody's second, and among those the tenant that has waited longest for its turn: a tenant with two thousand names
    /// delays another's one by no more than one.
    pub async fn lease_orders(
        &self,
        class: OrderClass<'_>,
        holder: &str,
        limit: u32,
    ) -> Result<Vec<CertificateOrder>, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(ORDERS_LOCK).await?;
            let now = tx.now();
            let limit = i64::from(limit);
            let candidates = match class {
                OrderClass::InFlight => tx.rows(IN_FLIGHT, &[now.0.into(), limit.into()]).await?,
                OrderClass::Kept => tx.rows(KEPT, &[now.0.into(), limit.into()]).await?,
                OrderClass::Renewals(at) | OrderClass::New(at) => {
                    let renewal = matches!(class, OrderClass::Renewals(_));
                    let sql = if renewal { RENEWALS } else { NEW };
                    let args = [
                        now.0.into(),
                        at.ca.into(),
                        i64::from(at.first).into(),
                        limit.into(),
                    ];
                    tx.rows(sql, &args).await?
                }
            };
            let in_turn = matches!(class, OrderClass::Renewals(_) | OrderClass::New(_));
            let mut leased = Vec::with_capacity(candidates.len());
            for row in &candidates {
                let order = lease(&mut tx, row.get("pattern")?, holder, now).await;
                let Some(order) = readable(order, "an order")?.flatten() else {
                    continue;
                };
                if in_turn {
                    serve(&mut tx, row.get("tenant")?).await?;
                }
                leased.push(order);
            }
            tx.finish_unannounced().await?;
            Ok(leased)
        };
        self.timed("orders_lease", WRITE, work).await
    }

    /// When the next row is due of those that are not due yet, or when a lease ends that now keeps one from being taken.
    pub async fn next_order_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let work = async {
            let now = self.inner.clock.now().0;
            let mut session = self.inner.reading().await?;
            let row = session.row(NEXT, &[now.into()]).await?;
            let next: Option<i64> = row.map_or(Ok(None), |row| row.get("next_at"))?;
            Ok(next.map(Timestamp))
        };
        self.timed("orders_next", READ, work).await
    }

    /// Rows that wait for a CA that is not among `cas` (any more) ask the first one instead.
    pub async fn ask_only(&self, cas: &[&str]) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let rows = tx
                .rows(
                    "select distinct ca from certificate_orders where stage = 'due' and ca is not null",
                    &[],
                )
                .await?;
            for row in &rows {
                let ca: &str = row.get("ca")?;
                if !cas.contains(&ca) {
                    tx.run(
                        "update certificate_orders set ca = null, ca_failures = 0 where stage = 'due' and ca = $1",
                        &[ca.into()],
                    )
                    .await?;
                }
            }
            tx.finish_unannounced().await
        };
        self.timed("orders_cas", WRITE, work).await
    }
}

async fn lease(
    tx: &mut Writing,
    pattern: &str,
    holder: &str,
    now: Timestamp,
) -> Result<Option<CertificateOrder>, StoreError> {
    let args = [
        pattern.into(),
        holder.into(),
        now.plus(ORDER_LEASE).0.into(),
        now.0.into(),
    ];
    let row = tx.row(LEASE, &args).await?;
    row.as_ref().map(read).transpose()
}

/// The tenant has had its turn.
async fn serve(tx: &mut Writing, tenant: Uuid) -> Result<(), StoreError> {
    tx.run(
        "insert into certificate_turns (tenant, turn) \
         values ($1, (select coalesce(max(turn), 0) + 1 from certificate_turns)) \
         on conflict (tenant) do update set turn = excluded.turn",
        &[tenant.into()],
    )
    .await
    .map(drop)
}

/// Forgets the turns of tenants that have nothing to order.
pub(super) async fn forget_turns(tx: &mut Writing) -> Result<(), StoreError> {
    tx.run(
        "delete from certificate_turns where not exists \
         (select 1 from certificate_orders o where o.tenant = certificate_turns.tenant)",
        &[],
    )
    .await
    .map(drop)
}

macro_rules! due {
    ($which:literal) => {
        concat!(
            "select o.pattern as pattern, o.tenant as tenant from (\
             select pattern, tenant, next_at, row_number() over (partition by tenant order by next_at, pattern) as place \
             from certificate_orders where stage = 'due' and next_at <= $1 and lease_until <= $1 \
             and (ca = $2 or (ca is null and $3 = 1)) and ",
            $which,
            ") as o left join certificate_turns t on t.tenant = o.tenant \
             order by o.place, coalesce(t.turn, 0), o.next_at, o.pattern limit $4"
        )
    };
}

const RENEWALS: &str = due!("not_after is not null");
const NEW: &str = due!("not_after is null");
const IN_FLIGHT: &str = "select pattern from certificate_orders where stage in ('placing', 'placed') and next_at <= $1 \
     and lease_until <= case when stage = 'placing' then $1 - 60000 else $1 end order by next_at, pattern limit $2";
const KEPT: &str = "select pattern from certificate_orders where stage = 'kept' and next_at <= $1 and lease_until <= $1 \
     order by next_at, pattern limit $2";
const LEASE: &str = concat!(
    "update certificate_orders set lease_holder = $2, lease_until = $3 where pattern = $1 \
     and lease_until <= case when stage = 'placing' then $4 - 60000 else $4 end returning ",
    columns!()
);
macro_rules! any {
    ($stage:literal) => {
        concat!(
            "(select stage from certificate_orders where stage = '",
            $stage,
            "' and next_at <= $1 and lease_until <= case when stage = 'placing' then $1 - 60000 else $1 end limit 1) as ",
            $stage
        )
    };
}

const ANY: &str = concat!(
    "select ",
    any!("due"),
    ", ",
    any!("placing"),
    ", ",
    any!("placed"),
    ", ",
    any!("kept")
);
/// Without regard to whose lease it is, or whether the row is due when that ends: then there is one look too many.
const NEXT: &str = "select min(at) as next_at from (select min(next_at) as at from certificate_orders where next_at > $1 \
     union all select min(lease_until) as at from certificate_orders where lease_until > $1 \
     union all select min(lease_until + 60000) as at from certificate_orders where stage = 'placing' \
     and lease_until + 60000 > $1) as times";
