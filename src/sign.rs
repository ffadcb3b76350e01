//! The assertion: the signed statement of the tenant that the upstream receives.
//!
//! A [`Signer`] holds the keys and is shared by the process; each data-plane thread has a [`ThreadSigner`], which hands out one
//! assertion for many requests as long as that is safe. When keys begin and end is `sign/keys.rs`, what an assertion says is
//! `sign/assertion.rs`, when one may be sent again is `sign/reuse.rs`, and how threads come by each other's is `sign/all_threads.rs`.

mod all_threads;
mod assertion;
pub mod keys;
mod reuse;
mod ring;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use prometheus::IntCounter;

use crate::clock::Timestamp;
use crate::config::{Signing, SigningAlgorithm, Upstream};
use crate::model::SigningKeyRecord;
use crate::seal::{SealError, Sealer};

use all_threads::AllThreads;
pub use assertion::Claims;
pub use reuse::Slot;
use reuse::{Entry, GENERATION, Reuse};
use ring::Ring;

/// How long a verifier may keep the public keys.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);
/// `Cache-Control` of the public keys; says [`JWKS_MAX_AGE`].
pub const JWKS_CACHE_CONTROL: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// `Content-Type` of the public keys (RFC 7517 section 8.5.2).
pub const JWKS_CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

/// The keys of this process.
pub struct Signer {
    issuer: Box<str>,
    lifetime: Duration,
    ring: Arc<ArcSwap<Ring>>,
    all_threads: AllThreads,
    /// How many assertions were signed.
    signed: Option<IntCounter>,
}

/// Why there is no assertion, or no key to make one with.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Under HS256 every upstream has a secret of its own.
    #[error("the upstream {0:?} has no hmac_secret_file, which algorithm HS256 needs")]
    NoSecret(String),
    /// The sealing key is another one, or the row is damaged.
    #[error("the signing key {kid} cannot be opened")]
    Unseal {
        /// Which key.
        kid: String,
        /// What the sealer said.
        #[source]
        source: SealError,
    },
    /// What was sealed is no Ed25519 key, or not the one whose public half is published.
    #[error("the signing key {0} is not the one that its record describes")]
    WrongKey(String),
    /// Nothing to sign with.
    #[error("no signing key is in use")]
    NoKey,
    /// The request is for an upstream that the signer was not told of.
    #[error("no secret is known for the upstream {0:?}")]
    UnknownUpstream(String),
    /// The tenant's row cannot be written into an assertion.
    #[error("the tenant's row cannot be put into an assertion")]
    Encode(#[source] serde_json::Error),
    /// The key refused to sign.
    #[error("the key {0} did not sign")]
    Key(String),
}

impl Signer {
    /// A signer without keys under EdDSA ([`Signer::load`] brings them), with every upstream's secret under HS256. What it signs is
    /// counted by `signed`.
    pub fn new(
        config: &Signing,
        upstreams: &[Upstream],
        signed: Option<IntCounter>,
    ) -> Result<Arc<Self>, SignError> {
        let ring = match config.algorithm {
            SigningAlgorithm::EdDsa => Ring::without_keys(),
            SigningAlgorithm::Hs256 => Ring::of_secrets(upstreams)?,
        };
        Ok(Arc::new(Self {
            issuer: config.issuer.as_str().into(),
            lifetime: config.lifetime,
            ring: Arc::new(ArcSwap::from_pointee(ring)),
            all_threads: AllThreads::new(config.lifetime),
            signed,
        }))
    }

    /// Takes `records` as the keys from now on; a key that is not among them is gone with the next request of every thread.
    /// Does nothing under HS256.
    ///
    /// A key that is here already is not opened a second time, so a node goes on while the store is sealed anew. One that cannot
    /// be opened is an error that names it; the others are in force nevertheless, and the public half of that one is
    /// published, because other nodes may sign with it.
    pub fn load(&self, records: &[SigningKeyRecord], sealer: &Sealer) -> Result<(), SignError> {
        let (ring, outcome) = self.ring.load().succeeded_by(records, sealer);
        self.ring.store(Arc::new(ring));
        outcome
    }

