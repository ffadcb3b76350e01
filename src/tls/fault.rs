//! What can be wrong with a certificate or its key.

use std::io;
use std::path::PathBuf;

use rustls_pki_types::pem;

use crate::clock::Timestamp;
use crate::model::DomainPattern;

/// What is wrong with a certificate's file. Never holds anything of a key.
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
    /// The key is so short that it can be guessed, or the certificate is signed with a broken hash.
    #[error("the certificate in {path} is too weak: {what}")]
    Weak {
        /// The certificate's file.
        path: PathBuf,
        /// What about it.
        what: String,
    },
    /// The certificate is good, but not for the name that it was brought for.
    #[error("the certificate in {path} does not cover {hostname}, only {covered}")]
    NotCovered {
        /// The certificate's file.
        path: PathBuf,
        /// The name it should be for.
        hostname: DomainPattern,
        /// The names it is for.
        covered: String,
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
        /// When it begins to be.
        from: Timestamp,
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

impl CertificateFault {
    /// The folder is not there. One that was configured has been refused with the configuration, so all certificates are in the store.
    pub fn is_no_folder(&self) -> bool {
        matches!(self, Self::Directory { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// What the operator can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Mismatch { .. } => {
                "the key must be the one that the certificate was requested with; the chain's own certificate comes first in its file"
            }
            Self::Expired { .. } => "get a new one from whoever issued it",
            Self::NotYetValid { .. } => "is this machine's clock right?",
            Self::Pem { .. } => {
                "PEM is text that begins with -----BEGIN; a key with a passphrase has to be decrypted first"
            }
            Self::Weak { .. } => "get one with an EC P-256 key, or RSA with 2048 bits or more",
            Self::NoNames { .. } => {
                "the names must stand in its subjectAltName; the common name does not count"
            }
            _ => return None,
        })
    }
}
