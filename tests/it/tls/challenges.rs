//! tls-alpn-01 (RFC 8737): who comes as a CA is shown a certificate for the one name with the digest of the key authorization, and nothing
//! else; everybody else never sees it.

use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::model::challenge::key_digest;
use vestibule::model::{ChallengeKind, Hostname};
use vestibule::store::{Challenge, ChallengeSource, StoreError};
use vestibule::tls::HandshakeError;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Edge, HOUR, UNRECOGNIZED_NAME, client, hello};
use crate::certificates::Folder;
use crate::harness::edge::Edge as Node;
use crate::harness::upstream::TestUpstream;

/// Fatal alerts, byte for byte.
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];
const INTERNAL_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 80];
/// RFC 8737 section 6.1.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// Challenges of a test; away where there is none.
#[derive(Default)]
struct Open(Mutex<Option<Vec<(Hostname, String)>>>);

impl ChallengeSource for Open {
    fn http01<'a>(
        &'a self,
        _: &'a Hostname,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        unreachable!("nobody asks a handshake for that")
    }
    fn tls_alpn01<'a>(
        &'a self,
        name: &'a Hostname,
    ) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let open = self.0.lock().unwrap().clone().ok_or(StoreError::NotOpen);
        let of_name = |(_, key): (Hostname, String)| key;
        let found = open.map(|open| {
            let open = open.into_iter().filter(|(other, _)| other == name);
            open.map(of_name).collect()
        });
        std::future::ready(found).boxed()
    }
    fn had_dns01(&self, _: &str) -> bool {
        unreachable!("no handshake asks for that")
    }
    fn dns01<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        unreachable!("nobody asks a handshake for that")
    }
}

/// Looks at the certificate later, and sees that its key is at hand. The library's own way of seeing that reads no certificate with an
/// extension that is critical and unknown to it.
#[derive(Debug)]
struct Looking;

impl ServerCertVerifier for Looking {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_tls13_signature(message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (_, certificate) = X509Certificate::from_der(certificate).unwrap();
        let key = &certificate.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify(message, signed.signature())
            .map_err(|_| Error::General("the key is not at hand".into()))?;
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// A CA that comes to look, offering these protocols.
fn ca(protocols: &[&str]) -> ClientConfig {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let mut config = builder
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Looking))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    config
}

/// The handshake, and all that is said after it to somebody who asks for a page.
async fn visit(
    address: std::net::SocketAddr,
    name: &str,
) -> std::io::Result<(TlsStream<TcpStream>, Vec<u8>)> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(ca(&["acme-tls/1"])));
    let mut stream = connector.connect(name, socket).await?;
    // The edge may be gone already.
    let _ = stream
        .write_all(b"GET / HTTP/1.1\r\nhost: acme.test\r\n\r\n")
        .await;
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    Ok((stream, said))
}

/// Fails unless the CA was shown `key_authorization` of `name`, in the one form that RFC 8737 section 3 allows.
fn assert_shown(stream: &TlsStream<TcpStream>, name: &str, key_authorization: &str) {
    let (_, connection) = stream.get_ref();
    assert_eq!(connection.alpn_protocol(), Some(b"acme-tls/1".as_slice()));
    let shown = connection.peer_certificates().unwrap();
    assert_eq!(shown.len(), 1);
    let (_, certificate) = X509Certificate::from_der(&shown[0]).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName(name)]);
    let identifier = certificate
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER)
        .unwrap();
    assert!(identifier.critical);
    let digest = key_digest(key_authorization);
    // An OCTET STRING of 32 bytes.
    assert_eq!(identifier.value, [&[4, 32], digest.as_slice()].concat());
    assert_eq!(certificate.issuer(), certificate.subject());
}

async fn edge(folder: &Folder, open: Option<&[(&str, &str)]>) -> Edge {
    let host = |(name, key): &(&str, &str)| (Hostname::parse(name).unwrap(), (*key).to_owned());
    let open = Open(Mutex::new(open.map(|open| open.iter().map(host).collect())));
    let (inventory, _) = folder.load();
    let answering = |acceptor: vestibule::tls::TlsAcceptor| acceptor.answering(Arc::new(open));
    Edge::with(inventory, &folder.metrics, answering, HOUR).await
}

