//! Ten thousand names come to a node that runs: nobody who is there is sent away, and no request is lost.

use std::sync::atomic::{AtomicBool, Ordering};

use vestibule::model::{DomainPattern, Slug};
use vestibule::store::{Claim, ImportLine, NewTenant};

use super::{echoing, passes, tunnel};
use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;

/// Tunnels, and as many connections that are kept alive.
const EACH: usize = 500;
const NAMES: usize = 10_000;

/// A tenant for each hundred names.
fn newcomers() -> Vec<ImportLine> {
    let line = |number: usize| {
        let name = |name: usize| DomainPattern::parse(&format!("n{name}.of-{number}.example"));
        ImportLine {
            number,
            tenant: NewTenant::new(Slug::parse(&format!("new-{number}")).unwrap()),
            domains: (0..100).map(|it| name(it).unwrap()).collect(),
        }
    };
    (1..=NAMES / 100).map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_added_close_nobodys_connection_and_lose_no_request() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nconnections_per_ip = 5000\n[edge.timeouts]\nidle = \"10m\"")
        .tenants(&["acme"])
        .start()
        .await;
    let (mut tunnels, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..EACH {
        tunnels.push(tunnel(&edge, "acme.localhost").await);
        let mut visitor = edge.visit().await;
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
        let lines = newcomers().into_iter().map(Ok);
        let imported = edge.store.import(lines, Claim::TRUSTED).await.unwrap();
        assert_eq!(imported.domains, NAMES);
        let served = edge.comes_to("n99.of-100.example", 200).await;
        adding.store(false, Ordering::Relaxed);
        served
    };
    let (asked, _) = tokio::join!(asking, add);
    assert!(asked >= EACH);
    for (number, visitor) in tunnels.iter_mut().enumerate() {
        assert!(passes(visitor).await, "tunnel {number}");
    }
}

async fn answer(visitor: &mut Visitor) -> u16 {
    visitor.ask(get("acme.localhost", "/", &[])).await.status
}
