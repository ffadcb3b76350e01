//! Sealing at rest: private keys and secrets are encrypted with the node's own key before they reach the store.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::model::Secret;

/// Bytes of the key, and of its file.
const KEY_LEN: usize = 32;
/// The first byte of what is sealed in this way.
const VERSION: u8 = 1;
/// Bytes that tell which key sealed.
const FINGERPRINT_LEN: usize = 8;
/// Before the ciphertext stand the version, the fingerprint and the nonce.
const HEAD_LEN: usize = 1 + FINGERPRINT_LEN + NONCE_LEN;

/// Seals with AES-256-GCM: `version, fingerprint of the key, nonce, ciphertext and tag`. The purpose is bound in as associated
/// data: what was sealed for one purpose does not open for another. Nonces are random, 96 bits: good for 2^32 seals of one key
/// (NIST SP 800-38D, section 8.3), and there is one for each signing key, each certificate and each webhook.
#[derive(Clone)]
pub struct Sealer(Arc<Inner>);

struct Inner {
    key: LessSafeKey,
    fingerprint: [u8; FINGERPRINT_LEN],
}

/// Why something cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum SealError {
    #[error("the sealing key {path} cannot be read", path = path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the sealing key {path} cannot be made", path = path.display())]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the sealing key {path} has mode {mode:04o}: others than its owner could use it; `chmod 600` it", path = path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("the sealing key {path} has {len} bytes and not {KEY_LEN}: it is none, or cut short", path = path.display())]
    Length { path: PathBuf, len: u64 },
    #[error("the sealing key {path} is no ordinary file", path = path.display())]
    NotAFile { path: PathBuf },
    #[error("this was sealed in a way that this program does not know")]
    Version,
    #[error("this was sealed with another key")]
    OtherKey,
    #[error("what is sealed has been changed, or was sealed for another purpose")]
    Broken,
    #[error("the system gives no random bytes")]
    Random,
}

impl Sealer {
    /// Reads the key from `path`; `None` where there is no such file. A file that others than its owner can read or write, or that
    /// is not exactly a key long, is refused.
    pub fn open(path: &Path) -> Result<Option<Self>, SealError> {
        let read = |source| SealError::Read {
            path: path.into(),
            source,
        };
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(read(error)),
        };
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(SealError::NotAFile { path: path.into() });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(SealError::Mode {
                path: path.into(),
                mode,
            });
        }
        if metadata.len() != KEY_LEN as u64 {
            return Err(SealError::Length {
                path: path.into(),
                len: metadata.len(),
            });
        }
        let mut key = Zeroizing::new([0; KEY_LEN]);
        file.read_exact(&mut *key).map_err(read)?;
        Ok(Some(Self::from_key(&key)))
    }

    /// Draws a key and writes it to `path`, mode 0600, on disk when this returns. A file that is there is never overwritten.
    pub fn create(path: &Path) -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        aws_lc_rs::rand::fill(&mut *key).map_err(|_| SealError::Random)?;
        write_new(path, &*key).map_err(|source| SealError::Create {
            path: path.into(),
            source,
        })?;
        Ok(Self::from_key(&key))
    }

    /// Seals `plain` for `purpose`.
    #[expect(
        clippy::expect_used,
        reason = "without randomness nothing may be sealed at all; the other failure is a text of 64 GiB"
    )]
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).expect("the system gives random bytes");
        // Its final size from the start: growing would leave a copy of the secret behind.
        let mut body = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
        body.extend_from_slice(plain);
        let (nonce_once, bound) = (Nonce::assume_unique_for_key(nonce), self.bound(purpose));
        self.0
            .key
            .seal_in_place_append_tag(nonce_once, Aad::from(&bound), &mut *body)
            .expect("a secret is shorter than AES-GCM's bound");
        [&[VERSION][..], &self.0.fingerprint, &nonce, &body].concat()
    }

    /// Opens what [`Sealer::seal`] made for the same `purpose`.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let (head, body) = sealed.split_at_checked(HEAD_LEN).ok_or(SealError::Broken)?;
        if head[0] != VERSION {
            return Err(SealError::Version);
        }
        if !self.sealed(sealed) {
            return Err(SealError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[1 + FINGERPRINT_LEN..])
            .map_err(|_| SealError::Broken)?;
        let bound = self.bound(purpose);
        let mut body = Zeroizing::new(body.to_vec());
        let plain = self
            .0
            .key
            .open_in_place(nonce, Aad::from(&bound), &mut body)
            .map_err(|_| SealError::Broken)?;
        Ok(Secret::new(plain.to_vec()))
    }

    /// Whether this key sealed it, by the fingerprint; whether it opens, only opening tells.
    pub fn sealed(&self, sealed: &[u8]) -> bool {
        sealed.get(1..=FINGERPRINT_LEN) == Some(&self.0.fingerprint)
    }

    #[expect(
        clippy::expect_used,
        reason = "only a key of another length is refused"
    )]
    fn from_key(key: &[u8; KEY_LEN]) -> Self {
        let unbound = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
        let mac = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&mac, b"vestibule sealing key fingerprint");
        let mut fingerprint = [0; FINGERPRINT_LEN];
        fingerprint.copy_from_slice(&tag.as_ref()[..FINGERPRINT_LEN]);
        Self(Arc::new(Inner {
            key: LessSafeKey::new(unbound),
            fingerprint,
        }))
    }

    fn bound(&self, purpose: &str) -> Vec<u8> {
        [&[VERSION][..], &self.0.fingerprint, purpose.as_bytes()].concat()
    }
}

/// The file and its name are on disk when this returns: a key that is lost with a power cut takes with it all that it sealed.
fn write_new(path: &Path, key: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(key).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would stand in the way of the next start.
        let _ = std::fs::remove_file(path);
    }
    written?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
