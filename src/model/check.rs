//! What was seen of a custom domain: one finding after another, each with what to do about it.

use serde::{Deserialize, Serialize};

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
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// The name servers and resolvers that said so.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub seen_by: Vec<String>,
    /// When, in milliseconds since 1970.
    pub at: i64,
}
