//! TLS with application servers: whom we believe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;

use super::fault::CertificateFault;
use super::load;
use super::protocol::provider;
use crate::outgoing::system_roots;

/// Why application servers cannot be verified.
#[derive(Debug, thiserror::Error)]
pub enum ClientConfigError {
    /// The file of further roots has a fault.
    #[error("the CA file cannot be used")]
    CaFile(#[source] CertificateFault),
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

/// A configuration for HTTP/1.1 over TLS that believes the system's roots and those in `ca_file` (PEM). A system without roots is
/// no error: then only `ca_file` is believed, and without one nobody.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, ClientConfigError> {
    let mut roots = system_roots();
    if let Some(path) = ca_file {
        for certificate in load::read_chain(path).map_err(ClientConfigError::CaFile)? {
            roots
                .add(certificate)
                .map_err(|source| ClientConfigError::NotACa {
                    path: path.to_owned(),
                    source,
                })?;
        }
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(ClientConfigError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
