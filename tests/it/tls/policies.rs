//! Names that demand more of their visitors than others do: a version, a certificate of their own; and connections that were opened for
//! others (RFC 9110 section 15.5.20).

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vestibule::config::TlsVersion;
use vestibule::model::DomainPattern;
use vestibule::store::NameTlsPatch;

use super::roots;
use crate::certificates::Folder;
use crate::harness::client::{Answer, Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::upstream::TestUpstream;

/// Who vouches for visitors.
pub(crate) struct Club {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Club {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    pub(crate) fn member(&self) -> Identity {
        let mut params = CertificateParams::new(["member".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], key.into())
    }

    pub(crate) fn demand(&self) -> NameTlsPatch {
        NameTlsPatch {
            client_ca: Some(Some(self.pem.clone())),
            ..NameTlsPatch::default()
        }
    }
}

/// A visitor who speaks one version of TLS, with or without a certificate of his own.
pub(crate) fn visitor(
    folder: &Folder,
    version: &'static SupportedProtocolVersion,
    identity: Option<Identity>,
) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(folder));
    let mut config = match identity {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// An edge whose one certificate is for three names of a tenant, and one of another's.
pub(crate) async fn edge(upstream: &TestUpstream, folder: &Folder) -> Edge {
    let directory = folder.directory.path();
    let tls = format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\nredirect_https = false\n[tls]\ndirectory = {directory:?}\n"
    );
    Edge::with(upstream.address)
        .config(&tls)
        .tenants(&["acme", "globex"])
        .domain("acme", "a.test")
        .domain("acme", "b.test")
        .domain("acme", "*.w.test")
        .domain("globex", "x.w.test")
        .start()
        .await
}

pub(crate) fn folder() -> Folder {
    Folder::new().with("all", &["a.test", "b.test", "*.w.test", "acme.localhost"])
}

pub(crate) async fn set(edge: &Edge, name: &str, patch: NameTlsPatch) {
    let pattern = DomainPattern::parse(name).unwrap();
    edge.store
        .set_domain_tls(&pattern, None, patch)
        .await
        .unwrap();
}

/// What becomes of a visit for `sni` that then asks for `host`: the answer, or the alert.
async fn ask(
    edge: &Edge,
    config: &Arc<ClientConfig>,
    (sni, host): (&str, &str),
) -> Result<(Answer, HandshakeKind), String> {
    let socket = TcpStream::connect(edge.https()).await.unwrap();
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::clone(config));
    let mut stream = connector
        .connect(name, socket)
        .await
        .map_err(|error| error.to_string())?;
    let kind = stream.get_ref().1.handshake_kind().unwrap();
    // With TLS 1.3 the visitor is done before the edge has seen his certificate: the first read tells.
    let request = get(host, "/", &[]);
    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &request).await;
    let mut first = [0];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut first).await;
    if let Err(error) = read {
        return Err(error.to_string());
    }
    let mut visitor = Visitor::with_read(stream, first.to_vec());
    Ok((visitor.reply().await, kind))
}

pub(crate) async fn status(
    edge: &Edge,
    config: &Arc<ClientConfig>,
    names: (&str, &str),
) -> Result<u16, String> {
    ask(edge, config, names)
        .await
        .map(|(answer, _)| answer.status)
}

/// Waits until the change has reached the node: within the second that is promised.
pub(crate) async fn until_refused(edge: &Edge, config: &Arc<ClientConfig>, name: &str) -> String {
    eventually("the demand is in force", async || {
        status(edge, config, (name, name)).await.err()
    })
    .await
}

#[tokio::test]
async fn only_who_brings_a_certificate_of_the_names_own_is_let_in() {
    let (upstream, folder, club) = (TestUpstream::echo(), folder(), Club::new());
    let edge = edge(&upstream, &folder).await;
    for version in [&TLS13, &TLS12] {
        let nobody = visitor(&folder, version, None);
        assert_eq!(status(&edge, &nobody, ("a.test", "a.test")).await, Ok(200));
    }
    set(&edge, "a.test", club.demand()).await;
    let nobody = visitor(&folder, &TLS13, None);
    let alert = until_refused(&edge, &nobody, "a.test").await;
    assert!(alert.contains("CertificateRequired"), "{alert}");
    for version in [&TLS13, &TLS12] {
        let nobody = visitor(&folder, version, None);
        assert!(status(&edge, &nobody, ("a.test", "a.test")).await.is_err());
        let stranger = visitor(&folder, version, Some(Club::new().member()));
        assert!(
            status(&edge, &stranger, ("a.test", "a.test"))
                .await
                .is_err()
        );
        let member = visitor(&folder, version, Some(club.member()));
        // No session goes on by itself: each time the certificate is looked at.
        for _ in 0..2 {
            let (answer, kind) = ask(&edge, &member, ("a.test", "a.test")).await.unwrap();
            assert_eq!((answer.status, kind), (200, HandshakeKind::Full));
        }
        assert_eq!(status(&edge, &nobody, ("b.test", "b.test")).await, Ok(200));
    }
    let plain = edge.visit().await.ask(get("a.test", "/", &[])).await;
    assert_eq!(plain.status, 421, "nobody can show anything in the clear");
}

