//! One value: the kinds of it that settings have, each read in one way.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::notes::{Notes, Reason};
use super::quantity;
use super::raw::{Node, Place, Value};

/// A value being read.
pub(super) struct Item<'a> {
    node: &'a Node,
    name: String,
    pub(super) notes: &'a Notes,
}

impl<'a> Item<'a> {
    /// The value of the setting `name`.
    pub(super) fn new(node: &'a Node, name: String, notes: &'a Notes) -> Self {
        Self { node, name, notes }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        self.node.place
    }

    /// Notes a fault and gives nothing.
    pub(super) fn refuse<T>(&self, reason: impl Into<Reason>) -> Option<T> {
        let mut reason = reason.into();
        reason.what = format!("`{}` {}", self.name, reason.what);
        self.notes.flaw(self.node.place, reason);
        None
    }

    /// The value, or a fault noted.
    pub(super) fn checked<T>(&self, result: Result<T, Reason>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(reason) => self.refuse(reason),
        }
    }

    fn expected<T>(&self, what: &str, hint: Option<String>) -> Option<T> {
        let what = format!("is {}, expected {what}", self.node.value.kind());
        self.refuse(Reason { what, hint })
    }

    /// A text.
    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Boolean(_) | Value::Other(_) => {
                self.expected("a text", Some("put it in quotes".to_owned()))
            }
            _ => self.expected("a text", None),
        }
    }

    /// Whether it is a list with nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.node.value, Value::Array(nodes) if nodes.is_empty())
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::Array(_))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Boolean(flag) => Some(flag),
            _ => self.expected("true or false", None),
        }
    }

    /// A time such as `"60s"`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = match &self.node.value {
            Value::Integer(number) => {
                let hint = format!("say which unit: \"{number}s\" for seconds");
                return self.expected("a time", Some(hint));
            }
            _ => self.text()?,
        };
        let span = self.checked(quantity::duration(text))?;
        if range.contains(&span) {
            return Some(span);
        }
        let (least, most) = (
            quantity::show_duration(*range.start()),
            quantity::show_duration(*range.end()),
        );
        self.refuse(format!("is out of range: from {least} to {most}"))
    }

    /// A number of bytes, plain or such as `"32KiB"`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let size = match &self.node.value {
            Value::Integer(number) => self.within(*number, u64::MIN..=u64::MAX)?,
            Value::Text(text) => self.checked(quantity::size(text))?,
            _ => return self.expected("a size such as \"32KiB\"", None),
        };
        self.within(size.into(), range)
    }

    /// A whole number.
    pub(super) fn number<N>(&self, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i128> + Into<u64> + Copy,
    {
        match self.node.value {
            Value::Integer(number) => self.within(number, range),
            _ => self.expected("a whole number", None),
        }
    }

    fn within<N>(&self, number: i128, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i128> + Into<u64> + Copy,
    {
        let (least, most): (u64, u64) = ((*range.start()).into(), (*range.end()).into());
        let fits = (i128::from(least)..=i128::from(most)).contains(&number);
        match N::try_from(number) {
            Ok(value) if fits => Some(value),
            _ => self.refuse(format!("is out of range: from {least} to {most}")),
        }
    }

    /// One of several words.
    pub(super) fn one_of<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = quantity::suggest(text, &names, "it is one of ");
        self.refuse(Reason::with_hint("is none of the values it may have", hint))
    }

    /// A list; what is refused in it is noted and left out.
    pub(super) fn list<T>(&self, read: impl FnMut(&Item<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Value::Array(nodes) = &self.node.value else {
            return self.expected("a list", Some("put it in brackets: [\"…\"]".to_owned()));
        };
        let item = |node| Item {
            node,
            name: self.name.clone(),
            notes: self.notes,
        };
        let items: Vec<Item<'a>> = nodes.iter().map(item).collect();
        Some(items.iter().filter_map(read).collect())
    }

    /// A list in which nothing stands twice.
    pub(super) fn set<T: PartialEq>(
        &self,
        mut read: impl FnMut(&Item<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut seen = Vec::new();
        self.list(|item| {
            let value = read(item)?;
            if seen.contains(&value) {
                return item.refuse("has the same value twice");
            }
            seen.push(value);
            Some(())
        })?;
        Some(seen)
    }

    /// A list of texts, each checked by `check`, none twice.
    pub(super) fn texts<T: PartialEq>(
        &self,
        check: impl Fn(&str) -> Result<T, Reason>,
    ) -> Option<Vec<T>> {
        self.set(|item| item.checked(check(item.text()?)))
    }
}
