//! What happened that others want to hear of: one row for each, in the transaction that makes it so.

use serde_json::Value;

use crate::model::TenantId;

use super::StoreError;
use super::values::Arg;
use super::writing::Writing;

/// Something that happened.
pub(super) struct Event<'a> {
    /// What, as in `domain.active`.
    pub(super) kind: &'static str,
    /// To what: a domain.
    pub(super) subject: &'a str,
    /// Whose it is.
    pub(super) tenant: Option<TenantId>,
    /// More about it, an object. Never a secret.
    pub(super) data: Value,
}

impl Writing {
    /// Writes down what this transaction makes happen.
    pub(super) async fn events(&mut self, events: &[Event<'_>]) -> Result<(), StoreError> {
        let now = self.now();
        let data: Vec<String> = events.iter().map(|event| event.data.to_string()).collect();
        let each = events.iter().zip(&data).map(|(event, data)| {
            vec![
                now.0.into(),
                event.kind.into(),
                event.subject.into(),
                event.tenant.map(|tenant| tenant.0).into(),
                data.into(),
            ]
        });
        let rows: Vec<Vec<Arg<'_>>> = each.collect();
        self.insert_many(
            "insert into events (at, kind, subject, tenant, data) values",
            &rows,
        )
        .await
    }
}
