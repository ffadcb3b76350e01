//! What is spoken whichever certificate is shown: versions, key exchange, session tickets.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ResolvesServerCertUsingSni, ServerConfig,
    VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};

use super::inventory::SetupError;
use super::tickets::{NoTickets, Tickets};
use crate::config::TlsVersion;
use crate::store::NameTls;

/// Protocols that are offered inside TLS, the preferred one first (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// The protocol of tls-alpn-01 (RFC 8737 section 6.2).
pub(super) const CHALLENGE_ALPN: &[u8] = b"acme-tls/1";

static FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// What is agreed on with visitors, the preferred one first. AES-128 before AES-256, as browsers and the large edges have it: both are
/// out of reach, and the smaller one costs less, above all in the handshake, whose many hashes are then SHA-256 (for which processors
/// have instructions) and not SHA-384. Whoever names AES-256 and not AES-128 gets that.
static SUITES: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// The ground of every server configuration of this process.
pub(super) struct Protocol {
    /// What all of them share: provider, versions, and the session tickets. One ticketer for all certificates: any of our names may
    /// resume its own sessions only, because a ticket holds the name it was made for and rustls compares it (RFC 8446 section 4.6.1).
    ground: ServerConfig,
    provider: Arc<CryptoProvider>,
    minimum: TlsVersion,
    tickets: Arc<Tickets>,
}

/// The crypto provider of the whole program.
pub(super) fn provider() -> Arc<CryptoProvider> {
    // X25519MLKEM768 is its first choice (feature `prefer-post-quantum`).
    Arc::new(aws_lc_rs::default_provider())
}

impl Protocol {
    /// No early data: it can be replayed (RFC 8470).
    pub(super) fn new(minimum: TlsVersion) -> Result<Self, SetupError> {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: SUITES.to_vec(),
            ..aws_lc_rs::default_provider()
        });
        let tickets = Tickets::new()?;
        let anybody = WebPkiClientVerifier::no_client_auth();
        Ok(Self {
            ground: ground(&provider, minimum, anybody, Arc::clone(&tickets) as _)?,
            provider,
            minimum,
            tickets,
        })
    }

    /// The ground for names that demand more. Who must bring a certificate gets no ticket: a session goes on without it being looked at
    /// again, and by then its issuer may not be trusted any more, or have been none of the name's own.
    pub(super) fn demanding(&self, demands: &NameTls) -> Result<ServerConfig, DemandFault> {
        let own = demands.minimum.unwrap_or(self.minimum);
        let minimum = own.max(self.minimum);
        let Some(ca) = &demands.client_ca else {
            let anybody = WebPkiClientVerifier::no_client_auth();
            let tickets = Arc::clone(&self.tickets);
            return Ok(ground(&self.provider, minimum, anybody, tickets)?);
        };
        let roots = Arc::new(client_roots(ca)?);
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
        Ok(ground(
            &self.provider,
            minimum,
            verifier,
            Arc::new(NoTickets),
        )?)
    }

    /// What seals the sessions that visitors take along.
    pub(super) fn tickets(&self) -> &Arc<Tickets> {
        &self.tickets
    }

    /// The configuration for one visit of a CA: its protocol, and nothing that outlasts the handshake.
    pub(super) fn challenge(&self, key: CertifiedKey) -> Arc<ServerConfig> {
        let mut config = self.ground.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(key));
        config.alpn_protocols = vec![CHALLENGE_ALPN.to_vec()];
        config.ticketer = Arc::new(NoTickets);
        config.send_tls13_tickets = 0;
        Arc::new(config)
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

/// What all of one kind share, but for the certificate.
fn ground(
    provider: &Arc<CryptoProvider>,
    minimum: TlsVersion,
    verifier: Arc<dyn ClientCertVerifier>,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let versions = match minimum {
        TlsVersion::Tls12 => FROM_1_2,
        TlsVersion::Tls13 => FROM_1_3,
    };
    let mut ground = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    ground.ignore_client_order = true;
    ground.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    // One for the next connection, which brings the one after that (RFC 8446 section C.4): each costs a handshake an encryption, and
    // HTTP/2 needs no second connection.
    ground.send_tls13_tickets = usize::from(tickets.enabled());
    ground.ticketer = tickets;
    ground.session_storage = Arc::new(NoServerSessionStorage {});
    ground.max_early_data_size = 0;
    Ok(ground)
}

/// Those in `pem` who vouch for visitors, one at least.
fn client_roots(pem: &str) -> Result<RootCertStore, DemandFault> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    match roots.is_empty() {
        true => Err(DemandFault::Pem(pem::Error::NoItemsFound)),
        false => Ok(roots),
    }
}

/// Whether `pem` holds certificates that can vouch for visitors, and nothing that is broken.
pub fn check_client_ca(pem: &str) -> Result<(), DemandFault> {
    client_roots(pem).map(drop)
}

/// Why what a name demands of its visitors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DemandFault {
    /// The text holds no certificate, or a broken one.
    #[error("the certificates of those who vouch for visitors cannot be read")]
    Pem(#[from] pem::Error),
    /// A certificate of it cannot vouch for anybody.
    #[error("a certificate of those who vouch for visitors cannot be used")]
    Certificate(#[from] rustls::Error),
    /// As a whole they cannot.
    #[error("the certificates of those who vouch for visitors cannot be used")]
    Verifier(#[from] VerifierBuilderError),
}

/// `config` for a visitor who names `suites`: our order counts, but for those who have no instructions for AES, as some phones, and
/// say so by naming ChaCha20 first. For them, who are few, it is copied.
pub(super) fn in_order_of(config: &Arc<ServerConfig>, suites: &[CipherSuite]) -> Arc<ServerConfig> {
    let ours = |named: &&CipherSuite| SUITES.iter().any(|suite| suite.suite() == **named);
    let first = suites.iter().find(ours);
    if !first.is_some_and(is_chacha) {
        return Arc::clone(config);
    }
    let mut config = ServerConfig::clone(config);
    config.ignore_client_order = false;
    Arc::new(config)
}

fn is_chacha(suite: &CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}
