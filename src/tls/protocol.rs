//! What is spoken whichever certificate is shown: versions, key exchange, session tickets.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerConfig};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedProtocolVersion, crypto::aws_lc_rs};

use crate::config::TlsVersion;

/// Protocols that are offered inside TLS, the preferred one first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

static FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// The ground of every server configuration of this process.
pub(super) struct Protocol {
    provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    /// One for all certificates, with keys that change every six hours: any of our names may resume its own sessions only, because
    /// a ticket holds the name it was made for and rustls compares it (RFC 8446 section 4.6.1).
    tickets: Arc<dyn ProducesTickets>,
}

/// The crypto provider of the whole program.
pub(super) fn provider() -> Arc<CryptoProvider> {
    // X25519MLKEM768 is its first choice (feature `prefer-post-quantum`).
    Arc::new(aws_lc_rs::default_provider())
}

impl Protocol {
    pub(super) fn new(minimum: TlsVersion) -> Result<Self, rustls::Error> {
        Ok(Self {
            provider: provider(),
            versions: match minimum {
                TlsVersion::Tls12 => FROM_1_2,
                TlsVersion::Tls13 => FROM_1_3,
            },
            tickets: aws_lc_rs::Ticketer::new()?,
        })
    }

    /// The configuration that shows `key` to whoever asks. No early data: it can be replayed (RFC 8470).
    pub(super) fn server(&self, key: CertifiedKey) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(self.versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}
