//! Several nodes: what a dead one has begun another finishes.

use vestibule::model::DomainState;

use super::bench::{answering_node, claim, comes_to, hard_to_please, node, serves};
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, postgres};

const NAME: &str = "app.acmecorp.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_that_was_killed_has_begun_another_finishes() {
    let url = postgres::database().await;
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    // Stands where the name leads and answers the CA all the time, but orders nothing: at whatever moment a node dies, what it has begun is not
    // spoilt by a CA that finds nobody.
    let (here, answering) = answering_node(&pebble, upstream.address);
    let (_, doomed) = node(&pebble, upstream.address, &[here]);
    let (_, other) = node(&pebble, upstream.address, &[here]);
    let answering = answering.store(&url).tenants(&["acme"]).start().await;
    let doomed = doomed.in_fleet_of(&answering);
    let other = other.in_fleet_of(&answering);
    let proof = claim(&answering, "acme", NAME).await;
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
    // When it comes, what the dead node had to itself is free again.
    let other = other.later(150_000).start().await;
    comes_to(&other, NAME, DomainState::Active).await;
    serves(&answering, &pebble, NAME).await;
    assert!(pebble.orders() <= 2, "{}", pebble.orders());
}
