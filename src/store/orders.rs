//! What is ordered of certificate authorities, name by name: where each order stands, who works on it, when it is due.
//!
//! Why a certificate is wanted is in `orders/intent.rs`, whose turn it is in `orders/lease.rs`, what an order costs and what it brings in
//! `orders/place.rs`, what is sealed in `orders/sealed.rs`,
//! what others are told in `orders/told.rs`.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::certificate::late_at;
use crate::model::{ChallengeKind, Checks, DomainPattern, TenantId};

use super::acme_budget::Charge;
use super::domains;
use super::error::readable;
use super::tenant_rows::corrupt;
use super::values::Row;
use super::writing::Writing;
use super::{READ, Store, StoreError, WRITE};

mod intent;
mod lease;
mod place;
mod sealed;
mod told;

pub use intent::{Swept, Verified};
pub use lease::{AtCa, DueStages, ORDER_LEASE, OrderClass};
pub use place::Placing;
pub(super) use sealed::{any_sealed, reseal};
pub use told::OrderFailed;

/// PostgreSQL's advisory lock under which orders are handed out and budgets spent. ("vestibul", the last letter 3.)
pub(super) const ORDERS_LOCK: i64 = 0x7665_7374_6962_7503;

/// How far a name's certificate has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderStage {
    /// One is to be ordered.
    Due,
    /// It is being ordered: whether the CA has the order is not known yet.
    Placing,
    /// The CA has the order.
    Placed,
    /// It is in place, until it is to be renewed.
    Kept,
}

/// A name whose certificates are ordered, and where that stands. Times are in milliseconds since 1970.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateOrder {
    /// The name.
    pub pattern: DomainPattern,
    /// Whose it is; `None` for the operator's own.
    pub tenant: Option<TenantId>,
    /// How far it has come.
    pub stage: OrderStage,
    /// The CA that is asked now or next, `None` for the first one.
    pub ca: Option<String>,
    /// The CA that the certificate in place is from.
    pub issued_by: Option<String>,
    /// The order's address at the CA.
    pub order_url: Option<String>,
    /// How control is shown in this order.
    pub kind: Option<ChallengeKind>,
    /// The key of the certificate to come, PEM, sealed for [`CertificateOrder::purpose`].
    pub sealed_key: Option<Vec<u8>>,
    /// Whether this order takes the place of a certificate that the CA wants renewed (RFC 9773), and so counts against no limit.
    pub replaces: bool,
    /// When this order was placed.
    pub placed_at: Option<i64>,
    /// How often this order was looked at.
    pub polls: u32,
    /// Orders placed since the last certificate.
    pub attempts: u32,
    /// Failures of any kind since the last certificate.
    pub failures: u32,
    /// Failures in a row for which the CA is to blame, at the CA that is asked now.
    pub ca_failures: u32,
    /// How often this order was begun anew because the CA did not know it any more.
    pub restarts: u32,
    /// When the first of the failures was.
    pub first_failed_at: Option<i64>,
    /// What the last failure was, in words.
    pub last_error: Option<String>,
    /// What an order waits for until `next_at`, in words: nobody's failure.
    pub waits_for: Option<String>,
    /// What was seen when the name was last looked at before an order, where that kept one from being placed.
    pub checks: Checks,
    /// When the certificate in place begins to be valid.
    pub not_before: Option<i64>,
    /// When it expires.
    pub not_after: Option<i64>,
    /// When it is to be renewed.
    pub renew_at: Option<i64>,
    /// The begin and the end of the window in which the CA wants that.
    pub window: Option<(i64, i64)>,
    /// When the CA is to be asked for that window (again).
    pub ask_at: Option<i64>,
    /// When there is something to do next.
    pub next_at: i64,
}

impl OrderStage {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Placing => "placing",
            Self::Placed => "placed",
            Self::Kept => "kept",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Due, Self::Placing, Self::Placed, Self::Kept]
            .into_iter()
            .find(|stage| stage.as_str() == name)
    }
}

impl CertificateOrder {
    /// What the key of the certificate to come is sealed for. The row is named, so that one row's key cannot be put into another's place.
    pub fn purpose(&self) -> String {
        purpose(&self.pattern.to_string())
    }

    /// Whether an order at `ca` is one that the CA itself asked for (RFC 9773 section 5).
    pub fn may_replace_at(&self, ca: &str) -> bool {
        self.window.is_some() && self.issued_by.as_deref() == Some(ca)
    }

    /// From when on there is less left of the life of the certificate in place than a renewal should ever leave.
    pub fn late_from(&self) -> Option<Timestamp> {
        Some(Timestamp(late_at(self.not_before?, self.not_after?)))
    }

