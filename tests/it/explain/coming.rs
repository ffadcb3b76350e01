//! How a request comes in: certificates, the probe, redirects, proxies. What `explain` says of each is what happens.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vestibule::tls::client_config;

use crate::certificates::Folder;
use crate::harness::client::{Answer, Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

/// An edge with TLS for acme and for a platform host that nobody redirects to.
async fn secure(upstream: &TestUpstream, folder: &Folder, more: &str) -> Edge {
    let config = format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\nprobe_path = \"/-/healthy\"\n[tls]\ndirectory = {:?}\n{more}",
        folder.directory.path()
    );
    let plan = Edge::with(upstream.address).config(&config);
    plan.tenants(&["acme", "globex"]).start().await
}

fn folder() -> Folder {
    Folder::new()
        .with("acme", &["acme.localhost"])
        .with("other", &["other.localhost"])
}

async fn explained(edge: &Edge, line: &str) -> Value {
    edge.command(&format!("explain {line} --output json"))
        .await
        .json()
}

/// What a visitor gets who connects for `sni` and asks for `host`; `None` where there is no handshake.
async fn happens(edge: &Edge, folder: &Folder, sni: &str, host: &str) -> Option<Answer> {
    let ca = folder.path("ca.pem");
    let config = client_config(Some(Path::new(&ca))).unwrap();
    let mut config = Arc::unwrap_or_clone(config);
    // The default certificate is not for the name; what is asked here is what the server does.
    config
        .dangerous()
        .set_certificate_verifier(Arc::new(believing::Everybody::new()));
    let socket = TcpStream::connect(edge.https()).await.unwrap();
    let name = ServerName::try_from(sni.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
        .ok()?;
    Some(Visitor::over(stream).ask(get(host, "/", &[])).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_url_is_judged_by_the_certificates_that_there_are() {
    for default in ["", "default = \"other\"\n"] {
        let (upstream, folder) = (TestUpstream::echo(), folder());
        let edge = secure(&upstream, &folder, default).await;
        for (sni, host) in [
            ("acme.localhost", "acme.localhost"),
            ("globex.localhost", "globex.localhost"),
            ("acme.localhost", "globex.localhost"),
            ("other.localhost", "acme.localhost"),
            ("other.localhost", "other.localhost"),
            ("127.0.0.1", "acme.localhost"),
            ("127.0.0.1", "other.localhost"),
        ] {
            let said = explained(&edge, &format!("https://{sni}/ --header Host:{host}")).await;
            let what = format!("{default:?} {sni} {host}: {said:#}");
            match happens(&edge, &folder, sni, host).await {
                None => assert_eq!(said["outcome"], "handshake", "{what}"),
                Some(answer) if answer.status == 200 => {
                    assert_eq!(said["outcome"], "forward", "{what}");
                }
                Some(answer) => {
                    assert_eq!(said["code"], answer.code(), "{what}");
                    assert_eq!(said["status"], answer.status, "{what}");
                }
            }
        }
        let said = explained(&edge, "https://globex.localhost/").await;
        match default {
            "" => {
                assert_eq!(said["outcome"], "handshake");
                let reason = said["reason"].as_str().unwrap();
                assert!(
                    reason.contains("no certificate for globex.localhost"),
                    "{reason}"
                );
                let shown = edge
                    .command("explain https://globex.localhost/")
                    .await
                    .succeeds();
                assert!(shown.contains("handshake"), "{shown}");
            }
            _ => {
                assert_eq!(said["code"], "misdirected");
                assert_eq!(said["steps"][0]["source"], "certificate");
                assert!(
                    said["steps"][0]["found"]
                        .as_str()
                        .unwrap()
                        .contains("the default"),
                    "{said:#}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_and_redirects_are_explained_as_they_happen() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let edge = secure(&upstream, &folder, "").await;
    for (host, path, status) in [
        ("nobody.localhost", "/-/healthy", 200),
        ("acme.localhost", "/x?y", 308),
        ("globex.localhost", "/x?y", 200),
        ("nobody.localhost", "/x?y", 404),
    ] {
        let answer = edge.visit().await.ask(get(host, path, &[])).await;
        assert_eq!(answer.status, status, "{host}");
        let said = explained(&edge, &format!("http://{host}{path}")).await;
        match said["outcome"].as_str().unwrap() {
            "forward" => assert_eq!(status, 200),
            _ => assert_eq!(said["status"], status, "{said:#}"),
        }
        if let Some(location) = answer.header("location") {
            assert!(
                said["answer"].as_str().unwrap().contains(location),
                "{said:#}"
            );
        }
        if path == "/-/healthy" {
            assert!(
                said["answer"].as_str().unwrap().contains("probe"),
                "{said:#}"
            );
        }
    }
    let post = explained(&edge, "http://globex.localhost/-/healthy --method POST").await;
    assert_eq!(post["outcome"], "forward");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_is_believed_where_the_connection_comes_from_one() {
    let (upstream, folder) = (TestUpstream::echo(), folder());
    let config = "[edge]\ntrusted_proxies = [\"127.0.0.0/8\", \"192.0.2.0/24\"]\nhttps = [\"127.0.0.1:0\"]\n";
    let config = format!("{config}[tls]\ndirectory = {:?}\n", folder.directory.path());
    let plan = Edge::with(upstream.address)
        .config(&config)
        .tenants(&["acme"]);
    let edge = plan.start().await;
    let lines = [
        "X-Forwarded-For: 198.51.100.7",
        "X-Forwarded-Proto: https",
        "X-Request-Id: kept",
    ];
    edge.visit()
        .await
        .ask(get("acme.localhost", "/", &lines))
        .await;
    let seen = upstream.seen().await;
    let headers = "--header X-Forwarded-For:198.51.100.7 --header X-Forwarded-Proto:https --header X-Request-Id:kept";
    let sent = |said: &Value, name: &str| {
        let mut pairs = said["headers"].as_array().unwrap().iter();
        let pair = pairs.find(|pair| pair[0] == name);
        pair.map(|pair| pair[1].as_str().unwrap().to_owned())
    };
    // Where nothing is said the connection comes from this machine, as the visitor's did.
    let said = explained(&edge, &format!("http://acme.localhost/ {headers}")).await;
    assert_eq!(said["claims"]["slug"], "acme");
    assert_eq!(
        sent(&said, "x-tenant-assertion").as_deref(),
        Some("(signed)")
    );
    assert_eq!(said["visitor"], "198.51.100.7");
    for name in [
        "x-forwarded-for",
        "x-forwarded-proto",
        "forwarded",
        "x-request-id",
    ] {
        assert_eq!(sent(&said, name).as_deref(), seen.header(name), "{name}");
    }
    let trusted = explained(
        &edge,
        &format!("http://acme.localhost/ {headers} --from 192.0.2.9"),
    )
    .await;
    assert_eq!(trusted["visitor"], "198.51.100.7");
    assert_eq!(trusted["outcome"], "forward");
    // A stranger is not believed: it spoke http, so it is sent to TLS.
    let stranger = explained(
        &edge,
        &format!("http://acme.localhost/ {headers} --from 203.0.113.5"),
    )
    .await;
    assert_eq!(
        (&stranger["visitor"], &stranger["status"]),
        (&"203.0.113.5".into(), &308.into())
    );
    assert_eq!(
        edge.command("explain http://acme.localhost/ --from nowhere")
            .await
            .code,
        2
    );
}

/// A visitor who believes any certificate.
mod believing {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{
        CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    };
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    #[derive(Debug)]
    pub(super) struct Everybody(CryptoProvider);

    impl Everybody {
        pub(super) fn new() -> Self {
            Self(aws_lc_rs::default_provider())
        }
    }

    impl ServerCertVerifier for Everybody {
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
            verify_tls12_signature(
                message,
                certificate,
                signed,
                &self.0.signature_verification_algorithms,
            )
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                certificate,
                signed,
                &self.0.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
