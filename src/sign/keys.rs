//! The life of signing keys: `next`, `active`, `retiring`, `retired`. All of it follows from the dates in their records, and every
//! function here is pure but for the making of a key; the store calls [`rotate`] and [`retire`] with what it holds and writes what they
//! leave.
//!
//! The dates keep one promise: across scheduled rotations a verifier that keeps the JWKS for as long as it may, behind a cache
//! that does the same, knows the key of every assertion that it is sent.

use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::JWKS_MAX_AGE;
use crate::clock::Timestamp;
use crate::model::{KeyState, Secret, SigningKeyRecord};
use crate::seal::{SealError, Sealer};

/// How long a key is published before it signs under a scheduled rotation: twice [`JWKS_MAX_AGE`] (a verifier's cache behind
/// another), and 30 s for nodes that learn of it late or whose clocks differ.
pub const PUBLISHED_FIRST: Duration = Duration::from_secs(2 * JWKS_MAX_AGE.as_secs() + 30);
/// How long a key stays published after the last assertion under it has expired.
pub const PUBLISHED_AFTER: Duration = Duration::from_secs(2 * JWKS_MAX_AGE.as_secs());

/// How a rotation is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The new key signs once every verifier can know it.
    Scheduled,
    /// The new key signs at once.
    Now,
}

/// Why the keys stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The cryptographic library refused.
    #[error("no signing key could be made")]
    Make,
    /// It was sealed with another sealer than the one at hand, or the row is damaged.
    #[error("the signing key {kid} cannot be opened")]
    Unseal {
        /// Which key.
        kid: String,
        /// What the sealer said.
        #[source]
        source: SealError,
    },
    /// No record has this name.
    #[error("there is no signing key {0}")]
    NoSuchKey(String),
    /// A rotation is under way.
    #[error("the signing key {kid} is made already and signs in {} s", .wait.as_secs())]
    Pending {
        /// The key that waits.
        kid: String,
        /// How long it does.
        wait: Duration,
    },
    /// Retiring it would leave nothing to sign with.
    #[error("the signing key {0} is the only one; rotate first, then retire it")]
    OnlyKey(String),
}

/// A new key that signs from `now` on, such as the first one.
pub fn generate(sealer: &Sealer, now: Timestamp) -> Result<SigningKeyRecord, KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Make)?;
    let public_key = pair.public_key().as_ref().to_vec();
    let kid = name(digest::digest(&digest::SHA256, &public_key).as_ref());
    let private = pair.to_pkcs8().map_err(|_| KeyError::Make)?;
    let sealed_private_key = sealer.seal(&purpose(&kid), private.as_ref());
    Ok(SigningKeyRecord {
        kid,
        public_key,
        sealed_private_key,
        created_at: now.0,
        active_from: now.0,
        retired_at: None,
    })
}

/// The key that signs at `now`: of those whose time has come, the one that came last. Where no key's time has come (a clock that
/// was set back), the first that will: it is published, and the alternative is to refuse every request.
pub fn signing<'a, K: AsRef<SigningKeyRecord> + 'a>(
    keys: impl Iterator<Item = &'a K> + Clone,
    now: Timestamp,
) -> Option<&'a K> {
    let usable = keys.filter(|key| !key.as_ref().is_retired(now.0));
    let started = usable.clone().filter(|key| key.as_ref().has_started(now.0));
    started
        .max_by(|a, b| succession(*a, *b))
        .or_else(|| usable.min_by(|a, b| succession(*a, *b)))
}

/// Where `record` stands at `now` among `all`.
pub fn state(record: &SigningKeyRecord, all: &[SigningKeyRecord], now: Timestamp) -> KeyState {
    if record.is_retired(now.0) {
        return KeyState::Retired;
    }
    match signing(all.iter(), now) {
        Some(active) if active.kid == record.kid => KeyState::Active,
        Some(active) if active.succession() < record.succession() => KeyState::Next,
        Some(_) => KeyState::Retiring,
        // Not in `all`.
        None => KeyState::Next,
    }
}

/// A new key takes over: changes `keys`, which are all there are, or says why not and leaves them. `make` is [`generate`] with a
/// sealer; it is not called where a key that waits already is put forward. Returns what the operator should know, a sentence each.
pub fn rotate(
    keys: &mut Vec<SigningKeyRecord>,
    mode: Mode,
    now: Timestamp,
    lifetime: Duration,
    make: impl FnOnce(Timestamp) -> Result<SigningKeyRecord, KeyError>,
) -> Result<Vec<String>, KeyError> {
    let mut line = Line::of(keys, now);
    let waiting = line.0.iter().position(|key| !key.has_started(now.0));
    let (start, mut key) = match (waiting, mode) {
        (Some(place), Mode::Scheduled) => {
            let key = &line.0[place];
            return Err(KeyError::Pending {
                kid: key.kid.clone(),
                wait: Timestamp(key.active_from).since(now),
            });
        }
        (Some(place), Mode::Now) => (now, line.0.remove(place)),
        // The first key ever has nobody to wait for.
        (None, Mode::Scheduled) if !line.0.is_empty() => (now.plus(PUBLISHED_FIRST), make(now)?),
        (None, _) => (now, make(now)?),
    };
    let mut notes = Vec::new();
    if start > now {
        notes.push(format!(
            "{} is published and signs in {} s, when every verifier can know it",
            key.kid,
            start.since(now).as_secs()
        ));
    } else if !line.0.is_empty() {
        notes.extend(early(&key, now));
    }
    key.active_from = start.0;
    line.0.push(key);
    line.settle(now, lifetime);
    line.write_to(keys);
    Ok(notes)
}

