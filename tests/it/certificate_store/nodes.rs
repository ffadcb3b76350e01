//! Whole nodes: what an operator commands is shown to visitors of all of them, and plain requests are sent there.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Folder;
use crate::harness::client::{Answer, Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, on_both_stores};
use crate::tls::{client, presented};

on_both_stores!(
    a_certificate_comes_changes_and_goes_on_every_node,
    c14_a_stored_certificate_is_for_its_own_hosts_only,
    plain_requests_are_sent_to_tls_as_soon_as_it_can_be_had,
    a_node_that_starts_knows_at_once_what_it_can_serve,
    keys_that_are_sealed_anew_are_opened_on_every_node,
    a_node_with_a_snapshot_keeps_what_it_loads,
);

/// A node with TLS and no files of certificates.
fn secure(upstream: &TestUpstream) -> Plan {
    let tls = "[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = \"/\"";
    Edge::with(upstream.address).config(tls)
}

async fn fleet(upstream: &TestUpstream, store: Option<&str>) -> [Edge; 2] {
    let plan = secure(upstream).store_at(store);
    let first = plan.tenants(&["acme", "globex"]).start().await;
    let second = secure(upstream).in_fleet_of(&first).start().await;
    [first, second]
}

/// Makes a certificate and imports it with a command.
async fn import(node: &Edge, folder: &Folder, name: &str, hosts: &[&str]) {
    folder.issue(name, hosts);
    let path = |ending: &str| folder.path(&format!("{name}.{ending}"));
    let (chain, key) = (path("crt"), path("key"));
    let (chain, key) = (chain.display(), key.display());
    let line = format!("cert import {} --chain {chain} --key {key}", hosts[0]);
    node.command(&line).await.succeeds();
}

async fn shake(node: &Edge, folder: &Folder, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(node.https()).await?;
    let mut config = client(folder);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, socket)
        .await
}

async fn ask(node: &Edge, folder: &Folder, name: &str, host: &str) -> Answer {
    let stream = shake(node, folder, name).await.unwrap();
    Visitor::over(stream).ask(get(host, "/", &[])).await
}

async fn a_certificate_comes_changes_and_goes_on_every_node(store: Option<&str>) {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let nodes = fleet(&upstream, store).await;
    for node in &nodes {
        let refused = shake(node, &folder, "acme.localhost").await.unwrap_err();
        assert!(
            refused.to_string().contains("UnrecognisedName"),
            "{refused}"
        );
    }
    let mut last = Vec::new();
    for name in ["first", "second"] {
        import(&nodes[0], &folder, name, &["acme.localhost"]).await;
        let wanted = facing(&folder.path(&format!("{name}.crt")));
        for node in &nodes {
            eventually("the new certificate", async || {
                let stream = shake(node, &folder, "acme.localhost").await.ok()?;
                (presented(&stream) == wanted).then_some(())
            })
            .await;
            let answer = ask(node, &folder, "acme.localhost", "acme.localhost").await;
            assert_eq!(answer.status, 200);
        }
        assert_ne!(wanted, last);
        last = wanted;
    }
    nodes[1]
        .command("cert remove acme.localhost")
        .await
        .succeeds();
    for node in &nodes {
        eventually("no certificate", async || {
            shake(node, &folder, "acme.localhost").await.err()
        })
        .await;
        node.until_metric("vestibule_certificates{state=\"valid\"}", 0.0)
            .await;
    }
}

/// The certificate in a file, as it is on the wire.
fn facing(file: &Path) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject;
    rustls_pki_types::CertificateDer::from_pem_file(file)
        .unwrap()
        .to_vec()
}

async fn c14_a_stored_certificate_is_for_its_own_hosts_only(store: Option<&str>) {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let [node, _] = fleet(&upstream, store).await;
    import(&node, &folder, "acme", &["acme.localhost"]).await;
    import(&node, &folder, "globex", &["globex.localhost"]).await;
    eventually("both certificates", async || {
        shake(&node, &folder, "globex.localhost").await.ok()
    })
    .await;
    let answer = ask(&node, &folder, "acme.localhost", "globex.localhost").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (421, "misdirected")
    );
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        ask(&node, &folder, "globex.localhost", "globex.localhost")
            .await
            .status,
        200
    );
}

