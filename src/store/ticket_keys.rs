//! The keys that seal session tickets, themselves sealed: all nodes of a fleet have the same, and each lives about a day.

use std::time::Duration;

use uuid::Uuid;

use super::session::Session;
use super::values::{Arg, Row};
use super::{READ, Store, StoreError, WRITE};
use crate::clock::Timestamp;

/// PostgreSQL's advisory lock for changes of ticket keys. ("vestibul", the last letter 5.)
const TICKETS_LOCK: i64 = 0x7665_7374_6962_7505;

/// One key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TicketKeyRecord {
    /// The name that stands before every ticket of it.
    pub id: Uuid,
    /// The key, sealed for [`TicketKeyRecord::purpose`].
    pub sealed_key: Vec<u8>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

impl TicketKeyRecord {
    /// What it is sealed for. The row is named, so that one row's key cannot be put into another's place.
    pub fn purpose(&self) -> String {
        ticket_key_purpose(self.id)
    }
}

/// What the ticket key `id` is sealed for.
pub fn ticket_key_purpose(id: Uuid) -> String {
    format!("ticket key {id}")
}

/// How long ticket keys live.
#[derive(Clone, Copy, Debug)]
pub struct TicketKeyLife {
    /// After this a new one is due.
    pub period: Duration,
    /// After this it goes.
    pub keep: Duration,
}

impl Store {
    /// The ticket keys as they should be, oldest first: where no key that `is_usable` is younger than a period, one more, which `make`
    /// seals under the name that it is given; and without those that are too old. Of several nodes that find one due at once, one makes
    /// it. Where nothing is due nothing is written.
    pub async fn ticket_keys(
        &self,
        life: TicketKeyLife,
        is_usable: impl Fn(&TicketKeyRecord) -> bool,
        make: impl FnOnce(Uuid) -> Option<Vec<u8>>,
    ) -> Result<Vec<TicketKeyRecord>, StoreError> {
        let now = self.inner.clock.now();
        let read = async { all(&mut self.inner.reading().await?).await };
        let keys = self.timed("ticket_keys", READ, read).await?;
        if !is_due(&keys, life, now, &is_usable) && !keys.iter().any(|key| is_old(key, life, now)) {
            return Ok(keys);
        }
        let write = async {
            let mut tx = self.writing().await?;
            tx.lock(TICKETS_LOCK).await?;
            let mut keys = all(&mut tx).await?;
            for old in keys.extract_if(.., |key| is_old(key, life, now)) {
                let id = [old.id.into()];
                tx.run("delete from ticket_keys where id = $1", &id).await?;
            }
            if is_due(&keys, life, now, &is_usable) {
                let id = self.inner.new_uuid();
                if let Some(sealed_key) = make(id) {
                    let key = TicketKeyRecord {
                        id,
                        sealed_key,
                        created_at: now.0,
                    };
                    insert(&mut tx, &key).await?;
                    keys.push(key);
                }
            }
            tx.finish_unannounced().await?;
            Ok(keys)
        };
        self.timed("ticket_keys_rotate", WRITE, write).await
    }
}

fn is_due(
    keys: &[TicketKeyRecord],
    life: TicketKeyLife,
    now: Timestamp,
    is_usable: &impl Fn(&TicketKeyRecord) -> bool,
) -> bool {
    let young = |key: &TicketKeyRecord| now.since(Timestamp(key.created_at)) < life.period;
    !keys.iter().any(|key| young(key) && is_usable(key))
}

fn is_old(key: &TicketKeyRecord, life: TicketKeyLife, now: Timestamp) -> bool {
    now.since(Timestamp(key.created_at)) >= life.keep
}

/// Drops all of them: what was sealed anew, or put in another store's place, they would not open for.
pub(super) async fn clear(session: &mut Session) -> Result<(), StoreError> {
    session.run("delete from ticket_keys", &[]).await.map(drop)
}

async fn insert(session: &mut Session, key: &TicketKeyRecord) -> Result<(), StoreError> {
    let args = [
        key.id.into(),
        Arg::Bytes(Some(&key.sealed_key)),
        key.created_at.into(),
    ];
    session
        .run(
            "insert into ticket_keys (id, sealed_key, created_at) values ($1, $2, $3)",
            &args,
        )
        .await
        .map(drop)
}

async fn all(session: &mut Session) -> Result<Vec<TicketKeyRecord>, StoreError> {
    let rows = session
        .rows(
            "select id, sealed_key, created_at from ticket_keys order by created_at, id",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<TicketKeyRecord, StoreError> {
    Ok(TicketKeyRecord {
        id: row.get("id")?,
        sealed_key: row.get("sealed_key")?,
        created_at: row.get("created_at")?,
    })
}
