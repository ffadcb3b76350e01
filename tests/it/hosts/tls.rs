//! Names over TLS: the one that the certificate was chosen by, those that it covers, and the one in the request.

use std::path::Path;
use std::sync::Arc;

use http::Request;
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::tls::client_config;

use super::{plan, tenant};
use crate::certificates::Folder;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::http2::Http2;
use crate::harness::upstream::TestUpstream;

/// A fatal `unrecognized_name` alert, byte for byte.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

async fn secure(upstream: &TestUpstream, folder: &Folder, more: &str) -> Edge {
    let directory = folder.directory.path();
    let config =
        format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\n{more}\n");
    plan(upstream).config(&config).start().await
}

/// What a visitor proposes who believes the folder's authority.
fn proposal(folder: &Folder, alpn: &str) -> ClientConfig {
    let ca = folder.path("ca.pem");
    let mut config = Arc::unwrap_or_clone(client_config(Some(Path::new(&ca))).unwrap());
    config.alpn_protocols = vec![alpn.into()];
    config
}

async fn shake(
    edge: &Edge,
    config: ClientConfig,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(edge.https()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

/// A connection over HTTP/1.1 that was opened for `name`.
async fn first(edge: &Edge, folder: &Folder, name: &str) -> Visitor<TlsStream<TcpStream>> {
    Visitor::over(
        shake(edge, proposal(folder, "http/1.1"), name)
            .await
            .unwrap(),
    )
}

/// The same over HTTP/2.
async fn second(edge: &Edge, folder: &Folder, name: &str) -> Http2 {
    let stream = shake(edge, proposal(folder, "h2"), name).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    Http2::over(stream).await
}

fn to(host: &str) -> Request<()> {
    Request::get(format!("https://{host}/")).body(()).unwrap()
}

#[tokio::test]
async fn c14_a_host_that_the_certificate_does_not_cover_is_misdirected() {
    let folder = Folder::new()
        .with("acme", &["acme.localhost"])
        .with("globex", &["globex.localhost"]);
    let upstream = TestUpstream::echo();
    let edge = secure(&upstream, &folder, "").await;
    let mut first = first(&edge, &folder, "acme.localhost").await;
    let mut second = second(&edge, &folder, "acme.localhost").await;
    for other in [
        "globex.localhost",
        "nobody.localhost",
        "x.acme.localhost",
        "localhost",
        "never.heard.test",
    ] {
        let answer = first.ask(get(other, "/", &[])).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (421, "misdirected"),
            "{other}"
        );
        let answer = second.ask(to(other)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (421, "misdirected"),
            "{other}"
        );
    }
    assert_eq!(upstream.connections(), 0);
    // The connections are as good as before for the host that they were opened for.
    assert_eq!(first.ask(get("acme.localhost", "/", &[])).await.status, 200);
    assert_eq!(second.ask(to("acme.localhost")).await.status, 200);
    for _ in 0..2 {
        let seen = upstream.seen().await;
        assert_eq!(seen.header("x-tenant-slug"), Some("acme"));
        assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    }
}

#[tokio::test]
async fn c15_a_certificate_for_both_serves_both_each_as_itself() {
    let folder = Folder::new()
        .with("both", &["acme.localhost", "globex.localhost"])
        .with("wild", &["*.acme.app"]);
    let upstream = TestUpstream::echo();
    let directory = folder.directory.path();
    let config = format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\n");
    let plan = plan(&upstream)
        .config(&config)
        .domain("acme", "a.acme.app")
        .domain("globex", "b.acme.app");
    let edge = plan.start().await;
    for (opened_for, asked, slug) in [
        ("acme.localhost", "globex.localhost", "globex"),
        ("globex.localhost", "acme.localhost", "acme"),
        ("a.acme.app", "b.acme.app", "globex"),
        ("b.acme.app", "a.acme.app", "acme"),
    ] {
        assert_eq!(
            first(&edge, &folder, opened_for)
                .await
                .ask(get(asked, "/", &[]))
                .await
                .status,
            200
        );
        assert_eq!(tenant(&upstream).await, slug);
        let mut visitor = second(&edge, &folder, opened_for).await;
        for host in [opened_for, asked] {
            assert_eq!(visitor.ask(to(host)).await.status, 200);
        }
        assert_ne!(tenant(&upstream).await, slug);
        assert_eq!(tenant(&upstream).await, slug);
    }
    assert_eq!(
        first(&edge, &folder, "a.acme.app")
            .await
            .ask(get("x.a.acme.app", "/", &[]))
            .await
            .status,
        421
    );
}

/// The alert, or whatever else is answered to a ClientHello for `name`; without a name where that is an address.
async fn answer_to_hello(edge: &Edge, folder: &Folder, name: &str) -> Vec<u8> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(proposal(folder, "h2")), name)
        .unwrap()
        .write_tls(&mut hello)
        .unwrap();
    let mut socket = TcpStream::connect(edge.https()).await.unwrap();
    socket.write_all(&hello).await.unwrap();
    Visitor::over(socket).rest().await
}

