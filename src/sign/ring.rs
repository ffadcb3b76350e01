//! The keys in force: immutable, replaced whole.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;

use super::assertion::{self, Assertion, Claims, Payload};
use super::{SignError, keys};
use crate::clock::Timestamp;
use crate::config::{SigningAlgorithm, Upstream};
use crate::model::SigningKeyRecord;
use crate::seal::Sealer;

/// The keys, and how often they have been replaced: what was signed under another generation is not sent any more.
pub(super) struct Ring {
    generation: u64,
    keys: Arc<Keys>,
}

enum Keys {
    EdDsa(Vec<SigningKey>),
    Hs256(Vec<UpstreamKey>),
}

/// An Ed25519 key from the store.
struct SigningKey {
    record: SigningKeyRecord,
    header: Box<str>,
    /// Missing where it could not be opened: such a key is published and does not sign here.
    pair: Option<Arc<Ed25519KeyPair>>,
}

impl AsRef<SigningKeyRecord> for SigningKey {
    fn as_ref(&self) -> &SigningKeyRecord {
        &self.record
    }
}

/// The secret that we share with one upstream.
struct UpstreamKey {
    upstream: Box<str>,
    header: Box<str>,
    key: hmac::Key,
}

impl Ring {
    pub(super) fn without_keys() -> Self {
        Self {
            generation: 1,
            keys: Arc::new(Keys::EdDsa(Vec::new())),
        }
    }

    pub(super) fn of_secrets(upstreams: &[Upstream]) -> Result<Self, SignError> {
        let keys = upstreams
            .iter()
            .map(UpstreamKey::new)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            generation: 1,
            keys: Arc::new(Keys::Hs256(keys)),
        })
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The same keys as another generation.
    pub(super) fn renewed(&self) -> Self {
        Self {
            generation: self.generation + 1,
            keys: Arc::clone(&self.keys),
        }
    }

    /// The ring after this one, with the keys of `records`, and the first thing that was wrong with them.
    pub(super) fn succeeded_by(
        &self,
        records: &[SigningKeyRecord],
        sealer: &Sealer,
    ) -> (Self, Result<(), SignError>) {
        let Keys::EdDsa(known) = &*self.keys else {
            return (self.renewed(), Ok(()));
        };
        let mut outcome = Ok(());
        let keys = records
            .iter()
            .map(|record| {
                let pair = open(record, known, sealer)
                    .map_err(|error| {
                        if outcome.is_ok() {
                            outcome = Err(error);
                        }
                    })
                    .ok();
                SigningKey {
                    header: assertion::header(SigningAlgorithm::EdDsa.as_str(), &record.kid),
                    record: record.clone(),
                    pair,
                }
            })
            .collect();
        let ring = Self {
            generation: self.generation + 1,
            keys: Arc::new(Keys::EdDsa(keys)),
        };
        (ring, outcome)
    }

    /// Signs `claims` with the key whose time it is.
    pub(super) fn sign(
        &self,
        issuer: &str,
        lifetime: Duration,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Result<Assertion, SignError> {
        let payload = Payload::new(issuer, lifetime, claims, now)?;
        match &*self.keys {
            Keys::EdDsa(all) => {
                let usable = all.iter().filter(|key| key.pair.is_some());
                let key = keys::signing(usable, now).ok_or(SignError::NoKey)?;
                let pair = key.pair.as_ref().ok_or(SignError::NoKey)?;
                assertion::write(&key.header, &payload, key.record.retired_at, |input| {
                    pair.try_sign(input)
                        .map_err(|_| SignError::Key(key.record.kid.clone()))
                })
            }
            Keys::Hs256(all) => {
                let key = all
                    .iter()
                    .find(|key| *key.upstream == *claims.upstream)
                    .ok_or_else(|| SignError::UnknownUpstream(claims.upstream.to_owned()))?;
                assertion::write(&key.header, &payload, None, |input| {
                    Ok(hmac::sign(&key.key, input))
                })
            }
        }
    }

    /// The public halves of all keys that are not retired, as a JWKS.
    pub(super) fn jwks(&self, now: Timestamp) -> Bytes {
        let keys = match &*self.keys {
            Keys::EdDsa(keys) => keys.as_slice(),
            // A shared secret is nobody else's business.
            Keys::Hs256(_) => &[],
        };
        let set = JwkSet {
            keys: keys
                .iter()
                .filter(|key| !key.record.is_retired(now.0))
                .map(|key| Jwk::new(&key.record))
                .collect(),
        };
        // Strings always serialize.
        serde_json::to_vec(&set).unwrap_or_default().into()
    }
}

/// The private half: the one at hand where it is the same key, else what the record holds.
fn open(
    record: &SigningKeyRecord,
    known: &[SigningKey],
    sealer: &Sealer,
) -> Result<Arc<Ed25519KeyPair>, SignError> {
    let same = known
        .iter()
        .find(|key| key.record.kid == record.kid && key.record.public_key == record.public_key);
    if let Some(pair) = same.and_then(|key| key.pair.as_ref()) {
        return Ok(Arc::clone(pair));
    }
    let private = keys::unseal(record, sealer).map_err(|source| SignError::Unseal {
        kid: record.kid.clone(),
        source,
    })?;
    let wrong = || SignError::WrongKey(record.kid.clone());
    let pair = Ed25519KeyPair::from_pkcs8(private.expose()).map_err(|_| wrong())?;
    if pair.public_key().as_ref() != record.public_key {
        return Err(wrong());
    }
    Ok(Arc::new(pair))
}

impl UpstreamKey {
    fn new(upstream: &Upstream) -> Result<Self, SignError> {
        let secret = upstream
            .hmac_secret
            .as_ref()
            .ok_or_else(|| SignError::NoSecret(upstream.name.clone()))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        // The same secret has the same name on every node, and the name is no help in guessing it that an assertion is not.
        let kid = keys::name(hmac::sign(&key, b"vestibule hs256 kid").as_ref());
        Ok(Self {
            upstream: upstream.name.as_str().into(),
            header: assertion::header(SigningAlgorithm::Hs256.as_str(), &kid),
            key,
        })
    }
}

#[derive(Serialize)]
struct JwkSet<'a> {
    keys: Vec<Jwk<'a>>,
}

/// A public key as in RFC 8037 section 2.
#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    r#use: &'static str,
    kid: &'a str,
    x: String,
}

impl<'a> Jwk<'a> {
    fn new(record: &'a SigningKeyRecord) -> Self {
        Self {
            kty: "OKP",
            crv: "Ed25519",
            alg: SigningAlgorithm::EdDsa.as_str(),
            r#use: "sig",
            kid: &record.kid,
            x: URL_SAFE_NO_PAD.encode(&record.public_key),
        }
    }
}

#[cfg(test)]
mod tests;
