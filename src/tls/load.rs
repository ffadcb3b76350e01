//! From a pair of PEM files to a certificate that can be shown.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use super::protocol::Protocol;
use crate::clock::Timestamp;
use crate::model::DomainPattern;
use crate::model::certificate::CertificateNames;

/// A certificate with its key, ready to be shown.
pub struct Certificate {
    /// NAME of `NAME.crt` and `NAME.key`.
    pub name: String,
    /// The hosts it is for.
    pub names: Arc<CertificateNames>,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// When it expires.
    pub not_after: Timestamp,
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

/// What is wrong with a file of the certificates' folder. Never holds anything of a key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFault {
    /// The folder cannot be listed.
    #[error("the folder {path} cannot be read")]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read; where the key beside a certificate is missing it is this with the key's path.
    #[error("{path} cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key without a certificate beside it.
    #[error("{path} has no certificate beside it")]
    Lonely {
        /// The key.
        path: PathBuf,
    },
    /// The text is no PEM, or holds nothing of what is looked for.
    #[error("{path} holds no PEM {wanted}")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The first certificate of the chain cannot be understood.
    #[error("the first certificate in {path} is malformed")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// No DNS name in the certificate (RFC 6125 section 6.4.4: the common name does not count).
    #[error("the certificate in {path} names no host")]
    NoNames {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that is not spoken, or the protocol cannot be set up with it.
    #[error("the key in {path} cannot be used")]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Key and certificate do not belong together.
    #[error("{key} is not the key of the certificate in {certificate}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Expired. It is served all the same where there is no better one: a refused handshake would tell visitors less.
    #[error("the certificate in {path} has expired")]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// Not valid yet; served like an expired one.
    #[error("the certificate in {path} is not valid yet")]
    NotYetValid {
        /// The file.
        path: PathBuf,
    },
    /// `default` in the configuration names a certificate that was not loaded.
    #[error("the default certificate {name:?} was not found in {directory}")]
    NoDefault {
        /// The NAME in the configuration.
        name: String,
        /// The folder.
        directory: PathBuf,
    },
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
    let key = CertifiedKey::new(chain, read_key(&key_path)?);
    match key.keys_match() {
        // Unknown: the key cannot say what its public half is. Handshakes will tell.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(CertificateFault::Mismatch {
                certificate: chain_path,
                key: key_path,
            });
        }
    }
    let config = protocol
        .server(key)
        .map_err(|source| CertificateFault::Key {
            path: key_path,
            source,
        })?;
    Ok(Certificate {
        name: name.to_owned(),
        names: Arc::new(CertificateNames::new(leaf.names)),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        config,
    })
}

/// The chain in a PEM file, the visitor-facing certificate first.
pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let text = std::fs::read(path).map_err(|source| unreadable(path, source))?;
    let fault = |source| CertificateFault::Pem {
        path: path.to_owned(),
        wanted: "certificate",
        source,
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(fault)?;
    if chain.is_empty() {
        return Err(fault(pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<Arc<dyn rustls::sign::SigningKey>, CertificateFault> {
    let text = Zeroizing::new(std::fs::read(path).map_err(|source| unreadable(path, source))?);
    let mut key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| CertificateFault::Pem {
        path: path.to_owned(),
        wanted: "private key",
        source,
    })?;
    let usable = any_supported_type(&key);
    key.zeroize();
    usable.map_err(|source| CertificateFault::Key {
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
    })
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
