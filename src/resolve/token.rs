//! Visitors' tokens: whose they are, whether they are to be believed, and which tenants their claim names.
//!
//! Whose a token is gets decided leniently (whatever a sloppy reader behind us could take for a token of our issuer is ours), and
//! whether it is valid strictly. So nothing that names a tenant passes as somebody else's business.

mod claims;
mod compact;
mod json;
mod keyring;
mod setup;

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::TokenVerdict;
use crate::clock::{Clock, Timestamp};
use crate::config::{TokenAlgorithm, TokenIssuer, TokenKeys};
use crate::jwks::{Fetcher, JwksTimings, KeySetUrl};
use crate::metrics::Metrics;
use claims::{Claims, Rules};
use compact::{Compact, Header, Seen};
use keyring::{Keyring, Net};
use setup::keys_of;
pub use setup::{TokensError, check_key_files};

/// Verified tokens remembered. One takes about 300 bytes.
const VERIFIED: u64 = 50_000;
/// Times a token may wait for keys: for a fetch that was under way before its key was published, and for one after.
const MAX_WAITS: usize = 2;

const KIND: &str = "its key is of another kind than its algorithm";
const SIGNATURE: &str = "its signature is wrong";
const UNKNOWN_KEY: &str = "its key is not among the issuer's";
const NO_KEYS: &str = "the issuer's keys are not available";
const AUDIENCE: &str = "it is meant for another audience";

/// Verifies tokens of the configured issuers.
#[derive(Debug)]
pub struct Tokens {
    issuers: Vec<Issuer>,
    /// Places in `issuers`, in the order of the configuration.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// By SHA-256 of the raw token.
    verified: moka::sync::Cache<[u8; 32], Verified>,
    clock: Clock,
}

#[derive(Debug)]
struct Issuer {
    algorithms: Vec<TokenAlgorithm>,
    rules: Rules,
    keys: Arc<Keyring>,
}

/// A token found valid.
#[derive(Debug, Clone)]
struct Verified {
    verdict: TokenVerdict,
    /// From when it is not valid any more.
    until: Timestamp,
    issuer: usize,
    /// The generation of the issuer's keys that it was verified with.
    generation: u64,
}

/// A token that newer keys might prove.
struct Wanting {
    issuer: usize,
    /// The serial of the keys that did not.
    seen: u64,
    /// The reason to refuse it if none come.
    reason: &'static str,
}

