//! How a CA is shown that a name is ours.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::Hostname;

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

/// The label by which our own zone answers for `hostname`: `_acme-challenge.<hostname> CNAME <label>.<zone>`.
///
/// The first 16 bytes of the name's SHA-256 in hexadecimal: it fits below any zone however long the name is, and whoever reads our
/// zone's traffic learns no customer by it. For `*.x` it is the label of `x`, as the challenge of both stands at the same name
/// (RFC 8555 section 8.4).
pub fn delegation_label(hostname: &Hostname) -> String {
    let hash = digest(&SHA256, hostname.as_str().as_bytes());
    hash.as_ref()[..LABEL_BYTES]
        .iter()
        .fold(String::new(), |mut label, byte| {
            let _ = write!(label, "{byte:02x}");
            label
        })
}

/// As many as make it hopeless to find two names with one label.
const LABEL_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_delegated_challenge_is_fixed_for_good() {
        // Customers have entered it: printf app.example.com | sha256sum | cut -c-32
        let label = delegation_label(&Hostname::parse("App.Example.com.").unwrap());
        assert_eq!(label, "28059829b1051f04ef03119067c0ce09");
    }
}
