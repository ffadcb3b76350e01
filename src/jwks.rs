//! Key sets of token issuers: read strictly (RFC 7517), fetched with bounds. When to fetch, and how long a set is believed, is
//! `resolve::token`'s business.

mod fetch;
mod key;
mod key_set;

pub use fetch::{FetchError, Fetcher, KeySetUrl, KeySetUrlError, SetupError};
pub use key::{Key, KeyFault};
pub use key_set::{KeySet, KeySetError, RefusedKey};

use std::time::Duration;

use crate::config::TokenAlgorithm;

/// Largest key set read, in bytes. A set of a hundred RSA keys with certificates has about 300 KiB.
pub const MAX_KEY_SET: usize = 1024 * 1024;

/// How fetched key sets are kept fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksTimings {
    /// For one fetch in all: name, connection, TLS, answer.
    pub fetch: Duration,
    /// Longest time between two fetches of a set.
    pub refresh: Duration,
    /// Shortest time between two fetches that tokens with an unknown `kid` cause, and the wait after a failed one.
    pub refetch: Duration,
    /// How long the last good set is believed while fetching fails.
    pub keep: Duration,
}

impl Default for JwksTimings {
    /// Those of Envoy's jwt_authn, with a day of grace.
    fn default() -> Self {
        Self {
            fetch: Duration::from_secs(5),
            refresh: Duration::from_secs(10 * 60),
            refetch: Duration::from_secs(30),
            keep: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The algorithm that JOSE calls `name`, compared exactly; `None` for all that we do not verify, `none` among them.
pub fn algorithm_named(name: &str) -> Option<TokenAlgorithm> {
    use TokenAlgorithm as Is;
    Some(match name {
        "HS256" => Is::HS256,
        "HS384" => Is::HS384,
        "HS512" => Is::HS512,
        "RS256" => Is::RS256,
        "RS384" => Is::RS384,
        "RS512" => Is::RS512,
        "PS256" => Is::PS256,
        "PS384" => Is::PS384,
        "PS512" => Is::PS512,
        "ES256" => Is::ES256,
        "ES384" => Is::ES384,
        // RFC 9864 renames EdDSA over Ed25519, the only curve taken here.
        "EdDSA" | "Ed25519" => Is::EdDSA,
        _ => return None,
    })
}
