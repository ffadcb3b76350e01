//! Handshakes over real sockets: which certificate is shown, what is agreed on, and which names are refused with which bytes.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, SupportedCipherSuite};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::clock::Clock;
use vestibule::config::TlsVersion;
use vestibule::metrics::Metrics;
use vestibule::model::{DomainPattern, Hostname};
use vestibule::tls::{HandshakeError, Inventory, LocalCa, TlsAcceptor, TlsFacts, client_config};

use crate::certificates::{Folder, forge_with_local_ca};

mod challenges;
mod folder;
mod hellos;
pub(crate) mod policies;
pub(crate) mod resumption;
mod tickets;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than anything takes; reached only where a test fails.
const PATIENCE: Duration = Duration::from_secs(30);
/// A fatal `unrecognized_name` alert, byte for byte.
pub(crate) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A listener that shakes hands and says `!` to whoever it agrees with.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    outcomes: mpsc::UnboundedReceiver<Result<TlsFacts, HandshakeError>>,
    metrics: Arc<Metrics>,
}

impl Edge {
    pub(crate) async fn start(folder: &Folder) -> Self {
        let (inventory, _) = folder.load();
        Self::with(inventory, &folder.metrics, |acceptor| acceptor, HOUR).await
    }

    pub(crate) async fn with(
        inventory: Arc<Inventory>,
        metrics: &Arc<Metrics>,
        change: impl FnOnce(TlsAcceptor) -> TlsAcceptor,
        limit: Duration,
    ) -> Self {
        let acceptor = TlsAcceptor::new(inventory, limit, Arc::clone(metrics));
        let acceptor = Arc::new(change(acceptor));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, outcomes) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, report) = (Arc::clone(&acceptor), report.clone());
                tokio::spawn(async move {
                    let outcome = match acceptor.accept(socket).await {
                        Ok((mut stream, facts)) => {
                            let _ = stream.write_all(b"!").await;
                            let _ = stream.shutdown().await;
                            Ok(facts)
                        }
                        Err(error) => Err(error),
                    };
                    let _ = report.send(outcome);
                });
            }
        });
        Self {
            address,
            outcomes,
            metrics: Arc::clone(metrics),
        }
    }

    pub(crate) async fn outcome(&mut self) -> Result<TlsFacts, HandshakeError> {
        let outcome = timeout(PATIENCE, self.outcomes.recv()).await;
        outcome.expect("the handshake ends").unwrap()
    }

    /// Shakes hands as `name` and reads the word, so that tickets arrive too.
    pub(crate) async fn visit(
        &self,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::clone(config))
            .connect(name, socket)
            .await?;
        let mut word = Vec::new();
        stream.read_to_end(&mut word).await?;
        assert_eq!(word, b"!");
        Ok(stream)
    }

    /// Sends `hello` raw and returns all that comes back.
    pub(crate) async fn answer_to(&self, hello: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // The edge may refuse before all of it is taken.
        let _ = socket.write_all(hello).await;
        let mut answer = Vec::new();
        let read = timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
        let _ = read.expect("the edge closes");
        answer
    }

    pub(crate) fn count(&self, result: &str) -> u64 {
        self.metrics
            .tls_handshakes
            .with_label_values(&[result])
            .get()
    }
}

fn believing(ca: &Path) -> ClientConfig {
    ClientConfig::clone(&client_config(Some(ca)).unwrap())
}

pub(crate) fn client(folder: &Folder) -> ClientConfig {
    believing(&folder.path("ca.pem"))
}

