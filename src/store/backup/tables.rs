//! Which tables a backup holds, their columns, and the values in them.
//!
//! The feed and the schema's own record are not among them: another store has another history, which `restore` begins, and the
//! schema that its program has made. Neither are events and what is still to be delivered of them (receivers would be told what is long
//! over, or a second time), open challenges (their CA has long looked elsewhere when a backup comes back),
//! ticket keys (they live a day, and without them visitors only shake hands in full).

use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use uuid::Uuid;

use crate::store::StoreError;
use crate::store::values::{Arg, Row};

/// One table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// Without those that the database numbers itself.
    pub(super) columns: &'static [Column],
    /// What its rows are ordered by.
    order: &'static str,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    kind: Kind,
}

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Uuid,
    Bytes,
}

/// A value of a row, NULL as `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Uuid(Option<Uuid>),
    Bytes(Option<Vec<u8>>),
}

const fn int(name: &'static str) -> Column {
    let kind = Kind::Int;
    Column { name, kind }
}

const fn text(name: &'static str) -> Column {
    let kind = Kind::Text;
    Column { name, kind }
}

const fn uuid(name: &'static str) -> Column {
    let kind = Kind::Uuid;
    Column { name, kind }
}

const fn bytes(name: &'static str) -> Column {
    let kind = Kind::Bytes;
    Column { name, kind }
}

/// All of them, a table that others refer to before those.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "tenants",
        columns: &[
            uuid("id"),
            text("slug"),
            text("name"),
            text("state"),
            text("state_before"),
            int("progress"),
            text("plan"),
            text("upstream"),
            text("limits"),
            text("placement"),
            text("meta"),
            int("version"),
            int("created_at"),
            int("updated_at"),
            int("removed_at"),
        ],
        order: "id",
    },
    Table {
        name: "slugs",
        columns: &[
            text("slug"),
            uuid("tenant"),
            text("kind"),
            int("reserved_until"),
        ],
        order: "slug",
    },
    Table {
        name: "domains",
        columns: &[
            text("pattern"),
            uuid("tenant"),
            text("state"),
            int("trusted"),
            int("created_at"),
            int("updated_at"),
            text("secret"),
            text("reason"),
            int("since"),
            int("looks"),
            text("checks"),
            int("checked_at"),
            int("next_look_at"),
            text("minimum_tls"),
            text("client_ca"),
        ],
        order: "pattern, tenant",
    },
    Table {
        name: "signing_keys",
        columns: &[
            text("kid"),
            bytes("public_key"),
            bytes("sealed_private_key"),
            int("created_at"),
            int("active_from"),
            int("retired_at"),
        ],
        order: "created_at, kid",
    },
    Table {
        name: "certificates",
        columns: &[
            uuid("id"),
            text("names"),
            text("chain"),
            bytes("sealed_key"),
            int("not_before"),
            int("not_after"),
            text("source"),
            text("fingerprint"),
            int("created_at"),
            text("ca"),
        ],
        order: "id",
    },
    Table {
        name: "certificate_names",
        columns: &[
            text("pattern"),
            uuid("certificate"),
            uuid("former"),
            int("idle_since"),
        ],
        order: "pattern",
    },
    Table {
        name: "certificate_orders",
        columns: &[
            text("pattern"),
            uuid("tenant"),
            text("stage"),
            text("ca"),
            text("issued_by"),
            text("order_url"),
            text("kind"),
            bytes("sealed_key"),
            int("replaces"),
            int("placed_at"),
            int("polls"),
            int("attempts"),
            int("failures"),
            int("ca_failures"),
            int("restarts"),
            int("first_failed_at"),
            text("last_error"),
            text("waits_for"),
            text("checks"),
            int("not_before"),
            int("not_after"),
            int("renew_at"),
            int("window_start"),
            int("window_end"),
            int("ask_at"),
            int("next_at"),
            text("lease_holder"),
            int("lease_until"),
            int("created_at"),
            int("updated_at"),
        ],
        order: "pattern",
    },
    Table {
        name: "certificate_turns",
        columns: &[uuid("tenant"), int("turn")],
        order: "tenant",
    },
    Table {
        name: "acme_accounts",
        columns: &[
            text("ca"),
            text("url"),
            bytes("sealed_credentials"),
            text("lease_holder"),
            int("lease_until"),
            int("created_at"),
            int("updated_at"),
        ],
        order: "ca",
    },
    Table {
        name: "acme_budgets",
        columns: &[text("ca"), text("bucket"), text("name"), int("spent_until")],
        order: "ca, bucket, name",
    },
    Table {
        name: "webhooks",
        columns: &[
            uuid("id"),
            text("url"),
            text("kinds"),
            uuid("tenant"),
            int("allow_private"),
            bytes("sealed_secret"),
            bytes("sealed_old_secret"),
            int("old_secret_until"),
            int("created_at"),
            int("paused_at"),
            text("paused_why"),
            int("failing_since"),
            int("hold_until"),
        ],
        order: "created_at, id",
    },
    Table {
        // Its numbers are drawn anew, in the same order.
        name: "audit",
        columns: &[
            int("at"),
            text("actor"),
            text("action"),
            text("subject"),
            text("detail"),
        ],
        order: "id",
    },
];