#[tokio::test]
async fn c18_a_ca_is_shown_the_challenge_and_nothing_is_said_after_it() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let open = [
        ("new.test", "token.key"),
        ("acme.test", "latest.key"),
        ("acme.test", "older.key"),
    ];
    let mut edge = edge(&folder, Some(&open)).await;
    for (name, key) in [("new.test", "token.key"), ("acme.test", "latest.key")] {
        let (stream, said) = visit(edge.address, name).await.unwrap();
        assert_shown(&stream, name, key);
        assert!(said.is_empty(), "{said:?}");
        assert!(matches!(
            edge.outcome().await,
            Err(HandshakeError::Challenge)
        ));
    }
    assert_eq!((edge.count("challenge"), edge.count("ok")), (2, 0));
}

#[tokio::test]
async fn c18_visitors_are_shown_their_own_certificate_whatever_is_open() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let mut edge = edge(&folder, Some(&[("acme.test", "token.key")])).await;
    let mut config = client(&folder);
    // One among others is no CA (RFC 8737 section 4 has it alone).
    config.alpn_protocols = vec![b"acme-tls/1".to_vec(), b"h2".to_vec()];
    edge.visit(&Arc::new(config), "acme.test").await.unwrap();
    assert!(edge.outcome().await.unwrap().alpn_h2);
    edge.visit(&Arc::new(client(&folder)), "acme.test")
        .await
        .unwrap();
}

#[tokio::test]
async fn c18_without_an_open_challenge_the_protocol_is_not_spoken() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let mut edge = edge(&folder, Some(&[("new.test", "token.key")])).await;
    let mut nameless = ca(&["acme-tls/1"]);
    nameless.enable_sni = false;
    for (result, hello, alert) in [
        (
            "no_challenge",
            hello(ca(&["acme-tls/1"]), "acme.test"),
            NO_APPLICATION_PROTOCOL,
        ),
        (
            "no_challenge",
            hello(ca(&["acme-tls/1"]), "x.new.test"),
            NO_APPLICATION_PROTOCOL,
        ),
        (
            "unknown_name",
            hello(ca(&["h2"]), "new.test"),
            UNRECOGNIZED_NAME,
        ),
        ("no_name", hello(nameless, "new.test"), UNRECOGNIZED_NAME),
    ] {
        assert_eq!(edge.answer_to(&hello).await, alert, "{result}");
        assert_eq!(edge.outcome().await.unwrap_err().as_str(), result);
    }
}

#[tokio::test]
async fn a_challenge_that_cannot_be_looked_up_is_a_fault_of_ours() {
    let folder = Folder::new();
    let mut edge = edge(&folder, None).await;
    let hello = hello(ca(&["acme-tls/1"]), "new.test");
    assert_eq!(edge.answer_to(&hello).await, INTERNAL_ERROR);
    assert_eq!(edge.outcome().await.unwrap_err().as_str(), "unavailable");
}

#[tokio::test]
async fn g16_a_node_shows_what_is_published_in_its_store() {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let directory = folder.directory.path();
    let tls = format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\n");
    let node = Node::with(upstream.address).config(&tls).start().await;
    assert!(visit(node.https(), "new.test").await.is_err());
    let challenge = Challenge {
        name: Hostname::parse("new.test").unwrap(),
        kind: ChallengeKind::TlsAlpn01,
        token: "DGyRejmCefe7v4NfDGDKfA".to_owned(),
        key_authorization: "DGyRejmCefe7v4NfDGDKfA.key".to_owned(),
        expires_at: i64::MAX,
    };
    node.store.publish_challenge(&challenge).await.unwrap();
    let (stream, said) = visit(node.https(), "new.test").await.unwrap();
    assert_shown(&stream, "new.test", &challenge.key_authorization);
    assert!(said.is_empty(), "{said:?}");
}
