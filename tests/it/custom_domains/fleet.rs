//! Several nodes: what a dead one has begun another finishes.

use vestibule::model::DomainState;

use super::bench::{ask, claim_in, comes_to, hard_to_please, node};
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, postgres};

const NAME: &str = "app.acmecorp.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_that_was_killed_has_begun_another_finishes() {
    let url = postgres::database().await;
    let slow = hard_to_please()
        .environment("PEBBLE_VA_NOSLEEP", 0)
        .environment("PEBBLE_VA_SLEEPTIME", 3);
    let pebble = slow.start().await;
    let upstream = TestUpstream::echo();
    let (here, other) = node(&pebble, upstream.address, &[]);
    let (_, doomed) = node(&pebble, upstream.address, &[here]);
    let doomed = doomed.store(&url).tenants(&["acme"]).filled().await;
    let proof = claim_in(&doomed, "acme", NAME).await;
    pebble.dns.set_a(NAME, &[here]).await;
    pebble
        .dns
        .set_txt(&format!("_vestibule.{NAME}"), &proof)
        .await;

    let running = Process::start(&doomed);
    eventually("an order to be placed", async || {
        (pebble.orders() > 0).then_some(())
    })
    .await;
    drop(running);
    let key = "secret.key";
    std::fs::copy(doomed.folder().join(key), other.folder().join(key)).unwrap();
    let other = other.store(&url).start().await;
    // The lease of the dead node is over.
    other.clock.shift(61_000);
    comes_to(&other, NAME, DomainState::Active).await;
    assert_eq!(ask(&other, &pebble, NAME).await.status, 200);
    assert!(pebble.orders() <= 2, "{}", pebble.orders());
}
