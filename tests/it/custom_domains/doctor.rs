//! `domain doctor`, and that a name which is not well costs the CA nothing.

use vestibule::model::{DomainPattern, DomainState};

use super::bench::{claim, comes_to, hard_to_please, node, node_with};
use crate::harness::edge::Edge;
use crate::harness::name_server::{NameServers, Says};
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, until};

const NAME: &str = "app.acmecorp.com";

/// The findings of `doctor` that are not well: code and hint of each.
fn to_fix(out: &str) -> Vec<(String, String)> {
    let found: serde_json::Value = serde_json::from_str(out).unwrap();
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or("").to_owned();
    let checks = found[0]["checks"].as_array().unwrap();
    let wrong = checks.iter().filter(|check| check["ok"] == false);
    wrong
        .map(|check| (text(check, "code"), text(check, "hint")))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_and_nothing_is_ordered_until_it_is_right() {
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&pebble, upstream.address, &[]);
    let edge = plan.tenants(&["acme"]).start().await;
    let doctor = format!("domain doctor {NAME} --output json");

    let proof = claim(&edge, "acme", NAME).await;
    let ran = edge.command(&doctor).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("to be fixed"), "{ran:?}");
    let wrong = to_fix(&ran.out);
    let codes: Vec<&str> = wrong.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["proof", "pointing"], "{wrong:?}");
    assert!(
        wrong[0].1.contains(&format!("_vestibule.{NAME}")),
        "{wrong:?}"
    );
    assert!(wrong[0].1.contains(&proof), "{wrong:?}");
    assert!(wrong[1].1.contains(&here.to_string()), "{wrong:?}");

    // Proved, and forbidden by CAA: verified, and no order.
    pebble.dns.set_a(NAME, &[here]).await;
    pebble.dns.set_caa(NAME, "another-ca.example").await;
    pebble
        .dns
        .set_txt(&format!("_vestibule.{NAME}"), &proof)
        .await;
    comes_to(&edge, NAME, DomainState::Verified).await;
    let pattern = DomainPattern::parse(NAME).unwrap();
    eventually("the look before an order to have failed", async || {
        let order = edge.store.order(&pattern).await.unwrap()?;
        order.last_error.is_some().then_some(())
    })
    .await;
    let wrong = to_fix(&edge.command(&doctor).await.out);
    assert!(wrong.iter().any(|(code, _)| code == "caa"), "{wrong:?}");
    assert_eq!(pebble.orders(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_an_address_costs_the_ca_nothing_and_is_the_operators_to_repair() {
    const TARGET: &str = "edge.service.test";
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let target = format!("cname_target = {TARGET:?}");
    let (here, plan) = node_with(&pebble, upstream.address, &[], &target);
    pebble.dns.set_no_default().await;
    pebble.dns.set_cname(NAME, TARGET).await;
    let edge = plan.tenants(&["acme"]).start().await;
    let proof = claim(&edge, "acme", NAME).await;
    pebble
        .dns
        .set_txt(&format!("_vestibule.{NAME}"), &proof)
        .await;
    comes_to(&edge, NAME, DomainState::Verified).await;
    let pattern = DomainPattern::parse(NAME).unwrap();
    eventually("the look before an order to have failed", async || {
        let order = edge.store.order(&pattern).await.unwrap()?;
        order.last_error.is_some().then_some(())
    })
    .await;
    let ran = edge
        .command(&format!("domain doctor {NAME} --output json"))
        .await;
    let wrong = to_fix(&ran.out);
    let hint = &wrong.iter().find(|(code, _)| code == "pointing").unwrap().1;
    assert!(
        hint.contains("`domains.cname_target` has no address"),
        "{hint}"
    );
    assert_eq!(pebble.orders(), 0);
    // It is given its address, and all goes on by itself.
    pebble.dns.set_a(TARGET, &[here]).await;
    edge.command(&format!("domain verify {NAME}"))
        .await
        .succeeds();
    comes_to(&edge, NAME, DomainState::Active).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_nothing_is_warned_of_at_the_start() {
    let says = Says::lines("edge.service.test TXT x");
    let servers = NameServers::start(says, &[]).await;
    let upstream = TestUpstream::echo();
    let plan = Edge::with(upstream.address).config(&format!(
        "[domains]\ncname_target = \"edge.service.test\"\nresolvers = [\"{}\"]\n\
         [[acme]]\ndirectory_url = \"https://ca.test\"\n",
        servers.resolver()
    ));
    let process = Process::start(&plan);
    until(|| {
        let log = process.log();
        let said = |what| log.contains(what);
        let all = said("`domains.cname_target` has no address") && said("[[acme]] orders nothing");
        all.then_some(())
    })
    .await;
}