    /// Whether that time has come.
    pub fn is_about_to_expire(&self, now: Timestamp) -> bool {
        self.late_from().is_some_and(|late| late <= now)
    }

    /// Whether a certificate is in place that this one is to follow.
    pub fn is_renewal(&self) -> bool {
        self.not_after.is_some()
    }
}

/// Whether the one who saves a row goes on with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// Yes, for [`ORDER_LEASE`] from now.
    Keep,
    /// No: anybody may take it from `next_at` on.
    Release,
}

impl Store {
    /// Saves where an order stands, for who holds its lease, and gives back what of the budgets was not used. False where the lease has
    /// ended or the row is gone: then nothing is saved, and the caller must leave the order alone.
    pub async fn save_order(
        &self,
        order: &CertificateOrder,
        holder: &str,
        hold: Hold,
        refunds: &[Charge],
    ) -> Result<bool, StoreError> {
        self.save_telling(order, holder, hold, refunds, None).await
    }

    /// As [`Store::save_order`], and tells whoever wants to know what has failed.
    pub async fn save_failed_order(
        &self,
        order: &CertificateOrder,
        holder: &str,
        failed: OrderFailed<'_>,
        refunds: &[Charge],
    ) -> Result<bool, StoreError> {
        self.save_telling(order, holder, Hold::Release, refunds, Some(failed))
            .await
    }

    async fn save_telling(
        &self,
        order: &CertificateOrder,
        holder: &str,
        hold: Hold,
        refunds: &[Charge],
        failed: Option<OrderFailed<'_>>,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            if !refunds.is_empty() {
                tx.lock(ORDERS_LOCK).await?;
                super::acme_budget::refund(&mut tx, refunds).await?;
            }
            if !save(&mut tx, order, holder, hold).await? {
                return Ok(false);
            }
            if let Some(failed) = failed {
                told::failed(&mut tx, order, failed).await?;
            }
            tx.finish_unannounced().await?;
            Ok(true)
        };
        self.timed("order_save", WRITE, work).await
    }

    /// Where the certificate of `pattern` stands, if one is ordered here.
    pub async fn order(
        &self,
        pattern: &DomainPattern,
    ) -> Result<Option<CertificateOrder>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let name = pattern.to_string();
            let row = session.row(BY_PATTERN, &[(&name).into()]).await?;
            row.as_ref().map(read).transpose()
        };
        self.timed("order", READ, work).await
    }

    /// Has the certificate of `pattern` renewed as soon as a node gets to it; what was tried in vain before is forgotten. Nothing changes
    /// where an order is under way.
    pub async fn renew_certificate(&self, pattern: &DomainPattern) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let (name, now) = (pattern.to_string(), tx.now().0);
            let args = [(&name).into(), now.into()];
            let there = tx.run(RENEW, &args).await?;
            if there == 0 {
                return Err(StoreError::NotOrdered(pattern.clone()));
            }
            tx.audit("cert.renew", &name, "").await?;
            tx.finish_unannounced().await
        };
        self.timed("order_renew", WRITE, work).await
    }

    /// Names whose certificate expires soon (within a sixth of its life and a week) and could not be renewed so far, by name, those
    /// after `after`.
    pub async fn expiring_unrenewed(
        &self,
        after: Option<&DomainPattern>,
        limit: u32,
    ) -> Result<Vec<CertificateOrder>, StoreError> {
        let work = async {
            let now = self.inner.clock.now().0;
            let after = after.map(DomainPattern::to_string).unwrap_or_default();
            let args = [now.into(), (&after).into(), i64::from(limit).into()];
            let mut session = self.inner.reading().await?;
            let rows = session.rows(EXPIRING, &args).await?;
            let order = |row| readable(read(row), "an order").transpose();
            rows.iter().filter_map(order).collect()
        };
        self.timed("orders_expiring", READ, work).await
    }
}