impl Table {
    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }

    /// Its column of this name.
    pub(super) fn column(&self, name: &str) -> Option<Column> {
        self.columns
            .iter()
            .find(|column| column.name == name)
            .copied()
    }

    pub(super) fn select(&self) -> String {
        let columns = names(self.columns);
        format!(
            "select {columns} from {} order by {}",
            self.name, self.order
        )
    }

    /// `insert into … (…) values`, for some of its columns.
    pub(super) fn insert(&self, columns: &[Column]) -> String {
        format!("insert into {} ({}) values", self.name, names(columns))
    }

    pub(super) fn values(&self, row: &Row) -> Result<Vec<Value>, StoreError> {
        let value = |column: &Column| {
            Ok(match column.kind {
                Kind::Int => Value::Int(row.get(column.name)?),
                Kind::Text => Value::Text(row.get(column.name)?),
                Kind::Uuid => Value::Uuid(row.get(column.name)?),
                Kind::Bytes => Value::Bytes(row.get(column.name)?),
            })
        };
        self.columns.iter().map(value).collect()
    }
}

fn names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

impl Value {
    pub(super) fn json(&self) -> serde_json::Value {
        match self {
            Self::Int(value) => (*value).into(),
            Self::Text(value) => value.as_deref().into(),
            Self::Uuid(value) => value.map(|id| id.to_string()).into(),
            Self::Bytes(value) => value
                .as_ref()
                .map(|bytes| BASE64_STANDARD_NO_PAD.encode(bytes))
                .into(),
        }
    }

    /// Reads what [`Value::json`] wrote for `column`; `None` where it is something else.
    pub(super) fn read(column: Column, value: serde_json::Value) -> Option<Self> {
        use serde_json::Value as Json;
        Some(match (column.kind, value) {
            (Kind::Int, Json::Null) => Self::Int(None),
            (Kind::Text, Json::Null) => Self::Text(None),
            (Kind::Uuid, Json::Null) => Self::Uuid(None),
            (Kind::Bytes, Json::Null) => Self::Bytes(None),
            (Kind::Int, Json::Number(number)) => Self::Int(Some(number.as_i64()?)),
            (Kind::Text, Json::String(text)) => Self::Text(Some(text)),
            (Kind::Uuid, Json::String(text)) => Self::Uuid(Some(Uuid::try_parse(&text).ok()?)),
            (Kind::Bytes, Json::String(text)) => {
                Self::Bytes(Some(BASE64_STANDARD_NO_PAD.decode(text).ok()?))
            }
            _ => return None,
        })
    }

    pub(super) fn arg(&self) -> Arg<'_> {
        match self {
            Self::Int(value) => Arg::Int(*value),
            Self::Text(value) => Arg::Text(value.as_deref()),
            Self::Uuid(value) => Arg::Uuid(*value),
            Self::Bytes(value) => Arg::Bytes(value.as_deref()),
        }
    }
}