async fn plain_requests_are_sent_to_tls_as_soon_as_it_can_be_had(store: Option<&str>) {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let nodes = fleet(&upstream, store).await;
    for node in &nodes {
        assert_eq!(node.comes_to("acme.localhost", 200).await.status, 200);
    }
    import(&nodes[1], &folder, "wild", &["*.localhost"]).await;
    for node in &nodes {
        let answer = node.comes_to("acme.localhost", 308).await;
        assert_eq!(answer.header("location"), Some("https://acme.localhost/"));
        // Covered, but nobody's.
        assert_eq!(
            node.visit()
                .await
                .ask(get("nobody.localhost", "/", &[]))
                .await
                .status,
            404
        );
    }
    let explained = nodes[0]
        .command("explain http://acme.localhost/")
        .await
        .succeeds();
    assert!(
        explained.contains("redirect to https://acme.localhost/"),
        "{explained}"
    );
    nodes[0].command("cert remove *.localhost").await.succeeds();
    for node in &nodes {
        node.comes_to("acme.localhost", 200).await;
    }
}

async fn a_node_that_starts_knows_at_once_what_it_can_serve(store: Option<&str>) {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let [node, _] = fleet(&upstream, store).await;
    import(&node, &folder, "acme", &["acme.localhost"]).await;
    for _ in 0..3 {
        let node = secure(&upstream).in_fleet_of(&node).start().await;
        let first = node
            .visit()
            .await
            .ask(get("acme.localhost", "/", &[]))
            .await;
        assert_eq!(first.status, 308);
        let second = node
            .visit()
            .await
            .ask(get("globex.localhost", "/", &[]))
            .await;
        assert_eq!(second.status, 200);
    }
}

/// The nodes have a file of the sealing key each: one gets the new key with the command, the other once the operator copies it.
async fn keys_that_are_sealed_anew_are_opened_on_every_node(store: Option<&str>) {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let [first, second] = fleet(&upstream, store).await;
    import(&first, &folder, "acme", &["acme.localhost"]).await;
    import(&first, &folder, "globex", &["globex.localhost"]).await;
    let resealed = first.command("key reseal").await.succeeds();
    assert!(
        resealed.contains("2 other secrets sealed anew"),
        "{resealed}"
    );
    let file = |node: &Edge| node.config.store.secret_key_file.clone();
    eventually("the first node's certificate", async || {
        shake(&first, &folder, "acme.localhost").await.ok()
    })
    .await;
    std::fs::copy(file(&first), file(&second)).unwrap();
    eventually("the second node's certificate", async || {
        shake(&second, &folder, "globex.localhost").await.ok()
    })
    .await;
}

/// It goes on with the feed where the snapshot ends, so nothing tells it to begin anew.
async fn a_node_with_a_snapshot_keeps_what_it_loads(store: Option<&str>) {
    let (upstream, folder) = (TestUpstream::echo(), Folder::new());
    let [node, _] = fleet(&upstream, store).await;
    import(&node, &folder, "acme", &["acme.localhost"]).await;
    node.comes_to("acme.localhost", 308).await;
    let node = node.pause().await.start().await;
    let names = "vestibule_cache_entries{cache=\"certificate_names\"}";
    node.until_metric(names, 1.0).await;
    for _ in 0..3 {
        let answer = ask(&node, &folder, "acme.localhost", "acme.localhost").await;
        assert_eq!(answer.status, 200);
    }
    let queries = "vestibule_store_query_seconds_count{query=\"certificate_for\"}";
    assert_eq!(node.metric(queries).await, 1.0);
    node.command("cert remove acme.localhost").await.succeeds();
    node.until_metric(names, 0.0).await;
}
