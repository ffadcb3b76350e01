//! How a CA is shown that a name is ours.

use serde::{Deserialize, Serialize};

/// A kind of ACME challenge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeKind {
    /// A file over plain HTTP (RFC 8555 section 8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// A certificate in a handshake (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A TXT record (RFC 8555 section 8.4); the only one that wildcards can have.
    #[serde(rename = "dns-01")]
    Dns01,
}

impl ChallengeKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Http01, Self::TlsAlpn01, Self::Dns01];

    /// The kind's name in RFC 8555, the store and the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
