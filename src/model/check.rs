//! What was seen of a custom domain: one finding after another, each with what to do about it.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// What a check looks at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckCode {
    /// The record that proves control of the name.
    Proof,
    /// Whether the name leads here (CNAME, A, AAAA).
    Pointing,
    /// Whether the name's AAAA records lead here where its A records do: a CA asks over IPv6 first.
    Ipv6,
    /// Whether somebody else's proxy stands before the name.
    Cdn,
    /// Whether the zone's signatures are good (RFC 4033).
    Dnssec,
    /// Whether CAA records let our CA issue (RFC 8659, RFC 8657).
    Caa,
    /// Whether `_acme-challenge` leads to the zone that we answer, and holds nothing left over.
    Challenge,
    /// Whether the name's zone can be asked at all.
    Zone,
    /// Whether another tenant has the name.
    Holder,
    /// Whether a certificate is in place, and what became of the last order.
    Certificate,
}

impl CheckCode {
    /// The code's name in the store, the CLI and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Pointing => "pointing",
            Self::Ipv6 => "ipv6",
            Self::Cdn => "cdn",
            Self::Dnssec => "dnssec",
            Self::Caa => "caa",
            Self::Challenge => "challenge",
            Self::Zone => "zone",
            Self::Holder => "holder",
            Self::Certificate => "certificate",
        }
    }
}

/// One finding about a domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at.
    pub code: CheckCode,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What would be right, as a person would set it.
    pub expected: String,
    /// What was seen instead, or too.
    pub observed: String,
    /// What to do; nothing where nothing is to be done.
    #[serde(default)]
    pub hint: Option<String>,
    /// The name servers and resolvers that said so.
    #[serde(default)]
    pub seen_by: Vec<String>,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// Findings as they are kept. What a later version wrote, and this one cannot read, is not shown, and is still there when they are kept
/// again: a new look replaces them all, whatever else changes of a row replaces none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checks {
    known: Vec<Check>,
    unread: Unread,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Unread {
    /// Those of a list that cannot be read.
    Some(Vec<Value>),
    /// It is no list.
    All(String),
}

impl Default for Unread {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl Checks {
    /// From [`Checks::to_stored`], of this version or another.
    pub fn from_stored(text: &str) -> Self {
        // Mostly there is none, or a few.
        if text == "[]" {
            return Self::default();
        }
        let Ok(all) = serde_json::from_str::<Vec<Value>>(text) else {
            return Self {
                unread: Unread::All(text.to_owned()),
                ..Self::default()
            };
        };
        let (mut known, mut unread) = (Vec::with_capacity(all.len()), Vec::new());
        for value in all {
            match Check::deserialize(&value) {
                Ok(check) => known.push(check),
                Err(_) => unread.push(value),
            }
        }
        Self {
            known,
            unread: Unread::Some(unread),
        }
    }

    /// A JSON list. What is no list stays as it was, as long as there is nothing else to keep.
    pub fn to_stored(&self) -> String {
        let unread = match &self.unread {
            Unread::All(text) if self.known.is_empty() => return text.clone(),
            Unread::All(text) => vec![Value::String(text.clone())],
            Unread::Some(values) => values.clone(),
        };
        // Plain values: it cannot fail.
        let known = self
            .known
            .iter()
            .map(|it| serde_json::to_value(it).unwrap_or_default());
        Value::Array(known.chain(unread).collect()).to_string()
    }
}

impl From<Vec<Check>> for Checks {
    fn from(known: Vec<Check>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }
}

impl Deref for Checks {
    type Target = Vec<Check>;
    fn deref(&self) -> &Vec<Check> {
        &self.known
    }
}

impl DerefMut for Checks {
    fn deref_mut(&mut self) -> &mut Vec<Check> {
        &mut self.known
    }
}

impl Serialize for Checks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.known.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            code: CheckCode::Proof,
            ok: true,
            expected: "a".into(),
            observed: "b".into(),
            hint: None,
            seen_by: Vec::new(),
            at: 1,
        }
    }

    #[test]
    fn a_check_has_every_field_of_the_contract() {
        let text = serde_json::to_string(&check()).unwrap();
        let whole = r#"{"code":"proof","ok":true,"expected":"a","observed":"b","hint":null,"seen_by":[],"at":1}"#;
        assert_eq!(text, whole);
        // As it was written before.
        let short = r#"{"code":"proof","ok":true,"expected":"a","observed":"b","at":1}"#;
        assert_eq!(serde_json::from_str::<Check>(short).unwrap(), check());
    }

    #[test]
    fn what_a_later_version_wrote_outlives_what_this_one_writes() {
        let later = r#"{"at":2,"code":"weather","ok":false}"#;
        let known = serde_json::to_string(&check()).unwrap();
        let mut checks = Checks::from_stored(&format!("[{later},{known}]"));
        assert_eq!(*checks, [check()]);
        checks.clear();
        assert_eq!(checks.to_stored(), format!("[{later}]"));
        checks.push(check());
        let again = Checks::from_stored(&checks.to_stored());
        assert_eq!(again, checks);
        for nothing in ["{\"all\":\"new\"}", "no JSON at all"] {
            let mut checks = Checks::from_stored(nothing);
            assert!(checks.is_empty());
            assert_eq!(checks.to_stored(), nothing);
            checks.push(check());
            let stored = checks.to_stored();
            assert!(
                Checks::from_stored(&stored)
                    .to_stored()
                    .contains(&nothing.replace('"', "\\\""))
            );
        }
        assert_eq!(
            Checks::from(vec![check()]).to_stored(),
            serde_json::to_value([check()]).unwrap().to_string()
        );
    }
}
