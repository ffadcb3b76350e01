//! What was typed: values that know where they stand, whether in the file or in an environment variable.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

/// Where something was typed: which source, and the bytes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the source: 0 is the file, the others are environment variables.
    pub(super) source: usize,
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

/// A value and where it stands.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value as TOML has them.
pub(super) enum Value {
    Text(String),
    /// One too large for 64 bits is kept as the largest there is: no setting goes that far.
    Integer(i128),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
    /// A kind that no setting has, by name.
    Other(&'static str),
}

/// Keys and values, in the order of the keys.
#[derive(Default)]
pub(super) struct Table(pub(super) Vec<Entry>);

/// One key and its value.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Table {
    /// The entry called `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// The position of `key`, which gets an empty table at `place` where there is none.
    pub(super) fn position_or_insert(&mut self, key: &str, place: Place, made: Value) -> usize {
        if let Some(found) = self.0.iter().position(|entry| entry.key == key) {
            return found;
        }
        self.0.push(Entry {
            key: key.to_owned(),
            key_place: place,
            node: Node { value: made, place },
        });
        self.0.len() - 1
    }

    /// Takes over what the TOML reader made of source number `source`, whose text was moved to the right by `offset` bytes.
    pub(super) fn from_toml(table: DeTable<'_>, source: usize, offset: usize) -> Self {
        let entry = |(key, value): (Spanned<_>, _)| Entry {
            key_place: place(key.span(), source, offset),
            key: std::borrow::Cow::into_owned(key.into_inner()),
            node: Node::from_toml(value, source, offset),
        };
        Self(table.into_iter().map(entry).collect())
    }
}

impl Node {
    /// See [`Table::from_toml`].
    pub(super) fn from_toml(value: Spanned<DeValue<'_>>, source: usize, offset: usize) -> Self {
        let place = place(value.span(), source, offset);
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => Value::Integer(integer(&number)),
            DeValue::Boolean(flag) => Value::Boolean(flag),
            DeValue::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| Self::from_toml(item, source, offset))
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(Table::from_toml(table, source, offset)),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
        };
        Self { value, place }
    }
}

impl Value {
    /// The kind of value, for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a section",
            Self::Other(kind) => kind,
        }
    }
}

fn integer(number: &DeInteger<'_>) -> i128 {
    i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX)
}

fn place(span: Range<usize>, source: usize, offset: usize) -> Place {
    Place {
        source,
        start: span.start + offset,
        end: span.end + offset,
    }
}
