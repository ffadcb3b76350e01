//! What others are told of certificates: `certificate.*`.

use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::model::EventKind;
use crate::store::StoreError;
use crate::store::certificate_import::NewCertificate;
use crate::store::events::Event;
use crate::store::writing::Writing;

use super::CertificateOrder;

/// What has failed, at which CA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OrderFailed<'a> {
    /// An order.
    Order(&'a str),
    /// The CA itself, before there was one.
    Ca(&'a str),
}

/// A certificate has come. There has been one before where the name ever had one.
pub(super) async fn has_come(
    tx: &mut Writing,
    order: &CertificateOrder,
    new: &NewCertificate,
) -> Result<(), StoreError> {
    let pattern = order.pattern.to_string();
    let before = tx
        .row(
            "select 1 as one from certificate_names where pattern = $1",
            &[(&pattern).into()],
        )
        .await?;
    let (kind, reason, text) = match before {
        None => (
            EventKind::CertificateIssued,
            "issued",
            "a certificate was issued",
        ),
        Some(_) => (
            EventKind::CertificateRenewed,
            "renewed",
            "the certificate was renewed",
        ),
    };
    let more = json!({
        "ca": order.ca,
        "not_after": Timestamp(new.not_after).to_string(),
        "reason": reason,
        "text": text,
    });
    tell(tx, order, kind, more).await
}

/// A certificate has not come.
pub(super) async fn failed(
    tx: &mut Writing,
    order: &CertificateOrder,
    failed: OrderFailed<'_>,
) -> Result<(), StoreError> {
    let (reason, ca) = match failed {
        OrderFailed::Order(ca) => ("order_failed", ca),
        OrderFailed::Ca(ca) => ("ca_failed", ca),
    };
    let more = json!({
        "again_at": Timestamp(order.next_at).to_string(),
        "ca": ca,
        "reason": reason,
        "text": order.last_error,
    });
    tell(tx, order, EventKind::CertificateFailed, more).await
}

/// With the state of the name as it is now, where a tenant has it.
async fn tell(
    tx: &mut Writing,
    order: &CertificateOrder,
    kind: EventKind,
    mut data: Value,
) -> Result<(), StoreError> {
    let pattern = order.pattern.to_string();
    if let Some(tenant) = order.tenant {
        let args = [(&pattern).into(), tenant.0.into()];
        let row = tx.row(STATE, &args).await?;
        if let Some(row) = row {
            data["state"] = row.get::<String>("state")?.into();
        }
    }
    tx.event(Event {
        kind,
        subject: &pattern,
        tenant: order.tenant,
        data,
    })
    .await
}

const STATE: &str = "select state from domains where pattern = $1 and tenant = $2";
