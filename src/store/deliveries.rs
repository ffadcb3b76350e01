//! Deliveries: the outbox of webhooks. Of many nodes one has a delivery at a time, for as long as its lease; of one subject's events a
//! webhook is sent the next when the one before has been delivered or given up.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::model::{EventKind, WebhookUrl};

use super::events::{Event, Message, message};
use super::tenant_rows::corrupt;
use super::values::Row;
use super::webhooks::{self, purpose};
use super::{READ, Store, StoreError, WRITE};

mod take;
mod tried;

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is tried, now or later.
    Pending,
    /// The receiver has it.
    Delivered,
    /// It was tried in vain for long enough.
    Failed,
}

/// One event on its way to one webhook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delivery {
    /// Its number; grows.
    pub id: i64,
    /// What the receiver knows the event by.
    pub event: String,
    /// What happened.
    pub kind: EventKind,
    /// To what.
    pub subject: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it happened, in milliseconds since 1970.
    pub created_at: i64,
    /// When it is tried next, in milliseconds since 1970; of one under way, when another node may take it over.
    pub due_at: Option<i64>,
    /// How often it was tried, since it was last begun anew.
    pub attempts: i64,
    /// When it was tried last, in milliseconds since 1970.
    pub tried_at: Option<i64>,
    /// What the receiver answered last.
    pub status: Option<i64>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// A delivery that is to be made now, by whoever has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueDelivery {
    /// Its number.
    pub id: i64,
    /// What happened.
    pub kind: EventKind,
    /// Says that it is ours.
    pub lease: Uuid,
    /// To whom.
    pub target: Target,
    /// What.
    pub message: Message,
}

/// Whom a delivery is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The webhook.
    pub webhook: Uuid,
    /// Where it is.
    pub url: WebhookUrl,
    /// Whether it may lead to addresses that are nobody's on the internet.
    pub allow_private: bool,
    /// The secrets that count now, sealed for [`Target::purpose`]; the newest first.
    pub sealed_secrets: Vec<Vec<u8>>,
}

impl Target {
    /// What its secrets are sealed for.
    pub fn purpose(&self) -> String {
        purpose(self.webhook)
    }
}

/// What became of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The receiver has it.
    Delivered,
    /// It is tried again.
    Again,
    /// It has been given up.
    GivenUp,
    /// It waits with all others: nothing is sent to this webhook any more, for this reason.
    Paused(&'static str),
}

/// What [`target`] reads of a webhook at the moment `$1`: an old secret counts until its time is over.
macro_rules! target_columns {
    () => {
        "w.id as webhook, w.url as url, w.allow_private as allow_private, w.sealed_secret as sealed_secret, \
         case when w.old_secret_until > $1 then w.sealed_old_secret end as old_secret"
    };
}
use target_columns;

/// Selects what [`due_delivery`] reads.
macro_rules! due_columns {
    () => {
        "select d.id as id, e.uid as uid, e.kind as kind, e.at as at, e.subject as subject, e.tenant as tenant, e.data as data, \
         d.tenant_slug as tenant_slug from deliveries d join events e on e.id = d.event "
    };
}
use due_columns;

/// Selects what [`delivery`] reads.
macro_rules! delivery_columns {
    () => {
        "select d.id as id, e.uid as uid, e.kind as kind, e.at as at, d.subject as subject, e.tenant as tenant, e.data as data, \
         d.tenant_slug as tenant_slug, d.state as state, d.created_at as created_at, d.due_at as due_at, d.attempts as attempts, \
         d.tried_at as tried_at, d.status as status, d.error as error from deliveries d join events e on e.id = d.event "
    };
}

