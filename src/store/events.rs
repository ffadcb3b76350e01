//! What happened that others want to hear of: one row for each event, in the transaction that makes it so, and beside it one for each
//! webhook that it is for (`deliveries.rs`). Where there is no webhook that second part finds nothing to do.

use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::{EventKind, TenantId};

use super::tenant_rows::corrupt;
use super::values::{Arg, Row};
use super::writing::Writing;
use super::{Store, StoreError, WRITE};

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Event<'a> {
    /// What.
    pub(super) kind: EventKind,
    /// To what: a name. Of one subject a receiver hears in order.
    pub(super) subject: &'a str,
    /// Whose it is.
    pub(super) tenant: Option<TenantId>,
    /// More about it, an object; receivers get its members beside `hostname` and `tenant`. Never a secret.
    pub(super) data: Value,
}

/// An event as receivers get it: the same bytes however often it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// What receivers know it by; the same for every receiver and every attempt, and no other event ever has it.
    pub id: String,
    /// JSON.
    pub body: String,
}

impl Writing {
    /// Writes down what this transaction makes happen, for every webhook that wants to hear of it.
    pub(super) async fn event(&mut self, event: Event<'_>) -> Result<(), StoreError> {
        self.events(&[event]).await
    }

    /// As [`Self::event`], many at once.
    pub(super) async fn events(&mut self, events: &[Event<'_>]) -> Result<(), StoreError> {
        let ids = self.insert_events(events).await?;
        let ids: Vec<Arg<'_>> = ids.iter().map(|id| (*id).into()).collect();
        self.run_with(FAN_OUT, &ids, "order by e.id").await
    }

    /// The rows alone; what each event is known by.
    pub(super) async fn insert_events(
        &mut self,
        events: &[Event<'_>],
    ) -> Result<Vec<Uuid>, StoreError> {
        let now = self.now();
        let ids: Vec<Uuid> = events.iter().map(|_| self.new_uuid()).collect();
        let data: Vec<String> = events.iter().map(|event| event.data.to_string()).collect();
        let each = events
            .iter()
            .zip(&data)
            .zip(&ids)
            .map(|((event, data), id)| {
                vec![
                    (*id).into(),
                    now.0.into(),
                    event.kind.as_str().into(),
                    event.subject.into(),
                    event.tenant.map(|tenant| tenant.0).into(),
                    data.into(),
                ]
            });
        let rows: Vec<Vec<Arg<'_>>> = each.collect();
        self.insert_many(
            "insert into events (uid, at, kind, subject, tenant, data) values",
            &rows,
        )
        .await?;
        Ok(ids)
    }
}

impl Store {
    /// Forgets events that are older than `age`, delivered or not, at most `limit`; how many. The oldest go first.
    pub async fn prune_events(&self, age: Duration, limit: u32) -> Result<u64, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let before = tx.now().0.saturating_sub(age);
            let prune = tx.either(PRUNE_SQLITE, PRUNE_POSTGRES);
            let gone = tx
                .run(prune, &[before.into(), i64::from(limit).into()])
                .await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("events_prune", WRITE, work).await
    }
}

/// Reads `uid, kind, at, subject, tenant, data, tenant_slug`.
pub(super) fn message(row: &Row) -> Result<Message, StoreError> {
    let (kind, text): (&str, &str) = (row.get("kind")?, row.get("data")?);
    let kind = EventKind::from_name(kind).ok_or_else(|| corrupt("kind of event", kind))?;
    let mut data: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| corrupt("event", text))?;
    if kind != EventKind::Ping {
        data.insert("hostname".into(), row.get::<String>("subject")?.into());
    }
    if let Some(id) = row.get::<Option<Uuid>>("tenant")? {
        let slug: Option<String> = row.get("tenant_slug")?;
        let tenant = serde_json::json!({ "id": id, "slug": slug });
        data.insert("tenant".into(), tenant);
    }
    let at = Timestamp(row.get("at")?).rfc3339();
    let body = serde_json::json!({
        "type": kind,
        "timestamp": String::from_utf8_lossy(&at),
        "data": data,
    });
    let id: Uuid = row.get("uid")?;
    Ok(Message {
        id: format!("evt_{}", id.simple()),
        body: body.to_string(),
    })
}

/// The tenant's slug is kept as it is now, so that what is sent a second time says the same.
const FAN_OUT: &str = "insert into deliveries (webhook, event, subject, tenant_slug, state, created_at, due_at) \
     select w.id, e.id, e.subject, t.slug, 'pending', e.at, e.at from events e \
     join webhooks w on (w.tenant is null or w.tenant = e.tenant) and (w.kinds = '' or w.kinds like '% ' || e.kind || ' %') \
     left join tenants t on t.id = e.tenant where e.uid in";
const PRUNE_SQLITE: &str =
    "delete from events where id in (select id from events where at < $1 order by at, id limit $2)";
/// Two nodes that prune at a time take other rows.
const PRUNE_POSTGRES: &str = "delete from events where id in \
     (select id from events where at < $1 order by at, id limit $2 for update skip locked)";
