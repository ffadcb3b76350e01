//! Signing keys as the store keeps them, and what their dates say.

use serde::{Deserialize, Serialize};

/// Where a signing key stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Published, does not sign yet.
    Next,
    /// Signs.
    Active,
    /// Signs no more, still published.
    Retiring,
    /// Neither signs nor is published.
    Retired,
}

impl KeyState {
    /// The state's name in the CLI and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        }
    }
}

/// A signing key: its dates decide its state, so that a node without its store moves on in time with all others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SigningKeyRecord {
    /// Its name in `kid`.
    pub kid: String,
    /// The raw Ed25519 public key, 32 bytes.
    pub public_key: Vec<u8>,
    /// The sealed PKCS#8 private key.
    pub sealed_private_key: Vec<u8>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// From when it signs, in milliseconds since 1970.
    pub active_from: i64,
    /// From when it is neither used nor published, in milliseconds since 1970; set when a successor is made or it is retired.
    pub retired_at: Option<i64>,
}

impl SigningKeyRecord {
    /// Whether its time to sign has come at `now` (milliseconds since 1970); it may be over again.
    pub fn has_started(&self, now: i64) -> bool {
        self.active_from <= now
    }

    /// Whether it is out of use at `now` (milliseconds since 1970).
    pub fn is_retired(&self, now: i64) -> bool {
        self.retired_at.is_some_and(|date| date <= now)
    }

    /// Keys succeed each other in this order; the name settles what equal dates leave open, so that all nodes agree.
    pub fn succession(&self) -> (i64, i64, &str) {
        (self.active_from, self.created_at, &self.kid)
    }
}

impl AsRef<SigningKeyRecord> for SigningKeyRecord {
    fn as_ref(&self) -> &SigningKeyRecord {
        self
    }
}
