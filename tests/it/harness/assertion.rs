//! Assertions as an application server reads them.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::upstream::Seen;

/// One that came with a request; nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    pub(crate) text: String,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Assertion {
    /// The one that came with the request.
    pub(crate) fn of(seen: &Seen) -> Self {
        Self::read(
            seen.header("x-tenant-assertion")
                .expect("an assertion with the request"),
        )
    }

    pub(crate) fn read(text: &str) -> Self {
        let parts: Vec<_> = text.split('.').collect();
        assert_eq!(parts.len(), 3, "{text}");
        Self {
            text: text.to_owned(),
            header: serde_json::from_slice(&decode(parts[0])).unwrap(),
            claims: serde_json::from_slice(&decode(parts[1])).unwrap(),
        }
    }

    /// The key that it says it was signed with.
    pub(crate) fn kid(&self) -> &str {
        self.header["kid"].as_str().unwrap()
    }

    /// Whether it was signed by the key of the set that it names, as RFC 8037 has it.
    pub(crate) fn is_signed_by_one_of(&self, jwks: &Value) -> bool {
        let (message, signature) = self.text.rsplit_once('.').unwrap();
        let keys = jwks["keys"].as_array().unwrap();
        let Some(key) = keys.iter().find(|key| key["kid"] == self.header["kid"]) else {
            return false;
        };
        assert_eq!(
            (&key["kty"], &key["crv"]),
            (&"OKP".into(), &"Ed25519".into())
        );
        UnparsedPublicKey::new(&ED25519, decode(key["x"].as_str().unwrap()))
            .verify(message.as_bytes(), &decode(signature))
            .is_ok()
    }

    /// Whether it was signed with this secret under HS256.
    pub(crate) fn is_signed_with(&self, secret: &[u8]) -> bool {
        let (message, signature) = self.text.rsplit_once('.').unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::verify(&key, message.as_bytes(), &decode(signature)).is_ok()
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).unwrap()
}
