//! From PEM, in a pair of files or from the store, to a certificate that can be shown.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use zeroize::{Zeroize, Zeroizing};

use super::fault::CertificateFault;
use super::protocol::Protocol;
use crate::clock::Timestamp;
use crate::model::certificate::CertificateNames;
use crate::model::{DomainPattern, Secret};

/// A certificate with its key, ready to be shown.
pub struct Certificate {
    /// NAME of `NAME.crt` and `NAME.key`; of one from the store the name by which it was found.
    pub name: String,
    /// The hosts it is for.
    pub names: Arc<CertificateNames>,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it expires.
    pub not_after: Timestamp,
    /// Bytes that it takes in memory, roughly.
    pub(super) weight: u32,
    /// With the chain and the parsed key in it.
    pub(super) config: Arc<ServerConfig>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("name", &self.name)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The stems of all pairs in `directory`, in order, and the keys that have no certificate.
pub(super) fn list(
    directory: &Path,
) -> Result<(Vec<String>, Vec<CertificateFault>), CertificateFault> {
    let fault = |source| CertificateFault::Directory {
        path: directory.to_owned(),
        source,
    };
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(directory).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let (Some(stem), Some(extension)) = (path.file_stem(), path.extension()) else {
            continue;
        };
        let Some(stem) = stem.to_str() else { continue };
        match extension.to_str() {
            Some("crt") => certificates.push(stem.to_owned()),
            Some("key") => keys.push(stem.to_owned()),
            _ => {}
        }
    }
    certificates.sort_unstable();
    keys.sort_unstable();
    let lonely = keys
        .into_iter()
        .filter(|key| certificates.binary_search(key).is_err())
        .map(|key| CertificateFault::Lonely {
            path: directory.join(key + ".key"),
        })
        .collect();
    Ok((certificates, lonely))
}

/// Reads `NAME.crt` and `NAME.key` in `directory`.
pub(super) fn read_pair(
    directory: &Path,
    name: &str,
    protocol: &Protocol,
) -> Result<Certificate, CertificateFault> {
    let chain_path = directory.join(format!("{name}.crt"));
    let key_path = directory.join(format!("{name}.key"));
    let chain = read_chain(&chain_path)?;
    let leaf = read_leaf(&chain_path, &chain)?;
    let key = signing_key(&key_path, &read_key(&key_path)?)?;
    assemble(
        name,
        leaf,
        matching(chain, key, &chain_path, &key_path)?,
        protocol,
    )
}

/// The certificate that the store keeps for `name`.
pub(super) fn from_store(
    name: &str,
    chain: &str,
    key: &Secret,
    protocol: &Protocol,
) -> Result<Certificate, CertificateFault> {
    let place = Path::new(name);
    let chain = parse_chain(place, chain.as_bytes())?;
    let leaf = read_leaf(place, &chain)?;
    let key = signing_key(place, &parse_key(place, key.expose())?)?;
    assemble(name, leaf, matching(chain, key, place, place)?, protocol)
}

fn assemble(
    name: &str,
    leaf: Leaf,
    key: CertifiedKey,
    protocol: &Protocol,
) -> Result<Certificate, CertificateFault> {
    let chain: usize = key.cert.iter().map(|certificate| certificate.len()).sum();
    Ok(Certificate {
        name: name.to_owned(),
        names: Arc::new(CertificateNames::new(leaf.names)),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        weight: u32::try_from(chain)
            .unwrap_or(u32::MAX)
            .saturating_add(BESIDES),
        config: protocol.server(key),
    })
}

/// Bytes of a certificate in memory besides its chain: the parsed key (an RSA key with its tables is the longest), the
/// configuration, names and their places in maps.
const BESIDES: u32 = 3 * 1024;

/// Chain and key together, if the key is that of the chain's first certificate.
pub(super) fn matching(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn rustls::sign::SigningKey>,
    chain_path: &Path,
    key_path: &Path,
) -> Result<CertifiedKey, CertificateFault> {
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        // Unknown: the key cannot say what its public half is. Handshakes will tell.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(key),
        Err(_) => Err(CertificateFault::Mismatch {
            certificate: chain_path.to_owned(),
            key: key_path.to_owned(),
        }),
    }
}

