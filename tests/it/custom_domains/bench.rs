//! Pebble, its DNS, and nodes at addresses that both know.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::model::{DomainPattern, DomainState};
use vestibule::store::{Claim, Domain};

use crate::harness::client::{Answer, Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::eventually;
use crate::harness::guarded::own_address;
use crate::harness::pebble::{Pebble, PebblePlan};

/// Where Pebble validates, at whatever address a name is.
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;

/// Rejects half of all good nonces; validates at the nodes' ports.
pub(super) fn hard_to_please() -> PebblePlan {
    Pebble::plan()
        .http_port(HTTP)
        .tls_port(HTTPS)
        .reject_nonces(50)
}

/// A node that orders of `pebble`, looks at names in its DNS, and is at an address of its own. Names lead to all of `fleet` or to it.
pub(super) fn node(pebble: &Pebble, upstream: SocketAddr, fleet: &[Ipv4Addr]) -> (Ipv4Addr, Plan) {
    node_with(pebble, upstream, fleet, "")
}

/// The same with more lines in `[domains]`.
pub(super) fn node_with(
    pebble: &Pebble,
    upstream: SocketAddr,
    fleet: &[Ipv4Addr],
    domains: &str,
) -> (Ipv4Addr, Plan) {
    let here = own_address();
    let names = names(pebble, here, fleet, domains);
    let config = format!("{names}{}", pebble.config());
    let config = format!("{config}caa_identities = [\"pebble.letsencrypt.org\"]\n");
    (here, planned(upstream, &config))
}

/// The same, but one that orders nothing: it answers the CA for what others have ordered.
pub(super) fn answering_node(pebble: &Pebble, upstream: SocketAddr) -> (Ipv4Addr, Plan) {
    let here = own_address();
    (here, planned(upstream, &names(pebble, here, &[], "")))
}

fn names(pebble: &Pebble, here: Ipv4Addr, fleet: &[Ipv4Addr], domains: &str) -> String {
    let addresses: Vec<String> = (fleet.iter().chain([&here]))
        .map(|address| format!("\"{address}\""))
        .collect();
    format!(
        "[edge]\nhttp = [\"{here}:{HTTP}\"]\nhttps = [\"{here}:{HTTPS}\"]\n\
         [domains]\naddresses = [{}]\nresolvers = [\"{}\"]\ngrace = \"1m\"\n{domains}\n",
        addresses.join(", "),
        pebble.dns.address,
    )
}

fn planned(upstream: SocketAddr, config: &str) -> Plan {
    let plan = Edge::with(upstream).config(config);
    std::fs::create_dir(plan.folder().join("certs")).unwrap();
    plan
}

/// A claim of `name` by `tenant`, and what stands in its proof.
pub(super) async fn claim(edge: &Edge, tenant: &str, name: &str) -> String {
    let name = DomainPattern::parse(name).unwrap();
    let claimed = (edge.store)
        .add_domain(&tenant.parse().unwrap(), &name, Claim::PENDING)
        .await
        .unwrap();
    format!("vestibule-verify={}", claimed.secret)
}

/// The claim of `name` that counts.
pub(super) async fn of(edge: &Edge, name: &str) -> Domain {
    let name = DomainPattern::parse(name).unwrap();
    edge.store.domain(&name).await.unwrap().remove(0)
}

/// A name takes no longer on its way, also where everything it needs is slow.
const SLOW: Duration = Duration::from_secs(60);

/// Waits until `name` has come to `state`.
pub(super) async fn comes_to(edge: &Edge, name: &str, state: DomainState) -> Domain {
    let coming = async {
        loop {
            let domain = of(edge, name).await;
            if domain.state == state {
                return domain;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(SLOW, coming).await {
        Ok(domain) => domain,
        Err(_) => {
            let pattern = DomainPattern::parse(name).unwrap();
            let (domain, order) = (of(edge, name).await, edge.store.order(&pattern).await);
            panic!(
                "{name} is not {} in time: {domain:#?}, its order: {order:#?}",
                state.as_str()
            )
        }
    }
}

/// The fingerprint of the certificate that is in the store for `name`, once there is another one than `than`.
pub(super) async fn certificate(edge: &Edge, name: &str, than: Option<&str>) -> String {
    let name = DomainPattern::parse(name).unwrap();
    eventually("a certificate", async || {
        let found = edge.store.certificate(&name).await.ok()?;
        let fingerprint = found.about.fingerprint;
        (Some(fingerprint.as_str()) != than).then_some(fingerprint)
    })
    .await
}

/// A visitor's connection for `name` who believes the CA of now alone.
pub(super) async fn visit(
    edge: &Edge,
    pebble: &Pebble,
    name: &str,
) -> std::io::Result<Visitor<TlsStream<TcpStream>>> {
    let root = edge.folder().join("root.pem");
    std::fs::write(&root, pebble.root().await).unwrap();
    let config = vestibule::tls::client_config(Some(&root)).unwrap();
    let stream = TcpStream::connect(edge.https()).await.unwrap();
    let name = name.to_owned().try_into().unwrap();
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok(Visitor::over(stream))
}

/// Waits until `edge` serves `name` over TLS, for a visitor who believes the CA of now alone.
pub(super) async fn serves(edge: &Edge, pebble: &Pebble, name: &str) {
    eventually("the name to be served", async || {
        visit(edge, pebble, name).await.ok().map(drop)
    })
    .await;
    let answer = ask(edge, pebble, name).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// What a visitor of `name` gets over TLS.
pub(super) async fn ask(edge: &Edge, pebble: &Pebble, name: &str) -> Answer {
    let asked = get(name, "/", &["connection: close"]);
    visit(edge, pebble, name).await.unwrap().ask(asked).await
}