impl Store {
    /// Makes a ping for a webhook, paused or not, and keeps it from nodes for `lease`. It is tried once.
    pub async fn ping_webhook(&self, id: Uuid, lease: Duration) -> Result<DueDelivery, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now();
            let row = tx.row(TARGET, &[now.0.into(), id.into()]).await?;
            let target = target(&row.ok_or(StoreError::UnknownWebhook(id))?)?;
            let subject = id.to_string();
            let event = Event {
                kind: EventKind::Ping,
                subject: &subject,
                tenant: None,
                data: serde_json::json!({ "webhook": id }),
            };
            let event = tx.insert_events(&[event]).await?;
            let event = event.first().copied().unwrap_or_default();
            let (lease_id, until) = (tx.new_uuid(), now.plus(lease).0);
            tx.run(
                "insert into deliveries (webhook, event, subject, state, created_at, due_at, lease) \
                 select $1, id, subject, 'pending', at, $3, $4 from events where uid = $2",
                &[id.into(), event.into(), until.into(), lease_id.into()],
            )
            .await?;
            let made = tx.row(LEASED, &[lease_id.into()]).await?;
            let made = made.ok_or(StoreError::UnknownWebhook(id))?;
            tx.audit("webhook.test", &subject, "").await?;
            tx.finish_unannounced().await?;
            due_delivery(&made, target, lease_id)
        };
        self.timed("webhook_ping", WRITE, work).await
    }

    /// Sends an event once more, whatever became of it, as if it had not been tried. One that is under way is left alone.
    pub async fn redeliver(&self, id: i64) -> Result<Delivery, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let now = tx.now().0;
            tx.run(
                "update deliveries set state = 'pending', due_at = $2, lease = null, attempts = 0, tried_from = null \
                 where id = $1 and (lease is null or due_at <= $2)",
                &[id.into(), now.into()],
            )
            .await?;
            let one = concat!(delivery_columns!(), "where d.id = $1");
            let row = tx.row(one, &[id.into()]).await?;
            let delivery = delivery(&row.ok_or(StoreError::UnknownDelivery(id))?)?;
            let detail = format!("{} {}", delivery.kind.as_str(), delivery.subject);
            tx.audit("webhook.redeliver", &id.to_string(), &detail)
                .await?;
            tx.finish_unannounced().await?;
            Ok(delivery)
        };
        self.timed("redeliver", WRITE, work).await
    }

    /// The last deliveries of a webhook, at most `limit`, the newest first.
    pub async fn deliveries(&self, webhook: Uuid, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let rows = session
                .rows(
                    concat!(
                        delivery_columns!(),
                        "where d.webhook = $1 order by d.id desc limit $2"
                    ),
                    &[webhook.into(), i64::from(limit).into()],
                )
                .await?;
            rows.iter().map(delivery).collect()
        };
        self.timed("deliveries", READ, work).await
    }

    /// How many deliveries are still to be made, those of paused webhooks among them.
    pub async fn pending_deliveries(&self) -> Result<i64, StoreError> {
        let work = async {
            let count = "select count(*) as many from deliveries where state = 'pending'";
            let row = self.inner.reading().await?.row(count, &[]).await?;
            row.map_or(Ok(0), |row| row.get("many"))
        };
        self.timed("deliveries_pending", READ, work).await
    }
}

/// Reads `webhook, url, allow_private, sealed_secret, old_secret`.
fn target(row: &Row) -> Result<Target, StoreError> {
    let old: Option<Vec<u8>> = row.get("old_secret")?;
    let secret: Vec<u8> = row.get("sealed_secret")?;
    Ok(Target {
        webhook: row.get("webhook")?,
        url: webhooks::url(row)?,
        allow_private: row.get::<i64>("allow_private")? != 0,
        sealed_secrets: std::iter::once(secret).chain(old).collect(),
    })
}

fn due_delivery(row: &Row, target: Target, lease: Uuid) -> Result<DueDelivery, StoreError> {
    Ok(DueDelivery {
        id: row.get("id")?,
        kind: kind(row)?,
        lease,
        target,
        message: message(row)?,
    })
}

fn kind(row: &Row) -> Result<EventKind, StoreError> {
    let kind: &str = row.get("kind")?;
    EventKind::from_name(kind).ok_or_else(|| corrupt("kind of event", kind))
}

/// Reads [`delivery_columns`].
fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    let state = match row.get::<&str>("state")? {
        "pending" => DeliveryState::Pending,
        "delivered" => DeliveryState::Delivered,
        "failed" => DeliveryState::Failed,
        other => return Err(corrupt("state of a delivery", other)),
    };
    let due_at: i64 = row.get("due_at")?;
    Ok(Delivery {
        id: row.get("id")?,
        event: message(row)?.id,
        kind: kind(row)?,
        subject: row.get("subject")?,
        state,
        created_at: row.get("created_at")?,
        due_at: (state == DeliveryState::Pending).then_some(due_at),
        attempts: row.get("attempts")?,
        tried_at: row.get("tried_at")?,
        status: row.get("status")?,
        error: row.get("error")?,
    })
}

const TARGET: &str = concat!(
    "select ",
    target_columns!(),
    " from webhooks w where w.id = $2"
);
const LEASED: &str = concat!(due_columns!(), "where d.lease = $1");
