//! Pebble, its DNS, and nodes at addresses that both know.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::{DomainPattern, DomainState};
use vestibule::store::{Access, Claim, Domain, Store};

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
    let addresses: Vec<String> = (fleet.iter().chain([&here]))
        .map(|address| format!("\"{address}\""))
        .collect();
    let config = format!(
        "[edge]\nhttp = [\"{here}:{HTTP}\"]\nhttps = [\"{here}:{HTTPS}\"]\n\
         [domains]\naddresses = [{}]\nresolvers = [\"{}\"]\ngrace = \"1m\"\n{domains}\n\
         {}caa_identities = [\"pebble.letsencrypt.org\"]\n",
        addresses.join(", "),
        pebble.dns.address,
        pebble.config(),
    );
    let plan = Edge::with(upstream).config(&config);
    std::fs::create_dir(plan.folder().join("certs")).unwrap();
    (here, plan)
}

/// A claim of `name` by `tenant`, and what stands in its proof.
pub(super) async fn claim(edge: &Edge, tenant: &str, name: &str) -> String {
    claimed(&edge.store, tenant, name).await
}

/// The same in the store of a node that does not run yet.
pub(super) async fn claim_in(plan: &Plan, tenant: &str, name: &str) -> String {
    let config = Config::parse(&plan.toml(), "test", std::iter::empty());
    let settings = config.unwrap_or_else(|faults| panic!("{faults}")).store;
    let store = Store::open(&settings, Access::Command, Clock::system(), None).await;
    claimed(&store.unwrap(), tenant, name).await
}

async fn claimed(store: &Store, tenant: &str, name: &str) -> String {
    let name = DomainPattern::parse(name).unwrap();
    let claimed = store
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

/// Waits until `name` has come to `state`.
pub(super) async fn comes_to(edge: &Edge, name: &str, state: DomainState) -> Domain {
    let what = format!("{name} to be {}", state.as_str());
    eventually(&what, async || {
        Some(of(edge, name).await).filter(|domain| domain.state == state)
    })
    .await
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

/// What a visitor of `name` gets over TLS.
pub(super) async fn ask(edge: &Edge, pebble: &Pebble, name: &str) -> Answer {
    let asked = get(name, "/", &["connection: close"]);
    visit(edge, pebble, name).await.unwrap().ask(asked).await
}
