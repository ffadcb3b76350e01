//! Who did what: one row for each operator's change, in the transaction that makes it.

use serde::Serialize;

use super::events::Event;
use super::values::Arg;
use super::writing::Writing;
use super::{READ, Store, StoreError};

/// Longest detail kept, in bytes.
const MAX_DETAIL: usize = 4096;

/// One row of the audit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct AuditEntry {
    /// Its number; grows.
    pub id: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who, as given to [`Store::acting_as`].
    pub actor: String,
    /// What, as in `tenant.create`.
    pub action: String,
    /// On what: a slug, a domain, a key's name.
    pub subject: String,
    /// More about it, for people.
    pub detail: String,
}

impl Store {
    /// The newest entries first, at most `limit`, only those numbered below `before` where given.
    pub async fn audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let rows = session
                .rows(
                    "select id, at, actor, action, subject, detail from audit where id < $1 order by id desc limit $2",
                    &[before.unwrap_or(i64::MAX).into(), i64::from(limit).into()],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(AuditEntry {
                        id: row.get("id")?,
                        at: row.get("at")?,
                        actor: row.get("actor")?,
                        action: row.get("action")?,
                        subject: row.get("subject")?,
                        detail: row.get("detail")?,
                    })
                })
                .collect()
        };
        self.timed("audit", READ, work).await
    }
}

impl Writing {
    /// Writes down many of what this transaction does, each with the same words.
    pub(super) async fn audit_events(
        &mut self,
        events: &[Event<'_>],
        detail: &str,
    ) -> Result<(), StoreError> {
        let (now, actor) = (self.now(), self.actor());
        let row = events.iter().map(|event| {
            vec![
                now.0.into(),
                (&*actor).into(),
                event.kind.as_str().into(),
                event.subject.into(),
                detail.into(),
            ]
        });
        let rows: Vec<Vec<Arg<'_>>> = row.collect();
        self.insert_many(
            "insert into audit (at, actor, action, subject, detail) values",
            &rows,
        )
        .await
    }

    /// Writes down what this transaction does. Never a secret.
    pub(super) async fn audit(
        &mut self,
        action: &'static str,
        subject: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let detail = &detail[..detail.floor_char_boundary(MAX_DETAIL)];
        let (now, actor) = (self.now(), self.actor());
        self.run(
            "insert into audit (at, actor, action, subject, detail) values ($1, $2, $3, $4, $5)",
            &[
                now.0.into(),
                (&*actor).into(),
                action.into(),
                subject.into(),
                detail.into(),
            ],
        )
        .await
        .map(drop)
    }
}
