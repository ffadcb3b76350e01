//! Pebble, its DNS, and nodes at addresses that both know.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::{DomainPattern, DomainState};
use vestibule::store::{Access, CertificateOrder, Claim, Domain, Store};

use crate::harness::client::{Answer, PATIENCE, Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::guarded::own_address;
use crate::harness::pebble::{Pebble, PebblePlan};
use crate::harness::within;

/// Where Pebble validates, at whatever address a name is.
const HTTP: u16 = 8080;
const HTTPS: u16 = 8443;

/// Rejects half of all good nonces; takes its time before it validates, which it does at the nodes' ports.
pub(super) fn hard_to_please() -> PebblePlan {
    Pebble::plan()
        .http_port(HTTP)
        .tls_port(HTTPS)
        .reject_nonces(50)
        .validates_within(3)
}

/// A node that orders of `pebble`, looks at names in its DNS, and is at an address of its own. Names lead to all of `fleet` or to it.
pub(super) fn node(pebble: &Pebble, upstream: SocketAddr, fleet: &[Ipv4Addr]) -> (Ipv4Addr, Plan) {
    let here = own_address();
    let plan = node_at((here, fleet), pebble, upstream, (pebble.dns.address, ""));
    (here, plan)
}

/// The same at an address that is known, which asks `resolver`, and has `domains` in that section of its configuration.
pub(super) fn node_at(
    place: (Ipv4Addr, &[Ipv4Addr]),
    pebble: &Pebble,
    upstream: SocketAddr,
    asks: (SocketAddr, &str),
) -> Plan {
    let config = format!(
        "{}{}caa_identities = [\"pebble.letsencrypt.org\"]\n",
        listening(place, asks),
        pebble.config(),
    );
    planned(upstream, &config)
}

/// A node that orders nothing: it answers the CA for what others have ordered.
pub(super) fn answering_node(pebble: &Pebble, upstream: SocketAddr) -> (Ipv4Addr, Plan) {
    let here = own_address();
    let config = listening((here, &[]), (pebble.dns.address, ""));
    (here, planned(upstream, &config))
}

fn listening(
    (here, fleet): (Ipv4Addr, &[Ipv4Addr]),
    (resolver, domains): (SocketAddr, &str),
) -> String {
    let addresses: Vec<String> = (fleet.iter().chain([&here]))
        .map(|address| format!("\"{address}\""))
        .collect();
    format!(
        "[edge]\nhttp = [\"{here}:{HTTP}\"]\nhttps = [\"{here}:{HTTPS}\"]\n\
         [domains]\naddresses = [{}]\nresolvers = [\"{resolver}\"]\ngrace = \"1m\"\n{domains}",
        addresses.join(", "),
    )
}

fn planned(upstream: SocketAddr, config: &str) -> Plan {
    let plan = Edge::with(upstream).config(config);
    std::fs::create_dir(plan.folder().join("certs")).unwrap();
    plan
}

/// A claim of `name` by `tenant`, and what stands in its proof.
pub(super) async fn claim(edge: &Edge, tenant: &str, name: &str) -> String {
    claimed(&edge.store, tenant, name, Claim::PENDING).await
}

/// The same in the store of a node that does not run yet.
pub(super) async fn claim_in(plan: &Plan, tenant: &str, name: &str) -> String {
    claimed(&store_of(plan).await, tenant, name, Claim::PENDING).await
}

/// The store of a node that does not run yet.
pub(super) async fn store_of(plan: &Plan) -> Store {
    let config = Config::parse(&plan.toml(), "test", std::iter::empty());
    let settings = config.unwrap_or_else(|faults| panic!("{faults}")).store;
    let store = Store::open(&settings, Access::Command, Clock::system(), None).await;
    store.unwrap()
}

pub(super) async fn claimed(store: &Store, tenant: &str, name: &str, claim: Claim) -> String {
    let name = DomainPattern::parse(name).unwrap();
    let claimed = store
        .add_domain(&tenant.parse().unwrap(), &name, claim)
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
    let what = format!("to be {}", state.as_str());
    in_time(edge, name, &what, async || {
        Some(of(edge, name).await).filter(|domain| domain.state == state)
    })
    .await
}

/// The fingerprint of the certificate that is in the store for `name`, once there is another one than `than`.
pub(super) async fn certificate(edge: &Edge, name: &str, than: Option<&str>) -> String {
    let pattern = DomainPattern::parse(name).unwrap();
    in_time(edge, name, "to have a certificate", async || {
        let found = edge.store.certificate(&pattern).await.ok()?;
        let fingerprint = found.about.fingerprint;
        (Some(fingerprint.as_str()) != than).then_some(fingerprint)
    })
    .await
}

/// The order for `name`, once a look before it has kept it from being placed.
pub(super) async fn put_off(edge: &Edge, name: &str) -> CertificateOrder {
    let pattern = DomainPattern::parse(name).unwrap();
    in_time(edge, name, "to be found at fault", async || {
        let order = edge.store.order(&pattern).await.unwrap()?;
        (!order.checks.is_empty()).then_some(order)
    })
    .await
}

/// Waits with the patience that it takes with a CA which rejects half of what it is asked and lets itself be asked for long: an order that
/// comes to nothing is tried again after a minute. Now and then the name is looked at out of its turn, as whoever waits would have it: on a
/// machine that is short of time the first looks come to nothing, and the next ones are minutes apart.
pub(super) async fn in_time<T>(
    edge: &Edge,
    name: &str,
    what: &str,
    mut there: impl AsyncFnMut() -> Option<T>,
) -> T {
    for _ in 0..6 {
        if let Some(found) = within(PATIENCE, &mut there).await {
            return found;
        }
        edge.command(&format!("domain verify {name}")).await;
    }
    let pattern = DomainPattern::parse(name).unwrap();
    let (claims, order) = (
        edge.store.domain(&pattern).await,
        edge.store.order(&pattern).await,
    );
    panic!("waited in vain for {name} {what}; {order:?}; {claims:?}");
}

/// The handshake of a visitor for `name` who believes the CA with the certificate `root` (PEM) alone.
pub(super) async fn shake(
    edge: &Edge,
    root: &str,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let file = edge.folder().join("root.pem");
    std::fs::write(&file, root).unwrap();
    let config = vestibule::tls::client_config(Some(&file)).unwrap();
    let stream = TcpStream::connect(edge.https()).await.unwrap();
    let name = name.to_owned().try_into().unwrap();
    TlsConnector::from(config).connect(name, stream).await
}

/// What a visitor of `name` gets over TLS who believes the CA of now alone.
pub(super) async fn ask(edge: &Edge, pebble: &Pebble, name: &str) -> Answer {
    let stream = shake(edge, &pebble.root().await, name).await.unwrap();
    front_page(stream, name).await
}

/// The answer to the question for the front page of `name`.
pub(super) async fn front_page(stream: TlsStream<TcpStream>, name: &str) -> Answer {
    let asked = get(name, "/", &["connection: close"]);
    Visitor::over(stream).ask(asked).await
}

/// Waits until `edge` serves `name` over TLS.
pub(super) async fn serves(edge: &Edge, pebble: &Pebble, name: &str) {
    let root = pebble.root().await;
    let stream = in_time(edge, name, "to be served", async || {
        shake(edge, &root, name).await.ok()
    });
    let answer = front_page(stream.await, name).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
