//! Ten thousand names come to a node that runs: nobody who is there is sent away, and no request is lost.

use std::fmt::Write as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use vestibule::model::{DomainPattern, Slug};
use vestibule::store::{Claim, ImportLine, NewTenant};

use super::{HANDSHAKE, echoing, passes};
use crate::harness::client::{Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::identity::TestIdentity;
use crate::harness::name_server::{NameServers, Says};
use crate::harness::upstream::TestUpstream;

/// Tunnels, and as many connections that are kept alive; of each this many over TLS.
const EACH: usize = 1_000;
const OVER_TLS: usize = 250;
/// Names that come, and how many of them are claimed and proved one by one.
const NAMES: usize = 10_000;
const CLAIMED: usize = 400;
const HOST: &str = "acme.localhost";

/// A connection of some kind.
trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}
type Anyone = Visitor<Box<dyn Io>>;

/// A tenant for each hundred names that stand on the operator's word.
fn imported() -> Vec<ImportLine> {
    let line = |number: usize| {
        let name = |name: usize| DomainPattern::parse(&format!("n{name}.of-{number}.example"));
        ImportLine {
            number,
            tenant: NewTenant::new(Slug::parse(&format!("new-{number}")).unwrap()),
            domains: (0..100).map(|it| name(it).unwrap()).collect(),
        }
    };
    (1..=(NAMES - CLAIMED) / 100).map(line).collect()
}

fn claimed(number: usize) -> String {
    format!("n{number}.claimed.test")
}

/// A node that serves names below `claimed.test` by a certificate of the operator's, and asks `resolver` for proofs.
fn node(upstream: &TestUpstream, identity: &TestIdentity, resolver: &NameServers) -> Plan {
    let config = format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\nredirect_https = false\n[edge.timeouts]\nidle = \"10m\"\n\
         [limits]\nconnections_per_ip = 5000\n[domains]\nresolvers = [\"{}\"]\n",
        resolver.resolver()
    );
    let plan = Edge::with(upstream.address).config(&config);
    let certs = plan.folder().join("certs");
    std::fs::create_dir(&certs).unwrap();
    std::fs::write(certs.join("x.crt"), &identity.certificate).unwrap();
    std::fs::write(certs.join("x.key"), &identity.key).unwrap();
    plan.tenants(&["acme"])
}

/// Both ends of every connection are in this process.
fn with_many_files() {
    let process = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &process, "--nofile=16384:"])
        .status();
    assert!(raised.unwrap().success(), "so many files may not be open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_added_close_nobodys_connection_and_lose_no_request() {
    with_many_files();
    let upstream = echoing();
    let identity = TestIdentity::of(&[HOST, "*.claimed.test"]);
    // A name space of its own, whose resolver alone decides: it knows no name servers.
    let deaf = "* SOA !NOTIMP\n* NS !NOTIMP\n* DS !NOTIMP\n";
    let resolver = NameServers::start(Says::lines(deaf), &[]).await;
    let edge = node(&upstream, &identity, &resolver).start().await;
    let (mut tunnels, mut kept) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        let secure = number < OVER_TLS;
        tunnels.push(tunnel(&edge, &identity, secure).await);
        let mut visitor = visitor(&edge, &identity, secure).await;
        assert_eq!(answer(&mut visitor).await, 200);
        kept.push(visitor);
    }
    let adding = AtomicBool::new(true);
    let asking = async {
        let mut asked = 0;
        // All the while, one connection after another, and all of them at least once.
        while adding.load(Ordering::Relaxed) || asked < kept.len() {
            let next = asked % kept.len();
            assert_eq!(answer(&mut kept[next]).await, 200, "request {asked}");
            asked += 1;
        }
        asked
    };
    let add = async {
        add_all(&edge, &resolver, deaf).await;
        adding.store(false, Ordering::Relaxed);
    };
    let (asked, ()) = tokio::join!(asking, add);
    assert!(asked >= EACH);
    for (number, visitor) in kept.iter_mut().enumerate() {
        assert_eq!(answer(visitor).await, 200, "connection {number}");
    }
    for (number, visitor) in tunnels.iter_mut().enumerate() {
        assert!(passes(visitor).await, "tunnel {number}");
    }
}

/// Imports most of the names, has the others claimed and proved, and waits until all of these, and the last of those, are served.
async fn add_all(edge: &Edge, resolver: &NameServers, deaf: &str) {
    let lines = imported().into_iter().map(Ok);
    let import = edge.store.import(lines, Claim::TRUSTED).await.unwrap();
    assert_eq!(import.domains, NAMES - CLAIMED);
    let mut zone = deaf.to_owned();
    for number in 0..CLAIMED {
        let name = DomainPattern::parse(&claimed(number)).unwrap();
        let tenant = "acme".parse().unwrap();
        let claim = edge.store.add_domain(&tenant, &name, Claim::PENDING);
        let secret = claim.await.unwrap().secret;
        writeln!(zone, "_vestibule.{name} TXT \"vestibule-verify={secret}\"").unwrap();
    }
    resolver.say("127.0.0.1", Says::Lines(zone));
    for number in 0..CLAIMED {
        edge.comes_to(&claimed(number), 200).await;
    }
    edge.comes_to("n99.of-96.example", 200).await;
}

async fn visitor(edge: &Edge, identity: &TestIdentity, secure: bool) -> Anyone {
    let stream: Box<dyn Io> = match secure {
        true => Box::new(identity.connect_as(edge.https(), HOST).await),
        false => Box::new(edge.visit().await.into_inner()),
    };
    Visitor::over(stream)
}

async fn tunnel(edge: &Edge, identity: &TestIdentity, secure: bool) -> Anyone {
    let mut visitor = visitor(edge, identity, secure).await;
    let answer = visitor.ask(get(HOST, "/socket", &HANDSHAKE)).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    visitor
}

async fn answer(visitor: &mut Anyone) -> u16 {
    visitor.ask(get(HOST, "/", &[])).await.status
}
