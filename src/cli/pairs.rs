//! `k=v` arguments: limits and metadata.

use serde_json::Value;

use crate::config;
use crate::store::LimitPatch;

/// One `--limit k=v`; no value puts the limit back to what is configured for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LimitPair(LimitPatch);

/// One `--meta k=v`; no value takes the key out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct MetaPair {
    key: String,
    value: Value,
}

impl LimitPair {
    /// Reads `requests_per_second=100`, `body=10MiB`, `burst=`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = split(text)?;
        let number = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
        let size = |text: &str| config::parse_size(text).map_err(|error| error.to_string());
        let mut patch = LimitPatch::default();
        match name {
            "requests_per_second" => patch.requests_per_second = Some(unless_empty(value, number)?),
            "burst" => patch.burst = Some(unless_empty(value, number)?),
            "in_flight" => patch.in_flight = Some(unless_empty(value, number)?),
            "body" => patch.body = Some(unless_empty(value, size)?),
            _ => return Err("a limit is requests_per_second, burst, in_flight or body".to_owned()),
        }
        Ok(Self(patch))
    }

    /// All of them in one; of two for the same limit the later counts.
    pub(super) fn patch(pairs: &[Self]) -> LimitPatch {
        pairs
            .iter()
            .fold(LimitPatch::default(), |all, Self(one)| LimitPatch {
                requests_per_second: one.requests_per_second.or(all.requests_per_second),
                burst: one.burst.or(all.burst),
                in_flight: one.in_flight.or(all.in_flight),
                body: one.body.or(all.body),
            })
    }
}

impl MetaPair {
    /// Reads `key=value`: JSON, or else a text as it is.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = split(text)?;
        let value = match value {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Ok(Self {
            key: key.to_owned(),
            value,
        })
    }

    /// All of them in one object, in which a null takes the key out.
    pub(super) fn patch(pairs: Vec<Self>) -> serde_json::Map<String, Value> {
        pairs
            .into_iter()
            .map(|pair| (pair.key, pair.value))
            .collect()
    }
}

fn split(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        _ => Err("write it as key=value".to_owned()),
    }
}

fn unless_empty<T>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    match text {
        "" => Ok(None),
        text => read(text).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_later_limit_counts() {
        let texts = ["requests_per_second=100", "burst=5", "body=10MiB", "burst="];
        let pairs = texts.map(|text| LimitPair::parse(text).unwrap());
        let expected = LimitPatch {
            requests_per_second: Some(Some(100)),
            burst: Some(None),
            in_flight: None,
            body: Some(Some(10 << 20)),
        };
        assert_eq!(LimitPair::patch(&pairs), expected);
        for bad in [
            "",
            "burst",
            "=1",
            "speed=1",
            "burst=-1",
            "burst=99999999999",
            "body=1MB",
        ] {
            assert!(LimitPair::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn metadata_is_json_or_a_word() {
        let texts = [
            "region=eu",
            "seats=5",
            "tags=[\"a\"]",
            "old=1",
            "old=",
            "empty=\"\"",
        ];
        let pairs = texts.map(|text| MetaPair::parse(text).unwrap());
        let expected = serde_json::json!({
            "region": "eu", "seats": 5, "tags": ["a"], "old": null, "empty": ""
        });
        assert_eq!(Value::Object(MetaPair::patch(pairs.into())), expected);
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            let _ = (LimitPair::parse(&text), MetaPair::parse(&text));
        }
    }
}