/// `kid` is out of use at once, neither signing nor published: changes `keys`, which are all there are, or says why not and leaves
/// them. Returns what the operator should know, a sentence each.
pub fn retire(
    keys: &mut Vec<SigningKeyRecord>,
    kid: &str,
    now: Timestamp,
    lifetime: Duration,
) -> Result<Vec<String>, KeyError> {
    let going = keys.iter().find(|key| key.kid == kid);
    let mut going = going
        .cloned()
        .ok_or_else(|| KeyError::NoSuchKey(kid.to_owned()))?;
    let before = state(&going, keys, now);
    if before == KeyState::Retired {
        return Ok(vec![format!("{kid} was retired before")]);
    }
    let mut line = Line::of(keys, now);
    line.0.retain(|key| key.kid != kid);
    let mut notes = Vec::new();
    match line.0.iter_mut().rfind(|key| key.has_started(now.0)) {
        Some(key) if before == KeyState::Active => notes.push(format!("{} signs again", key.kid)),
        Some(_) => {}
        None => {
            let heir = line.0.first_mut();
            let heir = heir.ok_or_else(|| KeyError::OnlyKey(kid.to_owned()))?;
            notes.extend(early(heir, now));
            heir.active_from = now.0;
        }
    }
    if before != KeyState::Next {
        notes.push(format!(
            "assertions under {kid} that are on their way fail at a verifier that fetches the keys now; one that has them \
             cached accepts {kid} for up to {} s more",
            JWKS_MAX_AGE.as_secs()
        ));
    }
    line.settle(now, lifetime);
    going.retired_at = Some(now.0);
    line.0.push(going);
    line.write_to(keys);
    Ok(notes)
}

/// The same keys as `new` seals them: all or none.
pub fn reseal(
    records: &[SigningKeyRecord],
    old: &Sealer,
    new: &Sealer,
) -> Result<Vec<SigningKeyRecord>, KeyError> {
    let records = records.iter().map(|record| {
        let private = unseal(record, old).map_err(|source| KeyError::Unseal {
            kid: record.kid.clone(),
            source,
        })?;
        Ok(SigningKeyRecord {
            sealed_private_key: new.seal(&purpose(&record.kid), private.expose()),
            ..record.clone()
        })
    });
    records.collect()
}

/// Finds out whether `sealer` opens all of `records`.
pub fn check(records: &[SigningKeyRecord], sealer: &Sealer) -> Result<(), KeyError> {
    records.iter().try_for_each(|record| {
        unseal(record, sealer)
            .map(drop)
            .map_err(|source| KeyError::Unseal {
                kid: record.kid.clone(),
                source,
            })
    })
}

/// The PKCS#8 private key of `record`.
pub(super) fn unseal(record: &SigningKeyRecord, sealer: &Sealer) -> Result<Secret, SealError> {
    sealer.unseal(&purpose(&record.kid), &record.sealed_private_key)
}

/// A key's name: the start of `hash` in hex, short enough to be typed.
pub(super) fn name(hash: &[u8]) -> String {
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The keys in use, in their succession.
struct Line(Vec<SigningKeyRecord>);

impl Line {
    /// Those of `keys` that are not retired at `now`.
    fn of(keys: &[SigningKeyRecord], now: Timestamp) -> Self {
        let used = keys.iter().filter(|key| !key.is_retired(now.0));
        let mut used: Vec<_> = used.cloned().collect();
        used.sort_by(succession);
        Self(used)
    }

    /// Sets the dates at which keys end: the last one has no end, each of the others is published until whatever it signed before
    /// its successor took over has expired, and a while longer.
    fn settle(&mut self, now: Timestamp, lifetime: Duration) {
        self.0.sort_by(succession);
        let starts: Vec<_> = self
            .0
            .iter()
            .map(|key| Timestamp(key.active_from))
            .collect();
        let successors = starts.into_iter().skip(1).map(Some).chain([None]);
        for (key, successor) in self.0.iter_mut().zip(successors) {
            key.retired_at = match (successor, key.retired_at) {
                (None, _) => None,
                // It ended signing long ago: its date stands.
                (Some(start), Some(date)) if start <= now => Some(date),
                (Some(start), date) => {
                    let end = start.max(now).plus(lifetime).plus(PUBLISHED_AFTER).0;
                    Some(date.map_or(end, |date| date.max(end)))
                }
            };
        }
    }

    /// Puts these in the place of those in `keys` that have the same names, or beside them.
    fn write_to(self, keys: &mut Vec<SigningKeyRecord>) {
        for changed in self.0 {
            match keys.iter_mut().find(|key| key.kid == changed.kid) {
                Some(key) => *key = changed,
                None => keys.push(changed),
            }
        }
    }
}

fn succession<K: AsRef<SigningKeyRecord>>(a: &K, b: &K) -> std::cmp::Ordering {
    a.as_ref().succession().cmp(&b.as_ref().succession())
}

/// What it breaks when `key` signs from `now` on, if anything.
fn early(key: &SigningKeyRecord, now: Timestamp) -> Option<String> {
    let unknown = now.since(Timestamp(key.created_at)) < PUBLISHED_FIRST;
    unknown.then(|| {
        format!(
            "{} signs at once: a verifier that has the keys cached does not know it and refuses every request for up to {} s, \
             unless it fetches them again for an unknown kid",
            key.kid,
            JWKS_MAX_AGE.as_secs()
        )
    })
}

/// Names the row in what is sealed, so that one row's key cannot be put into another's place.
fn purpose(kid: &str) -> String {
    format!("signing-key:{kid}")
}

#[cfg(test)]
mod tests;