/// Why a token is not valid for one issuer's entry.
enum Failure {
    Invalid(&'static str),
    Wanting(Wanting),
}

impl Tokens {
    /// Reads the files, and starts to fetch on `control`, where all of the network is done. The fetching ends when the last
    /// `Tokens` is dropped.
    pub fn new(
        issuers: &[TokenIssuer],
        timings: JwksTimings,
        control: Handle,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TokensError> {
        let over_tls = |issuer: &TokenIssuer| match &issuer.keys {
            TokenKeys::Url(url) => KeySetUrl::parse(url).is_ok_and(|url| url.is_tls()),
            TokenKeys::File(_) | TokenKeys::Hmac(_) => false,
        };
        let fetcher = if issuers.iter().any(over_tls) {
            Fetcher::system(timings.fetch)?
        } else {
            Fetcher::with_roots(rustls::RootCertStore::empty(), timings.fetch)?
        };
        Self::with_fetcher(issuers, fetcher, timings, control, clock, metrics)
    }

    /// As [`Tokens::new`], with other CA certificates than the system's.
    pub fn with_fetcher(
        issuers: &[TokenIssuer],
        fetcher: Fetcher,
        timings: JwksTimings,
        control: Handle,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, TokensError> {
        let net = Net {
            fetcher,
            timings,
            control,
            clock: clock.clone(),
            metrics,
        };
        let mut rings = HashMap::new();
        let mut by_name = HashMap::<Box<str>, Vec<usize>>::new();
        let mut known = Vec::with_capacity(issuers.len());
        for (place, issuer) in issuers.iter().enumerate() {
            by_name
                .entry(issuer.issuer.as_str().into())
                .or_default()
                .push(place);
            known.push(Issuer {
                algorithms: issuer.algorithms.clone(),
                rules: Rules::new(issuer),
                keys: keys_of(issuer, &net, &mut rings)?,
            });
        }
        Ok(Arc::new(Self {
            issuers: known,
            by_name,
            verified: moka::sync::Cache::new(VERIFIED),
            clock,
        }))
    }

    /// The verdict on `raw` if it can be given without waiting; `None` where keys must be fetched first.
    pub fn peek(&self, raw: &str) -> Option<TokenVerdict> {
        match self.judge(raw) {
            Ok(verdict) => Some(verdict),
            Err(Wanting {
                issuer,
                seen,
                reason,
            }) => {
                let hopeless = !self.issuers[issuer].keys.may_learn(seen);
                hopeless.then_some(TokenVerdict::Invalid(reason))
            }
        }
    }

    /// The verdict on `raw`. Waits for keys, in all no longer than one fetch may take: an issuer that stalls costs a visitor one timeout.
    pub async fn verify(self: &Arc<Self>, raw: &str) -> TokenVerdict {
        let (mut waits, mut end) = (0, None);
        loop {
            let Wanting {
                issuer,
                seen,
                reason,
            } = match self.judge(raw) {
                Ok(verdict) => return verdict,
                Err(wanting) => wanting,
            };
            let keys = &self.issuers[issuer].keys;
            let end = *end.get_or_insert_with(|| Instant::now() + keys.patience());
            let learned =
                waits < MAX_WAITS && timeout_at(end, keys.learn(seen)).await.unwrap_or(false);
            if !learned {
                return TokenVerdict::Invalid(reason);
            }
            waits += 1;
        }
    }

    fn judge(&self, raw: &str) -> Result<TokenVerdict, Wanting> {
        let now = self.clock.now();
        if let Some(verdict) = self.remembered(raw, now) {
            return Ok(verdict);
        }
        let token = match compact::look(raw) {
            Seen::Foreign { jwt } => return Ok(TokenVerdict::Foreign { jwt }),
            Seen::Unreadable(reason) => return Ok(TokenVerdict::Invalid(reason)),
            Seen::Jwt(token) => token,
        };
        let Some(entries) = token.issuers().find_map(|name| self.by_name.get(name)) else {
            return Ok(TokenVerdict::Foreign { jwt: true });
        };
        let token = match token.strict() {
            Ok(token) => token,
            Err(reason) => return Ok(TokenVerdict::Invalid(reason)),
        };
        match self.verify_for_one_of(entries, &token, now) {
            Ok(verified) => {
                let verdict = verified.verdict.clone();
                self.verified.insert(sha256(raw), verified);
                Ok(verdict)
            }
            Err(Failure::Invalid(reason)) => Ok(TokenVerdict::Invalid(reason)),
            Err(Failure::Wanting(wanting)) => Err(wanting),
        }
    }

    /// What was found before, as long as it has not expired and the issuer's keys are still those it was found with.
    fn remembered(&self, raw: &str, now: Timestamp) -> Option<TokenVerdict> {
        if raw.len() > compact::MAX_TOKEN {
            return None;
        }
        let kept = self.verified.get(&sha256(raw))?;
        let held = self.issuers[kept.issuer].keys.held();
        let (_, generation) = held.usable(now)?;
        (now < kept.until && generation == kept.generation).then_some(kept.verdict)
    }

    /// Several entries may share an issuer and differ in audience: valid for one of them is valid.
    fn verify_for_one_of(
        &self,
        entries: &[usize],
        token: &Compact<'_>,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let mut failure = Failure::Invalid(AUDIENCE);
        for &issuer in entries {
            match self.verify_for(issuer, token, now) {
                Ok(verified) => return Ok(verified),
                Err(Failure::Invalid(AUDIENCE)) => {}
                Err(other) if matches!(failure, Failure::Invalid(_)) => failure = other,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// The cheap checks first, the signature last.
    fn verify_for(
        &self,
        issuer: usize,
        token: &Compact<'_>,
        now: Timestamp,
    ) -> Result<Verified, Failure> {
        let Issuer {
            algorithms,
            rules,
            keys,
        } = &self.issuers[issuer];
        let Header { algorithm, kid } = &token.header;
        if !algorithms.contains(algorithm) {
            return Err(Failure::Invalid(compact::ALGORITHM));
        }
        let Claims { tenants, until } =
            rules.check(&token.payload, now).map_err(Failure::Invalid)?;
        let held = keys.held();
        let wanting = |reason| {
            Failure::Wanting(Wanting {
                issuer,
                seen: held.serial,
                reason,
            })
        };
        let (set, generation) = held.usable(now).ok_or_else(|| wanting(NO_KEYS))?;
        let mut candidates = set.candidates(kid.as_deref(), *algorithm).peekable();
        if candidates.peek().is_none() {
            let known = kid.as_deref().is_some_and(|kid| set.knows(kid));
            return Err(if known {
                Failure::Invalid(KIND)
            } else {
                wanting(UNKNOWN_KEY)
            });
        }
        if !candidates.any(|key| token.is_signed_by(key)) {
            return Err(Failure::Invalid(SIGNATURE));
        }
        let verdict = TokenVerdict::Valid {
            issuer,
            claim: tenants,
        };
        Ok(Verified {
            verdict,
            until,
            issuer,
            generation,
        })
    }
}

fn sha256(raw: &str) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, raw.as_bytes()).as_ref());
    sum
}

#[cfg(test)]
mod tests;