/// See [`Store::save_order`].
async fn save(
    tx: &mut Writing,
    order: &CertificateOrder,
    holder: &str,
    hold: Hold,
) -> Result<bool, StoreError> {
    let now = tx.now();
    let lease_until = match hold {
        Hold::Keep => now.plus(ORDER_LEASE).0,
        Hold::Release => 0,
    };
    let pattern = order.pattern.to_string();
    let checks = order.checks.to_stored();
    let kind = order.kind.map(ChallengeKind::as_str);
    let saved = tx
        .run(
            SAVE,
            &[
                (&pattern).into(),
                holder.into(),
                now.0.into(),
                lease_until.into(),
                order.stage.as_str().into(),
                order.ca.as_deref().into(),
                order.issued_by.as_deref().into(),
                order.order_url.as_deref().into(),
                kind.into(),
                super::values::Arg::Bytes(order.sealed_key.as_deref()),
                i64::from(order.replaces).into(),
                order.placed_at.into(),
                i64::from(order.polls).into(),
                i64::from(order.attempts).into(),
                i64::from(order.failures).into(),
                i64::from(order.ca_failures).into(),
                i64::from(order.restarts).into(),
                order.first_failed_at.into(),
                order.last_error.as_deref().into(),
                order.waits_for.as_deref().into(),
                (&checks).into(),
                order.not_before.into(),
                order.not_after.into(),
                order.renew_at.into(),
                order.window.map(|window| window.0).into(),
                order.window.map(|window| window.1).into(),
                order.ask_at.into(),
                order.next_at.into(),
            ],
        )
        .await?;
    Ok(saved == 1)
}

fn purpose(pattern: &str) -> String {
    format!("order key {pattern}")
}

/// The operator's own names belong to nobody.
fn tenant_id(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(Uuid::nil(), |tenant| tenant.0)
}

/// Reads [`columns`].
fn read(row: &Row) -> Result<CertificateOrder, StoreError> {
    let tenant: Uuid = row.get("tenant")?;
    let stage: &str = row.get("stage")?;
    let kind: Option<&str> = row.get("kind")?;
    let count =
        |column| Ok::<_, StoreError>(u32::try_from(row.get::<i64>(column)?).unwrap_or(u32::MAX));
    let window: (Option<i64>, Option<i64>) = (row.get("window_start")?, row.get("window_end")?);
    Ok(CertificateOrder {
        pattern: domains::pattern(row.get("pattern")?)?,
        tenant: (!tenant.is_nil()).then_some(TenantId(tenant)),
        stage: OrderStage::from_name(stage).ok_or_else(|| corrupt("order's stage", stage))?,
        ca: row.get("ca")?,
        issued_by: row.get("issued_by")?,
        order_url: row.get("order_url")?,
        kind: kind.and_then(ChallengeKind::from_name),
        sealed_key: row.get("sealed_key")?,
        replaces: row.get::<i64>("replaces")? != 0,
        placed_at: row.get("placed_at")?,
        polls: count("polls")?,
        attempts: count("attempts")?,
        failures: count("failures")?,
        ca_failures: count("ca_failures")?,
        restarts: count("restarts")?,
        first_failed_at: row.get("first_failed_at")?,
        last_error: row.get("last_error")?,
        checks: Checks::from_stored(row.get("checks")?),
        waits_for: row.get("waits_for")?,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        renew_at: row.get("renew_at")?,
        window: window.0.zip(window.1),
        ask_at: row.get("ask_at")?,
        next_at: row.get("next_at")?,
    })
}

/// An order's columns, for [`read`].
macro_rules! columns {
    () => {
        "pattern, tenant, stage, ca, issued_by, order_url, kind, sealed_key, replaces, placed_at, polls, attempts, failures, ca_failures, \
         restarts, first_failed_at, last_error, waits_for, checks, not_before, not_after, renew_at, window_start, window_end, ask_at, next_at"
    };
}
use columns;

const BY_PATTERN: &str = concat!(
    "select ",
    columns!(),
    " from certificate_orders where pattern = $1"
);
const SAVE: &str = "update certificate_orders set updated_at = $3, lease_until = $4, stage = $5, ca = $6, issued_by = $7, order_url = $8, \
     kind = $9, sealed_key = $10, replaces = $11, placed_at = $12, polls = $13, attempts = $14, failures = $15, ca_failures = $16, \
     restarts = $17, first_failed_at = $18, last_error = $19, waits_for = $20, checks = $21, not_before = $22, not_after = $23, \
     renew_at = $24, window_start = $25, window_end = $26, ask_at = $27, next_at = $28 \
     where pattern = $1 and lease_holder = $2 and lease_until > $3";
/// An order under way is left to itself.
const RENEW: &str = "update certificate_orders set updated_at = $2, \
     renew_at = case when stage = 'kept' then $2 else renew_at end, \
     next_at = case when stage in ('kept', 'due') then $2 else next_at end, \
     failures = case when stage = 'due' then 0 else failures end, \
     first_failed_at = case when stage = 'due' then null else first_failed_at end where pattern = $1";
const EXPIRING: &str = concat!(
    "select ",
    columns!(),
    " from certificate_orders where (failures > 0 or waits_for is not null) and not_after - $1 < (not_after - not_before) / 6 \
     and not_after < $1 + 604800000 and pattern > $2 order by pattern limit $3"
);
