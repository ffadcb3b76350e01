//! The two moments of an order that must be one step with something else: what it costs, and what it brings.

use crate::model::DomainPattern;
use crate::seal::Sealer;
use crate::store::acme_budget::{self, Charge, Short};
use crate::store::certificate_import::{self, NewCertificate};
use crate::store::signing_keys::{self, KEYS_LOCK};
use crate::store::writing::Writing;
use crate::store::{BULK, CertificateChange, Changed, Store, StoreError, WRITE};

use super::{CertificateOrder, Hold, ORDERS_LOCK, OrderStage, save, told};

/// Whether an order may be placed now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placing {
    /// Yes: it is paid for, and the row says that it is being placed.
    Paid,
    /// Not yet: the budgets do not have it. Nothing has changed.
    Short(Short),
    /// The lease has ended.
    Lost,
}

impl Store {
    /// Saves `order`, whose key `sealer` sealed, as one that is about to be placed, and takes all of `charges`, in one step: a node that
    /// dies at any moment has spent no more than this, and no two nodes spend the same.
    pub async fn begin_placing(
        &self,
        order: &CertificateOrder,
        holder: &str,
        charges: &[Charge],
        sealer: &Sealer,
    ) -> Result<Placing, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            // Whoever seals anew meanwhile would leave the key behind.
            tx.lock(KEYS_LOCK).await?;
            signing_keys::check_sealed_by(&mut tx, sealer).await?;
            if !is_wanted(&mut tx, order).await? {
                return Ok(Placing::Lost);
            }
            tx.lock(ORDERS_LOCK).await?;
            if let Err(short) = acme_budget::spend(&mut tx, charges).await? {
                return Ok(Placing::Short(short));
            }
            if !save(&mut tx, order, holder, Hold::Keep).await? {
                return Ok(Placing::Lost);
            }
            tx.finish_unannounced().await?;
            Ok(Placing::Paid)
        };
        self.timed("order_place", WRITE, work).await
    }

    /// Keeps the certificate that an order brought, its key sealed by `sealer`, saves the order and releases it, in one step, and gives
    /// back what of the budgets was not used. False where the lease has ended or nobody wants the certificate any more: then nothing is
    /// kept.
    pub async fn keep_issued(
        &self,
        order: &CertificateOrder,
        holder: &str,
        new: &NewCertificate,
        sealer: &Sealer,
        refunds: &[Charge],
    ) -> Result<bool, StoreError> {
        let list = std::slice::from_ref(new);
        let rows = self.certificate_rows(list, sealer);
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(KEYS_LOCK).await?;
            signing_keys::check_sealed_by(&mut tx, sealer).await?;
            if !refunds.is_empty() {
                tx.lock(ORDERS_LOCK).await?;
                acme_budget::refund(&mut tx, refunds).await?;
            }
            if !is_wanted(&mut tx, order).await?
                || is_imported(&mut tx, order).await?
                || !save(&mut tx, order, holder, Hold::Release).await?
            {
                return Ok(false);
            }
            told::has_come(&mut tx, order, new).await?;
            certificate_import::put(&mut tx, list, &rows).await?;
            let names: Vec<_> = new.names.iter().map(ToString::to_string).collect();
            tx.audit("cert.issue", &names.join(" "), &new.fingerprint)
                .await?;
            let present = |pattern: &DomainPattern| CertificateChange {
                pattern: pattern.clone(),
                present: true,
            };
            let changes = new.names.iter().map(present).collect();
            tx.finish(&Changed::Certificates(changes)).await?;
            Ok(true)
        };
        self.timed("order_issued", BULK, work).await
    }
}

impl Store {
    /// Lets an order be tried now that a look at the name has kept from being placed: what was wrong may have been put right.
    pub async fn hurry_order(&self, pattern: &DomainPattern) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let (pattern, now) = (pattern.to_string(), tx.now().0);
            tx.run(
                "update certificate_orders set next_at = $2 where pattern = $1 and next_at > $2 and stage = $3 and checks <> '[]'",
                &[
                    (&pattern).into(),
                    now.into(),
                    OrderStage::Due.as_str().into(),
                ],
            )
            .await?;
            tx.finish_unannounced().await
        };
        self.timed("order_hurry", WRITE, work).await
    }
}

/// Whether a customer's name is still somebody's who has proved it. That it is not any more is noticed by a look at everything too, but
/// nothing is ordered or kept in between. The operator's own names are wanted while they are configured.
async fn is_wanted(tx: &mut Writing, order: &CertificateOrder) -> Result<bool, StoreError> {
    if order.tenant.is_none() {
        return Ok(true);
    }
    let pattern = order.pattern.to_string();
    let held = tx
        .row(
            "select 1 as one from domains where pattern = $1 and state in ('verified', 'active', 'degraded')",
            &[(&pattern).into()],
        )
        .await?;
    Ok(held.is_some())
}

/// Whether an operator has brought a certificate for the name while it was ordered, one that is good for a while and not a former tenant's.
async fn is_imported(tx: &mut Writing, order: &CertificateOrder) -> Result<bool, StoreError> {
    let (pattern, now) = (order.pattern.to_string(), tx.now().0);
    let imported = tx
        .row(
            // Whoever has the name now, which may not be who had it when the order was leased.
            "select 1 as one from certificate_names n join certificates c on c.id = n.certificate \
             where n.pattern = $1 and c.source = 'import' and c.not_before <= $2 \
             and c.not_after - (c.not_after - c.not_before) / 3 > $2 and (n.former is null or n.former = (select h.tenant \
             from domains h where h.pattern = n.pattern and h.state in ('verified', 'active', 'degraded')))",
            &[(&pattern).into(), now.into()],
        )
        .await?;
    Ok(imported.is_some())
}