    /// What an assertion made now would claim: shown by `explain`, which signs nothing.
    pub fn claims(
        &self,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Result<serde_json::Value, SignError> {
        let payload = assertion::Payload::new(&self.issuer, self.lifetime, claims, now)?;
        serde_json::to_value(&payload).map_err(SignError::Encode)
    }

    /// Makes every thread forget the assertions it has handed out. For a store that was restored: its row versions may come
    /// a second time and say something else.
    pub fn forget(&self) {
        self.ring.rcu(|ring| ring.renewed());
    }

    /// The JWKS (RFC 7517) of every key that may sign, signs, or has signed what is still valid; without keys under HS256.
    pub fn jwks(&self, now: Timestamp) -> Bytes {
        self.ring.load().jwks(now)
    }

    /// A signer for one data-plane thread.
    pub fn thread(self: &Arc<Self>) -> ThreadSigner {
        let ring = arc_swap::Cache::new(Arc::clone(&self.ring));
        ThreadSigner {
            signer: Arc::clone(self),
            state: RefCell::new(ThreadState {
                ring,
                generation: 0,
                reuse: Reuse::new(self.lifetime, GENERATION, self.all_threads.hasher()),
            }),
        }
    }
}

/// The signer of one thread: remembers what it has sent, and takes a lock only where it would have to sign.
pub struct ThreadSigner {
    signer: Arc<Signer>,
    state: RefCell<ThreadState>,
}

struct ThreadState {
    ring: arc_swap::Cache<Arc<ArcSwap<Ring>>, Arc<Ring>>,
    /// Of the ring that everything in `reuse` was signed with.
    generation: u64,
    reuse: Reuse,
}

impl ThreadSigner {
    /// As [`ThreadSigner::assertion`], where the last one for such a request is at hand in `slot`; `send` is given it.
    ///
    /// # Errors
    /// As there.
    pub fn assertion_in(
        &self,
        slot: &mut Slot,
        claims: &Claims<'_>,
        now: Timestamp,
        send: impl FnOnce(&HeaderValue),
    ) -> Result<(), SignError> {
        let mut state = self.state.borrow_mut();
        let generation = state.ring.load().generation();
        if let Some(value) = slot.get(generation, claims, now) {
            send(value);
            return Ok(());
        }
        let entry = self.reused(&mut state, claims, now)?;
        send(entry.value());
        slot.keep(generation, entry);
        Ok(())
    }

    /// The assertion that says `claims`, ready for `X-Tenant-Assertion`: at least 30 s of its life are left at `now`, it was
    /// not issued later than `now`, and its key is in the ring.
    pub fn assertion(&self, claims: &Claims<'_>, now: Timestamp) -> Result<HeaderValue, SignError> {
        let entry = self.reused(&mut self.state.borrow_mut(), claims, now)?;
        Ok(entry.value().clone())
    }

    fn reused(
        &self,
        state: &mut ThreadState,
        claims: &Claims<'_>,
        now: Timestamp,
    ) -> Result<Arc<Entry>, SignError> {
        let ThreadState {
            ring,
            generation,
            reuse,
        } = state;
        let ring = ring.load();
        if *generation != ring.generation() {
            *generation = ring.generation();
            reuse.clear();
        }
        let place = reuse.place(claims);
        if let Some(entry) = reuse.get(place, claims, now) {
            return Ok(entry);
        }
        let signer = &*self.signer;
        if let Some(entry) = signer.all_threads.get(*generation, place, claims, now) {
            reuse.insert(place, Arc::clone(&entry), now);
            return Ok(entry);
        }
        let made = ring.sign(&signer.issuer, signer.lifetime, claims, now)?;
        if let Some(signed) = &signer.signed {
            signed.inc();
        }
        let entry = reuse.keep(place, claims, made, now);
        signer.all_threads.keep(*generation, place, &entry, now);
        Ok(entry)
    }
}

#[cfg(test)]
mod tests;
