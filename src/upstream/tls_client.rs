//! TLS towards endpoints: certificates are always verified, against the system's roots and the upstream's own CA file.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use crate::config;
use crate::model::Causes;

use super::UpstreamError;

/// The system's roots, read when the first upstream asks and shared by the others.
#[derive(Default)]
pub(super) struct Trust(Option<Arc<RootCertStore>>);

impl Trust {
    /// How to speak TLS with this upstream's endpoints: TLS 1.2 and 1.3, HTTP/1.1 only.
    pub(super) fn client_config(
        &mut self,
        upstream: &config::Upstream,
    ) -> Result<Arc<ClientConfig>, UpstreamError> {
        let name = || upstream.name.clone();
        let roots = match &upstream.ca_file {
            None => Arc::clone(self.system()),
            Some(path) => {
                let mut roots = RootCertStore::clone(self.system());
                add_file(&mut roots, path).map_err(|source| UpstreamError::CaFile {
                    upstream: name(),
                    path: path.clone(),
                    source,
                })?;
                Arc::new(roots)
            }
        };
        if roots.is_empty() {
            return Err(UpstreamError::NoTrust { upstream: name() });
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| UpstreamError::Tls {
                upstream: name(),
                source,
            })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn system(&mut self) -> &Arc<RootCertStore> {
        self.0.get_or_insert_with(|| {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(error = %Causes(error), "some of the system's CA certificates cannot be read");
            }
            let mut roots = RootCertStore::empty();
            // A system's bundle holds the odd certificate that cannot be used; the others count.
            roots.add_parsable_certificates(found.certs);
            Arc::new(roots)
        })
    }
}

/// What is wrong with the upstreams' files of CA certificates, each of them.
pub fn check_ca_files(upstreams: &[config::Upstream]) -> Vec<UpstreamError> {
    let fault = |upstream: &config::Upstream| {
        let path = upstream.ca_file.as_ref()?;
        let source = add_file(&mut RootCertStore::empty(), path).err()?;
        Some(UpstreamError::CaFile {
            upstream: upstream.name.clone(),
            path: path.clone(),
            source,
        })
    };
    upstreams.iter().filter_map(fault).collect()
}

/// The operator named this file, so every certificate in it must be usable and there must be one.
fn add_file(roots: &mut RootCertStore, path: &Path) -> io::Result<()> {
    let mut count = 0;
    for certificate in CertificateDer::pem_reader_iter(File::open(path)?) {
        let certificate = certificate.map_err(|error| match error {
            pem::Error::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        })?;
        roots
            .add(certificate)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        count += 1;
    }
    if count == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there is no certificate in it",
        ));
    }
    Ok(())
}