/// The bytes of a ClientHello.
pub(crate) fn hello(config: ClientConfig, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// `hello` with another server name of the same length.
fn renamed(mut hello: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = hello
        .windows(from.len())
        .position(|part| part == from.as_bytes())
        .unwrap();
    hello[at..at + to.len()].copy_from_slice(to.as_bytes());
    hello
}

pub(crate) fn presented(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn the_certificate_for_the_name_is_shown_and_its_names_are_known() {
    let folder = Folder::new()
        .with("exact", &["x.acme.test"])
        .with("wild", &["*.acme.test"]);
    let mut edge = Edge::start(&folder).await;
    let config = Arc::new(client(&folder));
    let x = edge.visit(&config, "x.acme.test").await.unwrap();
    let facts = edge.outcome().await.unwrap();
    let host = |name| Hostname::parse(name).unwrap();
    assert_eq!(facts.sni, Some(host("x.acme.test")));
    assert!(facts.names.covers(&host("x.acme.test")));
    // C14: this connection may not be used for the other name, which another certificate is for.
    assert!(!facts.names.covers(&host("y.acme.test")));
    let y = edge.visit(&config, "Y.acme.test").await.unwrap();
    let facts = edge.outcome().await.unwrap();
    assert_eq!(facts.sni, Some(host("y.acme.test")));
    // C15: this one may.
    assert!(facts.names.covers(&host("x.acme.test")));
    assert_ne!(presented(&x), presented(&y));
    assert_eq!(edge.count("ok"), 2);
}

#[tokio::test]
async fn c16_names_that_nobody_has_a_certificate_for_get_an_alert() {
    let folder = Folder::new().with("acme", &["acme.test", "*.acme.test"]);
    let mut edge = Edge::start(&folder).await;
    let config = || client(&folder);
    let mut nameless = config();
    nameless.enable_sni = false;
    for (result, hello) in [
        ("unknown_name", hello(config(), "globex.test")),
        ("unknown_name", hello(config(), "a.b.acme.test")),
        ("no_name", hello(nameless, "acme.test")),
        (
            "no_name",
            renamed(hello(config(), "127-0-0-x"), "127-0-0-x", "127.0.0.1"),
        ),
        (
            "illegal_name",
            renamed(hello(config(), "acme.testx"), "acme.testx", "acme.test."),
        ),
    ] {
        assert_eq!(edge.answer_to(&hello).await, UNRECOGNIZED_NAME, "{result}");
        assert_eq!(edge.outcome().await.unwrap_err().as_str(), result);
    }
    assert_eq!(edge.count("unknown_name"), 2);
    assert_eq!(edge.count("no_name"), 2);
    assert_eq!(edge.count("illegal_name"), 1);
}

#[tokio::test]
async fn c16_a_default_certificate_is_shown_to_the_others() {
    let mut folder = Folder::new()
        .with("acme", &["acme.test"])
        .with("fallback", &["fallback.test"]);
    folder.settings.default = Some("fallback".to_owned());
    let mut edge = Edge::start(&folder).await;
    let mut config = client(&folder);
    config.enable_sni = false;
    edge.visit(&Arc::new(config), "fallback.test")
        .await
        .unwrap();
    assert_eq!(edge.outcome().await.unwrap().sni, None);
    let wrong = edge.visit(&Arc::new(client(&folder)), "globex.test").await;
    assert!(wrong.unwrap_err().to_string().contains("certificate"));
    // A final dot is illegal whatever there is to show.
    let dot = renamed(
        hello(client(&folder), "acme.testx"),
        "acme.testx",
        "acme.test.",
    );
    assert_eq!(edge.answer_to(&dot).await, UNRECOGNIZED_NAME);
}

#[tokio::test]
async fn alpn_prefers_http2_and_refuses_what_is_not_spoken() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let mut edge = Edge::start(&folder).await;
    for (offered, http2) in [
        (vec!["http/1.1", "h2"], true),
        (vec!["http/1.1"], false),
        (vec![], false),
    ] {
        let mut config = client(&folder);
        config.alpn_protocols = offered.iter().map(|it| it.as_bytes().to_vec()).collect();
        edge.visit(&Arc::new(config), "acme.test").await.unwrap();
        assert_eq!(edge.outcome().await.unwrap().alpn_h2, http2, "{offered:?}");
    }
    let mut config = client(&folder);
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let refused = edge
        .visit(&Arc::new(config), "acme.test")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_hybrid_key_exchange_is_agreed_on() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let mut edge = Edge::start(&folder).await;
    let stream = edge
        .visit(&Arc::new(client(&folder)), "acme.test")
        .await
        .unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
    let facts = edge.outcome().await.unwrap();
    assert_eq!(facts.version, "TLSv1_3");
    assert!(facts.cipher.starts_with("TLS13_"), "{}", facts.cipher);
}

#[tokio::test]
async fn aes_128_is_agreed_on_but_with_those_who_want_chacha_or_have_nothing_else() {
    use rustls::crypto::aws_lc_rs::cipher_suite::{
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as OLD_AES_128,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 as OLD_AES_256,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 as OLD_CHACHA,
        TLS13_AES_128_GCM_SHA256 as AES_128, TLS13_AES_256_GCM_SHA384 as AES_256,
        TLS13_CHACHA20_POLY1305_SHA256 as CHACHA,
    };
    let folder = Folder::new().with("acme", &["acme.test"]);
    let mut edge = Edge::start(&folder).await;
    for (named, agreed) in [
        (vec![AES_256, CHACHA, AES_128], "TLS13_AES_128_GCM_SHA256"),
        (vec![AES_256, CHACHA], "TLS13_AES_256_GCM_SHA384"),
        (vec![CHACHA, AES_128], "TLS13_CHACHA20_POLY1305_SHA256"),
        (
            vec![OLD_AES_256, OLD_AES_128],
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            vec![OLD_CHACHA, OLD_AES_128],
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let mut visitor = ClientConfig::clone(&naming(&folder, named));
        visitor.alpn_protocols = vec![b"h2".to_vec()];
        edge.visit(&Arc::new(visitor), "acme.test").await.unwrap();
        let facts = edge.outcome().await.unwrap();
        assert_eq!((facts.cipher, facts.alpn_h2), (agreed, true));
    }
}

/// A visitor who names these suites, in this order.
fn naming(folder: &Folder, suites: Vec<SupportedCipherSuite>) -> Arc<ClientConfig> {
    let versions = [suites[0].version()];
    let provider = rustls::crypto::CryptoProvider {
        cipher_suites: suites,
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .unwrap();
    Arc::new(
        config
            .with_root_certificates(roots(folder))
            .with_no_client_auth(),
    )
}

fn roots(folder: &Folder) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    let root = rustls_pki_types::pem::PemObject::from_pem_file(folder.path("ca.pem")).unwrap();
    roots.add(root).unwrap();
    roots
}

pub(crate) fn only_tls12(folder: &Folder) -> Arc<ClientConfig> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap();
    Arc::new(
        config
            .with_root_certificates(roots(folder))
            .with_no_client_auth(),
    )
}

#[tokio::test]
async fn the_minimum_version_is_kept() {
    let mut folder = Folder::new().with("acme", &["acme.test"]);
    let edge = Edge::start(&folder).await;
    let stream = edge.visit(&only_tls12(&folder), "acme.test").await.unwrap();
    let version = stream.get_ref().1.protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_2));
    folder.settings.minimum = TlsVersion::Tls13;
    let edge = Edge::start(&folder).await;
    assert!(edge.visit(&only_tls12(&folder), "acme.test").await.is_err());
    assert_eq!(edge.count("protocol"), 1);
}

#[tokio::test]
async fn the_local_authority_is_believed_for_localhost_and_for_nothing_else() {
    let authority = TempDir::new().unwrap();
    let folder = Folder::new();
    let now = Clock::system().now();
    let ca = LocalCa::open(authority.path(), now).unwrap();
    let names = ["localhost", "*.acme.localhost"].map(|name| DomainPattern::parse(name).unwrap());
    ca.issue(folder.directory.path(), "dev", &names, now)
        .unwrap();
    forge_with_local_ca(authority.path(), folder.directory.path());
    let edge = Edge::start(&folder).await;
    let config = Arc::new(believing(ca.certificate_path()));
    edge.visit(&config, "localhost").await.unwrap();
    edge.visit(&config, "x.acme.localhost").await.unwrap();
    let forged = edge.visit(&config, "example.com").await.unwrap_err();
    assert!(forged.to_string().contains("NameConstraint"), "{forged}");
}
