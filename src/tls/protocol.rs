//! What is spoken whichever certificate is shown: versions, key exchange, session tickets.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ResolvesServerCertUsingSni, ServerConfig};
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
    /// What all of them share: provider, versions, and the session tickets, whose keys change every six hours (RFC 5077 section 5.5).
    /// One ticketer for all certificates: any of our names may resume its own sessions only, because a ticket holds the name it was
    /// made for and rustls compares it (RFC 8446 section 4.6.1).
    ground: ServerConfig,
}

/// The crypto provider of the whole program.
pub(super) fn provider() -> Arc<CryptoProvider> {
    // X25519MLKEM768 is its first choice (feature `prefer-post-quantum`).
    Arc::new(aws_lc_rs::default_provider())
}

impl Protocol {
    /// No early data: it can be replayed (RFC 8470).
    pub(super) fn new(minimum: TlsVersion) -> Result<Self, rustls::Error> {
        let versions = match minimum {
            TlsVersion::Tls12 => FROM_1_2,
            TlsVersion::Tls13 => FROM_1_3,
        };
        let mut ground = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        ground.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        ground.ticketer = aws_lc_rs::Ticketer::new()?;
        // One for the next connection, which brings the one after that (RFC 8446 section C.4): each costs a handshake an encryption, and
        // HTTP/2 needs no second connection.
        ground.send_tls13_tickets = 1;
        ground.session_storage = Arc::new(NoServerSessionStorage {});
        ground.max_early_data_size = 0;
        Ok(Self { ground })
    }

    /// The configuration that shows `key` to whoever asks: the ground with a resolver of its own, made once when a certificate is
    /// loaded, so that a handshake takes one reference to it. A resolver shared by all certificates would have to find the certificate
    /// again: rustls asks it a second time after a HelloRetryRequest, when the one awaited before may be gone from memory.
    pub(super) fn server(&self, key: CertifiedKey) -> Arc<ServerConfig> {
        let mut config = self.ground.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        Arc::new(config)
    }
}
