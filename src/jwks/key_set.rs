//! A key set: the keys of one issuer by name. One bad key does not spoil the others.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::key::{Key, KeyFault};
use crate::config::TokenAlgorithm;
use crate::model::Secret;

/// Keys tried for one token: enough for an issuer that names none of its keys, and a bound on what one token can cost.
const MAX_TRIED: usize = 16;

/// The keys of one issuer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Places in `keys`. Several keys may share a name (RFC 7517 section 4.5).
    by_kid: HashMap<Box<str>, Vec<usize>>,
    /// The only key has no name and is meant for every token.
    nameless: bool,
}

/// A published key that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedKey {
    /// Its place in the set, from 0.
    pub index: usize,
    /// What is wrong with it.
    pub fault: KeyFault,
}

/// Why a text is no key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not `{"keys": […]}`.
    #[error("it is not a JSON Web Key Set")]
    Malformed(#[source] serde_json::Error),
}

impl KeySet {
    /// Reads a JWKS (RFC 7517 section 5) and says which of its keys are refused. Keys of unknown kinds and keys for encryption are
    /// left out silently. A set without keys is a set: its issuer has withdrawn them all.
    pub fn parse(json: &[u8]) -> Result<(Self, Vec<RefusedKey>), KeySetError> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let raw: Raw<'_> = serde_json::from_slice(json).map_err(KeySetError::Malformed)?;
        let mut set = Self::default();
        let mut refused = Vec::new();
        for (index, jwk) in raw.keys.iter().enumerate() {
            match Key::from_jwk(jwk.get()) {
                Ok(Some(key)) => set.add(key),
                Ok(None) => {}
                Err(fault) => refused.push(RefusedKey { index, fault }),
            }
        }
        Ok((set, refused))
    }

    /// The set of one shared secret.
    pub fn hmac(secret: Secret) -> Self {
        Self {
            keys: vec![Key::hmac(secret)],
            by_kid: HashMap::new(),
            nameless: true,
        }
    }

    /// Whether there is no key in it.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key of this very name is in it.
    pub fn knows(&self, kid: &str) -> bool {
        self.by_kid.contains_key(kid)
    }

    /// The keys that a token with `kid` may be signed with under `algorithm`: those of that very name, or all of the right kind
    /// where the token names none. At most 16.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&str>,
        algorithm: TokenAlgorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let named = match kid {
            Some(kid) if !self.nameless => {
                Some(self.by_kid.get(kid).map_or(&[][..], Vec::as_slice))
            }
            _ => None,
        };
        let all = if named.is_some() { 0 } else { self.keys.len() };
        named
            .unwrap_or_default()
            .iter()
            .copied()
            .chain(0..all)
            .filter_map(|place| self.keys.get(place))
            .filter(move |key| key.suits(algorithm))
            .take(MAX_TRIED)
    }

    fn add(&mut self, key: Key) {
        if let Some(kid) = key.kid() {
            self.by_kid
                .entry(kid.into())
                .or_default()
                .push(self.keys.len());
        }
        self.keys.push(key);
    }
}

#[cfg(test)]
mod tests;