#[tokio::test]
async fn c16_without_a_name_that_is_known_there_is_no_handshake() {
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let upstream = TestUpstream::echo();
    let edge = secure(&upstream, &folder, "").await;
    for name in [
        "127.0.0.1",
        "globex.localhost",
        "x.acme.localhost",
        "localhost",
    ] {
        assert_eq!(
            answer_to_hello(&edge, &folder, name).await,
            UNRECOGNIZED_NAME,
            "{name}"
        );
    }
    assert_eq!(
        first(&edge, &folder, "acme.localhost")
            .await
            .ask(get("acme.localhost", "/", &[]))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn c16_who_is_shown_the_default_certificate_is_served_what_it_covers() {
    let folder = Folder::new()
        .with("acme", &["acme.localhost"])
        .with("globex", &["globex.localhost"]);
    let upstream = TestUpstream::echo();
    let edge = secure(&upstream, &folder, "default = \"acme\"").await;
    let mut nameless = proposal(&folder, "http/1.1");
    nameless.enable_sni = false;
    let mut visitor = Visitor::over(shake(&edge, nameless, "acme.localhost").await.unwrap());
    let answer = visitor.ask(get("globex.localhost", "/", &[])).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (421, "misdirected")
    );
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &[])).await.status,
        200
    );
}

#[tokio::test]
async fn c17_a_long_hello_and_one_that_is_none_harm_nobody() {
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let upstream = TestUpstream::echo();
    let edge = secure(&upstream, &folder, "").await;
    let mut many = proposal(&folder, "h2");
    many.alpn_protocols = (0..1000)
        .map(|number| format!("p{number}").into_bytes())
        .chain([b"http/1.1".to_vec()])
        .collect();
    let mut visitor = Visitor::over(shake(&edge, many, "acme.localhost").await.unwrap());
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &[])).await.status,
        200
    );
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: acme.localhost\r\n\r\n".to_vec(),
        [22, 3, 1, 64, 0, 1, 0, 255, 255].repeat(5000),
    ] {
        let mut socket = TcpStream::connect(edge.https()).await.unwrap();
        // The edge may have heard enough before all is sent.
        let _ = socket.write_all(&garbage).await;
        let answer = Visitor::over(socket).rest().await;
        assert!(
            answer.is_empty() || answer.starts_with(&[21, 3]),
            "{answer:x?}"
        );
    }
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &[])).await.status,
        200
    );
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn b3_c5_the_scheme_is_that_of_the_connection() {
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let upstream = TestUpstream::echo();
    let edge = secure(&upstream, &folder, "").await;
    let mut visitor = first(&edge, &folder, "acme.localhost").await;
    let absolute = |scheme: &str| {
        format!("GET {scheme}://acme.localhost/ HTTP/1.1\r\nHost: acme.localhost\r\n\r\n")
    };
    assert_eq!(visitor.ask(absolute("http")).await.status, 400);
    assert_eq!(visitor.ask(absolute("https")).await.status, 200);
    let mut visitor = second(&edge, &folder, "acme.localhost").await;
    let plain = Request::get("http://acme.localhost/").body(()).unwrap();
    assert_eq!(visitor.ask(plain).await.status, 400);
    assert_eq!(visitor.ask(to("acme.localhost:443")).await.status, 200);
    assert_eq!(upstream.requests().len(), 2);
}
