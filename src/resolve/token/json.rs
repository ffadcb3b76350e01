//! JSON as it was written: serde_json's own `Value` keeps the last of two equal keys, and which of the two another reader takes
//! nobody knows (RFC 8725 section 2.4). This one keeps both, and goes only so deep.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deepest nesting read. Identity providers' tokens have three or four levels.
const MAX_DEPTH: u8 = 32;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json {
    Null,
    /// A truth value; no claim that we read has one.
    Bool,
    /// Always finite.
    Number(f64),
    Text(String),
    Array(Vec<Json>),
    Object(Object),
}

/// Members in the order they were written, equal names included.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Object(Vec<(String, Json)>);

impl Object {
    /// Reads a text that is one object. Numbers beyond a double's range and halves of surrogate pairs are faults.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Level(MAX_DEPTH).deserialize(&mut reader)?;
        reader.end()?;
        match value {
            Json::Object(object) => Ok(object),
            _ => Err(serde_json::Error::custom("not an object")),
        }
    }

    /// The first member called `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.all(name).next()
    }

    /// Every member called `name`.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Json> {
        let named = move |(own, value)| (own == name).then_some(value);
        self.0
            .iter()
            .map(|(own, value)| (own.as_str(), value))
            .filter_map(named)
    }

    /// Whether this object, or one inside it, has a member twice.
    pub(super) fn repeats_itself(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
            || self.0.iter().any(|(_, value)| value.repeats_itself())
    }
}

impl Json {
    fn repeats_itself(&self) -> bool {
        match self {
            Self::Object(object) => object.repeats_itself(),
            Self::Array(items) => items.iter().any(Self::repeats_itself),
            Self::Null | Self::Bool | Self::Number(_) | Self::Text(_) => false,
        }
    }
}

/// Reads a value that may nest so many levels deeper.
struct Level(u8);

impl Level {
    fn deeper<E: Error>(&self) -> Result<u8, E> {
        self.0
            .checked_sub(1)
            .ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Json;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Bool)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a date beyond 2^53 seconds needs no precision"
    )]
    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a date beyond 2^53 seconds needs no precision"
    )]
    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        if number.is_finite() {
            Ok(Json::Number(number))
        } else {
            Err(E::custom("not finite"))
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let deeper = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Level(deeper))? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            object.push((name, members.next_value_seed(Level(deeper))?));
        }
        Ok(Json::Object(Object(object)))
    }
}
