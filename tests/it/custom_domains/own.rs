//! The operator's own names: which of them are ordered for, and which cost the CA nothing because they lead elsewhere.

use vestibule::model::{CheckCode, DomainPattern};

use super::bench::{certificate, hard_to_please, node};
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::upstream::TestUpstream;

/// Where the marketing site is.
const APEX: &str = "service.test";
const PLATFORM: &str = "my.service.test";

/// What `doctor` says of `name`: its exit code, and the findings that are not well by their codes, with their hints.
async fn doctor(edge: &Edge, name: &str) -> (i32, Vec<(String, String)>) {
    let ran = edge
        .command(&format!("domain doctor {name} --output json"))
        .await;
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap_or("").to_owned();
    let checks = found[0]["checks"].as_array().unwrap();
    let wrong = checks.iter().filter(|check| check["ok"] == false);
    let wrong = wrong.map(|check| (text(check, "code"), text(check, "hint")));
    (ran.code, wrong.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apex_that_leads_elsewhere_places_no_order_and_a_platform_host_that_leads_here_does() {
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&pebble, upstream.address, &[]);
    let routing = format!(
        "[routing]\nbase_domains = [{APEX:?}]\nplatform_hosts = [{PLATFORM:?}]\nplatform_upstream = \"default\"\n"
    );
    // Everything that nobody has said anything of is at 127.0.0.1 in this DNS.
    pebble.dns.set_a(PLATFORM, &[here]).await;
    let edge = plan.config(&routing).tenants(&["acme"]).start().await;
    certificate(&edge, PLATFORM, None).await;
    let apex = DomainPattern::parse(APEX).unwrap();
    let order = eventually("the look before an order to have failed", async || {
        let order = edge.store.order(&apex).await.unwrap()?;
        order.last_error.is_some().then_some(order)
    })
    .await;
    let wrong = order.checks.iter().find(|check| !check.ok).unwrap();
    assert_eq!(wrong.code, CheckCode::Pointing);
    assert_eq!(wrong.observed, "A 127.0.0.1");
    let (code, wrong) = doctor(&edge, APEX).await;
    assert_eq!(code, 1);
    let hint = &wrong.iter().find(|it| it.0 == "pointing").unwrap().1;
    for way in [
        &here.to_string(),
        "`domains.addresses`",
        "dns-01",
        "`cert import`",
        "`tls.not_ordered`",
    ] {
        assert!(hint.contains(way), "{way}: {hint}");
    }
    assert_eq!(doctor(&edge, PLATFORM).await, (0, vec![]));
    // One, of the platform host.
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_left_out_is_not_looked_at_and_all_is_well_with_it() {
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, plan) = node(&pebble, upstream.address, &[]);
    let routing = format!(
        "[routing]\nbase_domains = [{APEX:?}]\nplatform_hosts = [{PLATFORM:?}]\n[tls]\nnot_ordered = [{APEX:?}]\n"
    );
    pebble.dns.set_a(PLATFORM, &[here]).await;
    let edge = plan.config(&routing).start().await;
    certificate(&edge, PLATFORM, None).await;
    let apex = DomainPattern::parse(APEX).unwrap();
    // The names of the operator's own get their rows in one go.
    assert!(edge.store.order(&apex).await.unwrap().is_none());
    assert_eq!(doctor(&edge, APEX).await, (0, vec![]));
    assert_eq!(pebble.orders(), 1);
}
