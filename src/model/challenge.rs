//! How a CA is shown that a name is ours.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::Hostname;

/// Bytes of a token. RFC 8555 section 8.1 asks the CA for 128 bits of base64url, 22 characters; one that gives a little less harms nobody
/// but itself, since names and tokens are answered exactly as they were published. At most what no CA comes near.
const TOKEN: std::ops::RangeInclusive<usize> = 16..=256;
/// Bytes of the digest that a delegation label shows: no two names of a fleet meet in 128 bits.
const LABEL_BYTES: usize = 16;

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

/// Whether `text` can be a challenge's token (RFC 8555 section 8.1): what a CA sends else is not published, and what comes else in its
/// place leads to no look-up.
pub fn is_token(text: &str) -> bool {
    TOKEN.contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The label in our own zone that `_acme-challenge.<name>` is pointed to by CNAME: the same for ever, and not to be guessed backwards
/// from a list. `name` is without `*.`: a wildcard shares it with the name it stands below (RFC 8555 section 8.4).
pub fn delegation_label(name: &Hostname) -> String {
    let sum = digest(&SHA256, name.as_str().as_bytes());
    let bytes = sum.as_ref().iter().take(LABEL_BYTES);
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `label` could have come from [`delegation_label`].
pub fn is_delegation_label(label: &str) -> bool {
    label.len() == 2 * LABEL_BYTES
        && label
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What a dns-01 challenge's TXT record holds (RFC 8555 section 8.4).
pub fn txt_value(key_authorization: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(key_digest(key_authorization))
}

/// SHA-256 of a key authorization: what dns-01 and tls-alpn-01 (RFC 8737 section 3) show of it.
pub fn key_digest(key_authorization: &str) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, key_authorization.as_bytes()).as_ref());
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_delegated_challenge_is_fixed_for_good() {
        // Customers have entered it: printf app.example.com | sha256sum | cut -c-32
        let label = delegation_label(&Hostname::parse("App.Example.com.").unwrap());
        assert_eq!(label, "28059829b1051f04ef03119067c0ce09");
    }

    #[test]
    fn g15_tokens_are_base64url_of_a_bounded_length() {
        assert!(is_token("DGyRejmCefe7v4NfDGDKfA"));
        assert!(is_token(&"a-_Z9".repeat(5)));
        let long = "a".repeat(257);
        let huge = "a".repeat(1 << 20);
        let bad = [
            "",
            "short",
            "DGyRejmCefe7v4NfDGDKf%2e",
            "../../DGyRejmCefe7v4NfDGDKfA",
            "DGyRejmCefe7v4NfDGDKfA/x",
            "DGyRejmCefe7v4NfDGDKfA=",
            "DGyRejmCefe7v4NfDGDKf\u{e9}",
        ];
        for text in bad.into_iter().chain([&*long, &*huge]) {
            assert!(!is_token(text), "{}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn a_delegation_label_is_a_names_own_for_ever() {
        let label = |name: &str| delegation_label(&Hostname::parse(name).unwrap());
        // Customers have written this into their zones.
        assert_eq!(label("app.example.com"), "28059829b1051f04ef03119067c0ce09");
        assert_eq!(label("App.Example.com."), label("app.example.com"));
        assert_ne!(label("example.com"), label("app.example.com"));
        assert!(is_delegation_label(&label("example.com")));
        for bad in ["", "_acme-challenge", &"G".repeat(32), &"A".repeat(32)] {
            assert!(!is_delegation_label(bad), "{bad}");
        }
    }

    #[test]
    fn a_txt_record_holds_the_digest_in_base64url() {
        // RFC 7515's way of writing the digest of "abc".
        assert_eq!(
            txt_value("abc"),
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
    }
}
