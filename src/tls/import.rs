//! Certificates as an operator brings them: each is checked whole before any of them is kept.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::fault::CertificateFault;
use super::load::{self, Leaf, PlainKey};
use crate::clock::Timestamp;
use crate::model::certificate::CertificateSource;
use crate::model::{DomainPattern, Secret};
use crate::store::NewCertificate;

/// A certificate that an operator brings.
#[derive(Clone, Debug)]
pub struct Brought {
    /// PEM, the visitor-facing certificate first.
    pub chain: PathBuf,
    /// PEM: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
    /// The name it is for; without one, those that stand in it.
    pub hostname: Option<DomainPattern>,
}

impl Brought {
    /// Each `NAME.crt` with its `NAME.key` in a folder, and what is wrong with the folder's other files.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn in_folder(
        directory: &Path,
    ) -> Result<(Vec<Self>, Vec<CertificateFault>), CertificateFault> {
        let (names, lonely) = load::list(directory)?;
        let brought = |name: &String| Self {
            chain: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
            hostname: None,
        };
        Ok((names.iter().map(brought).collect(), lonely))
    }

    /// Reads both files and checks that visitors could be shown them at `now`: well-formed, strong, valid, one key, the name covered.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, now: Timestamp) -> Result<NewCertificate, CertificateFault> {
        let chain = load::read_chain(&self.chain)?;
        let places = (self.chain.as_path(), self.key.as_path());
        let key = || load::read_key(&self.key);
        judge(places, chain, key, self.hostname.as_ref(), now)
    }
}

/// Checks, as [`Brought::check`] does, what a CA issued for `hostname`: `chain` and `key` are PEM. It is kept for that name alone.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_issued(
    hostname: &DomainPattern,
    chain: &str,
    key: &Secret,
    ca: &str,
    now: Timestamp,
) -> Result<NewCertificate, CertificateFault> {
    let place = PathBuf::from(hostname.to_string());
    let chain = load::parse_chain(&place, chain.as_bytes())?;
    let key = || load::parse_key(&place, key.expose());
    let new = judge((&place, &place), chain, key, Some(hostname), now)?;
    Ok(NewCertificate {
        names: vec![hostname.clone()],
        source: CertificateSource::Acme,
        ca: Some(ca.to_owned()),
        ..new
    })
}

/// The visitor-facing certificate of a chain (PEM), DER.
pub fn facing_der(chain: &str) -> Option<Vec<u8>> {
    let chain = load::parse_chain(Path::new(""), chain.as_bytes()).ok()?;
    chain.first().map(|der| der.to_vec())
}

/// Checks a chain and a key; `places` are where they are from, for the faults.
fn judge(
    (place, key_place): (&Path, &Path),
    chain: Vec<CertificateDer<'static>>,
    key: impl FnOnce() -> Result<PlainKey, CertificateFault>,
    hostname: Option<&DomainPattern>,
    now: Timestamp,
) -> Result<NewCertificate, CertificateFault> {
    let path = || place.to_owned();
    let leaf = load::read_leaf(place, &chain)?;
    // Before the key is looked at: the library refuses a weak one without saying why.
    if let Some(what) = leaf.weakness {
        return Err(CertificateFault::Weak { path: path(), what });
    }
    let names = names(place, hostname, &leaf)?;
    let plain = key()?;
    let key = load::signing_key(key_place, &plain)?;
    let chain = load::matching(chain, key, place, key_place)?.cert;
    if leaf.not_after <= now {
        return Err(CertificateFault::Expired { path: path() });
    }
    if now < leaf.not_before {
        return Err(CertificateFault::NotYetValid {
            path: path(),
            from: leaf.not_before,
        });
    }
    let facing = chain
        .first()
        .map(|der| digest(&SHA256, der))
        .ok_or(CertificateFault::Malformed { path: path() })?;
    Ok(NewCertificate {
        names,
        chain: chain
            .iter()
            .map(|der| pem("CERTIFICATE", der).to_string())
            .collect(),
        key: key_pem(&plain.0),
        not_before: leaf.not_before.0,
        not_after: leaf.not_after.0,
        source: CertificateSource::Import,
        fingerprint: hex(facing.as_ref()),
        ca: None,
    })
}

/// The name it was brought for first, then those that stand in it.
fn names(
    place: &Path,
    hostname: Option<&DomainPattern>,
    leaf: &Leaf,
) -> Result<Vec<DomainPattern>, CertificateFault> {
    let mut names = Vec::with_capacity(leaf.names.len() + 1);
    if let Some(hostname) = hostname {
        let covers = |pattern: &DomainPattern| match hostname {
            DomainPattern::Exact(name) => pattern.matches(name),
            DomainPattern::Wildcard(_) => pattern == hostname,
        };
        if !leaf.names.iter().any(covers) {
            let covered: Vec<_> = leaf.names.iter().map(DomainPattern::to_string).collect();
            return Err(CertificateFault::NotCovered {
                path: place.to_owned(),
                hostname: hostname.clone(),
                covered: covered.join(", "),
            });
        }
        names.push(hostname.clone());
    }
    for name in &leaf.names {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

fn key_pem(key: &PrivateKeyDer<'_>) -> Secret {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    let text = pem(label, key.secret_der());
    Secret::new(text.as_bytes().to_vec())
}

/// RFC 7468 section 2.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    const LINE: usize = 64;
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(der));
    // Its final size from the start: growing would leave a copy of a key behind.
    let size = encoded.len() + encoded.len() / LINE + 2 * (label.len() + 20);
    let mut text = Zeroizing::new(String::with_capacity(size));
    let _ = writeln!(text, "-----BEGIN {label}-----");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
