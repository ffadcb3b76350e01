//! A CA made for one test, with a certificate for a server.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::NamedTempFile;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server's certificate and the CA that signed it.
pub(crate) struct TestIdentity {
    ca: NamedTempFile,
    /// For a server that proves to be the names asked for.
    pub(crate) server: Arc<ServerConfig>,
    /// The server's certificate, PEM.
    pub(crate) certificate: String,
    /// Its key, PEM.
    pub(crate) key: String,
}

impl TestIdentity {
    /// For `names`: host names or IP addresses.
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(ca_certificate.pem().as_bytes()).unwrap();

        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(names).unwrap();
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let private = PrivatePkcs8KeyDer::from(key.serialize_der());
        let server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private.into())
            .unwrap();
        Self {
            ca: file,
            server: Arc::new(server),
            certificate: leaf.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A connection to a server that shows this certificate, at the address it is for.
    pub(crate) async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        self.connect_to(address, address.ip().into()).await
    }

    /// The same, for a host name that it is for.
    pub(crate) async fn connect_as(&self, address: SocketAddr, host: &str) -> TlsStream<TcpStream> {
        let name = host.to_owned().try_into().unwrap();
        self.connect_to(address, name).await
    }

    async fn connect_to(
        &self,
        address: SocketAddr,
        name: ServerName<'static>,
    ) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.ca_file()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// The CA's certificate in PEM; the file lives as long as `self`.
    pub(crate) fn ca_file(&self) -> &Path {
        self.ca.path()
    }
}