/// The chain in a PEM file, the visitor-facing certificate first.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let text = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    parse_chain(path, &text)
}

pub(super) fn parse_chain(
    path: &Path,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let fault = |source| CertificateFault::Pem {
        path: path.to_owned(),
        wanted: "certificate",
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    if chain.is_empty() {
        return Err(fault(pem::Error::NoItemsFound));
    }
    Ok(chain)
}

/// A private key, overwritten when dropped.
pub(super) struct PlainKey(pub(super) PrivateKeyDer<'static>);

impl Drop for PlainKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

pub(super) fn read_key(path: &Path) -> Result<PlainKey, CertificateFault> {
    let text = Zeroizing::new(std::fs::read(path).map_err(|source| unreadable(path, source))?);
    parse_key(path, &text)
}

pub(super) fn parse_key(path: &Path, text: &[u8]) -> Result<PlainKey, CertificateFault> {
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|source| CertificateFault::Pem {
        path: path.to_owned(),
        wanted: "private key",
        source,
    })?;
    Ok(PlainKey(key))
}

pub(super) fn signing_key(
    path: &Path,
    key: &PlainKey,
) -> Result<Arc<dyn rustls::sign::SigningKey>, CertificateFault> {
    any_supported_type(&key.0).map_err(|source| CertificateFault::Key {
        path: path.to_owned(),
        source,
    })
}

fn unreadable(path: &Path, source: io::Error) -> CertificateFault {
    CertificateFault::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// What a certificate says of itself.
pub(super) struct Leaf {
    pub(super) names: Vec<DomainPattern>,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
    /// What makes it too weak to be trusted, if anything does.
    pub(super) weakness: Option<String>,
}

/// Reads the first certificate of a chain that came from `path`.
pub(super) fn read_leaf(
    path: &Path,
    chain: &[CertificateDer<'_>],
) -> Result<Leaf, CertificateFault> {
    let malformed = || CertificateFault::Malformed {
        path: path.to_owned(),
    };
    let der = chain.first().ok_or_else(malformed)?;
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| malformed())?;
    let names = host_names(&certificate).ok_or_else(malformed)?;
    if names.is_empty() {
        return Err(CertificateFault::NoNames {
            path: path.to_owned(),
        });
    }
    let validity = certificate.validity();
    Ok(Leaf {
        names,
        not_before: Timestamp(validity.not_before.timestamp().saturating_mul(1000)),
        not_after: Timestamp(validity.not_after.timestamp().saturating_mul(1000)),
        weakness: weakness(&certificate),
    })
}

/// An RSA key below 2048 bits (CA/Browser Forum baseline requirements, section 6.1.5), or a signature over MD5 or SHA-1 (7.1.3.2): browsers
/// refuse both.
fn weakness(certificate: &X509Certificate<'_>) -> Option<String> {
    const LEAST_RSA_BITS: usize = 2048;
    /// md5WithRSAEncryption, sha1WithRSAEncryption, ecdsa-with-SHA1.
    const BROKEN: [&str; 3] = [
        "1.2.840.113549.1.1.4",
        "1.2.840.113549.1.1.5",
        "1.2.840.10045.4.1",
    ];
    if let Ok(PublicKey::RSA(key)) = certificate.public_key().parsed()
        && key.key_size() < LEAST_RSA_BITS
    {
        let bits = key.key_size();
        return Some(format!(
            "its RSA key has {bits} bits and not {LEAST_RSA_BITS}"
        ));
    }
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    BROKEN
        .contains(&algorithm.as_str())
        .then(|| "it is signed with SHA-1 or MD5".to_owned())
}

/// The DNS names of the subjectAltName; `None` where it is malformed. Names that no visitor can ask for are left out.
fn host_names(certificate: &X509Certificate<'_>) -> Option<Vec<DomainPattern>> {
    let Some(extension) = certificate.subject_alternative_name().ok()? else {
        return Some(Vec::new());
    };
    let names = extension.value.general_names.iter();
    Some(
        names
            .filter_map(|name| match name {
                GeneralName::DNSName(text) => DomainPattern::parse(text).ok(),
                _ => None,
            })
            .collect(),
    )
}