#[tokio::test]
async fn c15_a_connection_of_other_demands_is_misdirected() {
    let (upstream, folder, club) = (TestUpstream::echo(), folder(), Club::new());
    let edge = edge(&upstream, &folder).await;
    // Open before the demand is made: the next request on it is misdirected too.
    let nobody = visitor(&folder, &TLS13, None);
    set(&edge, "a.test", club.demand()).await;
    until_refused(&edge, &nobody, "a.test").await;
    assert_eq!(status(&edge, &nobody, ("b.test", "a.test")).await, Ok(421));
    let seen = upstream.connections();
    assert_eq!(status(&edge, &nobody, ("b.test", "a.test")).await, Ok(421));
    assert_eq!(upstream.connections(), seen, "nothing was forwarded");
    let member = visitor(&folder, &TLS13, Some(club.member()));
    assert_eq!(status(&edge, &member, ("a.test", "b.test")).await, Ok(421));
    assert_eq!(status(&edge, &nobody, ("b.test", "b.test")).await, Ok(200));
    // Of the same demands.
    set(&edge, "b.test", club.demand()).await;
    until_refused(&edge, &nobody, "b.test").await;
    assert_eq!(status(&edge, &member, ("a.test", "b.test")).await, Ok(200));
}

#[tokio::test]
async fn a_session_from_before_the_demand_lets_nobody_in() {
    let (upstream, folder, club) = (TestUpstream::echo(), folder(), Club::new());
    let edge = edge(&upstream, &folder).await;
    for version in [&TLS13, &TLS12] {
        let nobody = visitor(&folder, version, None);
        let kind = async || ask(&edge, &nobody, ("a.test", "a.test")).await.unwrap().1;
        assert_eq!(kind().await, HandshakeKind::Full);
        assert_eq!(kind().await, HandshakeKind::Resumed);
        set(&edge, "a.test", club.demand()).await;
        let fresh = visitor(&folder, version, None);
        until_refused(&edge, &fresh, "a.test").await;
        assert!(status(&edge, &nobody, ("a.test", "a.test")).await.is_err());
        let none = NameTlsPatch {
            client_ca: Some(None),
            ..NameTlsPatch::default()
        };
        set(&edge, "a.test", none).await;
        eventually("the demand is gone", async || {
            status(&edge, &fresh, ("a.test", "a.test")).await.ok()
        })
        .await;
    }
}

#[tokio::test]
async fn c21_a_wildcards_demands_are_not_those_of_a_name_below_it_that_has_its_own_claim() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = edge(&upstream, &folder).await;
    let old = visitor(&folder, &TLS12, None);
    assert_eq!(status(&edge, &old, ("y.w.test", "y.w.test")).await, Ok(200));
    let newer = NameTlsPatch {
        minimum: Some(Some(TlsVersion::Tls13)),
        ..NameTlsPatch::default()
    };
    set(&edge, "*.w.test", newer).await;
    until_refused(&edge, &old, "y.w.test").await;
    assert_eq!(status(&edge, &old, ("x.w.test", "x.w.test")).await, Ok(200));
    let new = visitor(&folder, &TLS13, None);
    assert_eq!(status(&edge, &new, ("y.w.test", "z.w.test")).await, Ok(200));
}

#[tokio::test]
async fn demands_are_set_from_the_command_line() {
    let (upstream, folder, club) = (TestUpstream::echo(), folder(), Club::new());
    let edge = edge(&upstream, &folder).await;
    let file = edge.folder().join("club.pem");
    std::fs::write(&file, &club.pem).unwrap();
    let line = format!(
        "domain set a.test --minimum-tls 1.3 --client-ca {} --output json",
        file.display()
    );
    let set: serde_json::Value = serde_json::from_str(&edge.command(&line).await.out).unwrap();
    assert_eq!(
        (&set["hostname"], &set["minimum_tls"]),
        (&"a.test".into(), &"1.3".into())
    );
    assert_eq!(set["client_ca"], club.pem.as_str());
    let nobody = visitor(&folder, &TLS13, None);
    until_refused(&edge, &nobody, "a.test").await;
    let ran = edge.command("domain set a.test --no-client-ca").await;
    assert_eq!(
        ran.out,
        "hostname     a.test\nminimum TLS  1.3\nclient CA    -\n"
    );
    std::fs::write(&file, "no certificate").unwrap();
    let line = format!("domain set a.test --client-ca {}", file.display());
    assert_eq!(edge.command(&line).await.code, 2);
    assert_eq!(
        edge.command("domain set c.test --minimum-tls 1.3")
            .await
            .code,
        1
    );
}
