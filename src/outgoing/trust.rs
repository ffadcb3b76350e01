//! Whom we believe when we ask: the CA certificates of the system, and those of a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::model::Causes;

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read, or is not PEM.
    #[error("{path} cannot be read as PEM")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("{path} holds no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in it is no CA certificate that can be understood.
    #[error("a certificate in {path} cannot be used as a CA")]
    NotACa {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The TLS library would not start.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// The system's CA certificates, as far as they can be read.
pub fn system_roots() -> RootCertStore {
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(error = %Causes(error), "some of the system's CA certificates cannot be read");
    }
    let mut roots = RootCertStore::empty();
    // Some systems ship a root that nobody can parse; it is not worth more than the others.
    roots.add_parsable_certificates(native.certs);
    roots
}

/// A configuration for HTTP/1.1 over TLS that believes the system's roots and those in `ca_file` (PEM). A system without roots is no
/// error: then only `ca_file` is believed, and without one nobody.
pub fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, TrustError> {
    let mut roots = system_roots();
    if let Some(path) = ca_file {
        add(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TrustError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let unread = |source| TrustError::File {
        path: path.to_owned(),
        source,
    };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
        let added = roots.add(certificate.map_err(unread)?);
        added.map_err(|source| TrustError::NotACa {
            path: path.to_owned(),
            source,
        })?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err(TrustError::Empty {
            path: path.to_owned(),
        }),
    }
}
