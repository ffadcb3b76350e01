//! The whole life of one name.

use vestibule::model::DomainState;

use super::bench::{ask, certificate, claim, comes_to, hard_to_please, node, of, visit};
use crate::harness::client::get;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, on_both_stores};

const NAME: &str = "app.acmecorp.com";

on_both_stores!(from_the_claim_to_the_lapse);

async fn from_the_claim_to_the_lapse(store: Option<&str>) {
    let mut pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&pebble, upstream.address, &[]);
    let edge = plan.store_at(store).tenants(&["acme"]).start().await;

    // Claimed and led here, it is served to nobody and ordered of nobody.
    let proof = claim(&edge, "acme", NAME).await;
    pebble.dns.set_a(NAME, &[here]).await;
    let looked = edge
        .command(&format!("domain verify {NAME} --output json"))
        .await;
    assert_eq!(looked.json()["state"], "pending");
    let plain = edge.visit().await.ask(get(NAME, "/", &[])).await;
    assert_eq!((plain.status, pebble.orders()), (404, 0));

    // Proved, it gets a certificate and is served.
    pebble
        .dns
        .set_txt(&format!("_vestibule.{NAME}"), &proof)
        .await;
    comes_to(&edge, NAME, DomainState::Active).await;
    let answer = ask(&edge, &pebble, NAME).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = answer.json()["headers"].to_string();
    assert!(seen.contains(r#"["x-tenant-slug","acme"]"#), "{seen}");
    assert_eq!(pebble.orders(), 1);

    // Renewed by a CA that has forgotten everything, its account too.
    let first = certificate(&edge, NAME, None).await;
    pebble.restart().await;
    edge.command(&format!("cert renew {NAME}")).await.succeeds();
    certificate(&edge, NAME, Some(&first)).await;
    eventually("visitors to be shown the new certificate", async || {
        visit(&edge, &pebble, NAME).await.ok()
    })
    .await;

    // Led elsewhere and without its proof it is served for a while, and then no more.
    pebble
        .dns
        .set_a(NAME, &["203.0.113.7".parse().unwrap()])
        .await;
    pebble.dns.clear_txt(&format!("_vestibule.{NAME}")).await;
    let verify = format!("domain verify {NAME}");
    edge.command(&verify).await.succeeds();
    assert_eq!(of(&edge, NAME).await.state, DomainState::Degraded);
    assert_eq!(ask(&edge, &pebble, NAME).await.status, 200);
    edge.clock.shift(61_000);
    comes_to(&edge, NAME, DomainState::Lapsed).await;
    let gone = edge.comes_to(NAME, 404).await;
    assert_eq!(gone.status, 404);
}
