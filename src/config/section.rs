//! Taking settings out of a section, key by key. Whatever is wrong is noted and reading goes on; a key that nobody asked for
//! is unknown, so a setting cannot be forgotten in a list of names.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::item::Item;
use super::notes::{Notes, Reason};
use super::quantity;
use super::raw::{Entry, Place, Table, Value};

/// A section being read.
pub(super) struct Section<'a> {
    table: Option<&'a Table>,
    path: String,
    place: Place,
    known: RefCell<Vec<&'static str>>,
    /// Keys whose work is not built yet: known, and recommended to nobody.
    later: RefCell<Vec<&'static str>>,
    pub(super) notes: &'a Notes,
}

impl<'a> Section<'a> {
    /// Reads the whole configuration with `read`, then reports what it did not ask for.
    pub(super) fn root<T>(table: &'a Table, notes: &'a Notes, read: impl FnOnce(&Self) -> T) -> T {
        let place = Place {
            source: 0,
            start: 0,
            end: 0,
        };
        Self::read(Some(table), String::new(), place, notes, read)
    }

    fn read<T>(
        table: Option<&'a Table>,
        path: String,
        place: Place,
        notes: &'a Notes,
        read: impl FnOnce(&Self) -> T,
    ) -> T {
        let section = Self {
            table,
            path,
            place,
            known: RefCell::default(),
            later: RefCell::default(),
            notes,
        };
        let value = read(&section);
        section.report_unknown();
        value
    }

    fn report_unknown(&self) {
        let known = self.known.borrow();
        let later = self.later.borrow();
        let built: Vec<&str> = known
            .iter()
            .filter(|key| !later.contains(key))
            .copied()
            .collect();
        for entry in self.table.iter().flat_map(|table| &table.0) {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let kind = match entry.node.value {
                Value::Table(_) => "section",
                _ => "key",
            };
            self.notes.flaw(
                entry.key_place,
                Reason {
                    what: format!("unknown {kind} `{}`", self.name(&entry.key)),
                    hint: Some(quantity::suggest(&entry.key, &built, "it has ")),
                },
            );
        }
    }

    /// The full name of `key`, as in `edge.timeouts.head`.
    pub(super) fn name(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn entry(&self, key: &'static str) -> Option<&'a Entry> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        self.table?.entry(key)
    }

    /// Where the value of `key` stands; the section itself where it is not set.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let entry = self.table.and_then(|table| table.entry(key));
        entry.map_or(self.place, |entry| entry.node.place)
    }

    /// Where the section stands.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    /// Whether `key` is written, whatever its value.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// The value of `key` as `read` sees it; `None` where it is not set or was refused.
    pub(super) fn get<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        read(&Item::new(&entry.node, self.name(key), self.notes))
    }

    /// Like [`Self::get`], for a key that must be set.
    pub(super) fn need<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Item<'a>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.flaw(self.place, format!("`{}` is missing", self.name(key)));
        }
        self.get(key, read)
    }

    /// A text checked by `check`; `""` is the same as not set.
    pub(super) fn text<T>(
        &self,
        key: &'static str,
        check: impl FnOnce(&str) -> Result<T, Reason>,
    ) -> Option<T> {
        self.get(key, |item| match item.text()? {
            "" => None,
            text => item.checked(check(text)),
        })
    }

    /// A time.
    pub(super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        self.get(key, |item| item.duration(range))
            .unwrap_or(default)
    }

    /// A whole number.
    pub(super) fn number<N>(&self, key: &'static str, default: N, range: RangeInclusive<N>) -> N
    where
        N: TryFrom<i128> + Into<u64> + Copy,
    {
        self.get(key, |item| item.number(range)).unwrap_or(default)
    }

    /// A whole number of things kept in memory.
    pub(super) fn count(
        &self,
        key: &'static str,
        default: usize,
        range: RangeInclusive<u32>,
    ) -> usize {
        let count = self.get(key, |item| item.number(range));
        count.map_or(default, |count| {
            usize::try_from(count).unwrap_or(usize::MAX)
        })
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        self.get(key, Item::boolean).unwrap_or(default)
    }

    /// One of several words.
    pub(super) fn one_of<T: Clone>(&self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        self.get(key, |item| item.one_of(words)).unwrap_or(default)
    }

    /// A section below this one; where it is not written it is read as empty.
    pub(super) fn sub<T>(&self, key: &'static str, read: impl FnOnce(&Section<'a>) -> T) -> T {
        let entry = self.entry(key);
        let (table, place) = match entry {
            None => (None, self.place),
            Some(entry) => match &entry.node.value {
                Value::Table(table) => (Some(table), entry.key_place),
                other => {
                    self.flaw(
                        entry.node.place,
                        format!("`{}` is a section, not {}", self.name(key), other.kind()),
                    );
                    (None, entry.node.place)
                }
            },
        };
        Self::read(table, self.name(key), place, self.notes, read)
    }

    /// A list of sections below this one.
    pub(super) fn subs<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&Section<'a>) -> T,
    ) -> Vec<T> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let name = self.name(key);
        let Value::Array(items) = &entry.node.value else {
            let hint = format!("write [[{name}]], with two brackets, for each");
            let what = format!("`{name}` is a list of sections");
            self.flaw(entry.key_place, Reason::with_hint(what, hint));
            return Vec::new();
        };
        let mut values = Vec::new();
        for item in items {
            match &item.value {
                Value::Table(table) => {
                    let place = item.place;
                    values.push(Self::read(
                        Some(table),
                        name.clone(),
                        place,
                        self.notes,
                        &mut read,
                    ));
                }
                other => {
                    let what = format!("`{name}` is a list of sections, not {}", other.kind());
                    self.flaw(item.place, what);
                }
            }
        }
        values
    }

    /// Refuses a key or section whose work is not built yet.
    pub(super) fn not_yet(&self, key: &'static str) {
        self.not_yet_where(key, true);
    }

    /// Like [`Self::not_yet`], for a key that has a value which asks for nothing: refused where `asks`.
    pub(super) fn not_yet_where(&self, key: &'static str, asks: bool) {
        self.later.borrow_mut().push(key);
        if let Some(entry) = self.entry(key).filter(|_| asks) {
            let what = format!("`{}` is not supported yet", self.name(key));
            let hint = "take it out: it would have no effect";
            self.flaw(entry.key_place, Reason::with_hint(what, hint));
        }
    }

    pub(super) fn flaw(&self, place: Place, reason: impl Into<Reason>) {
        self.notes.flaw(place, reason);
    }
}
