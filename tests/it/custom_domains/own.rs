//! What is the operator's to see to: names of their own, which cost the CA nothing where they lead elsewhere, and the name that customers
//! point theirs to.

use vestibule::model::{CheckCode, DomainPattern, DomainState};

use super::bench::{certificate, claim, comes_to, hard_to_please, node, node_at, put_off};
use crate::harness::edge::Edge;
use crate::harness::guarded::own_address;
use crate::harness::name_server::{NameServers, Says};
use crate::harness::process::Process;
use crate::harness::until;
use crate::harness::upstream::TestUpstream;

/// A customer's.
const NAME: &str = "app.acmecorp.com";
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
    let order = put_off(&edge, APEX).await;
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
    // Either way would do: that is one thing, and its certificate the other.
    let codes: Vec<&str> = wrong.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(codes, ["pointing", "certificate"]);
    assert_eq!(doctor(&edge, PLATFORM).await, (0, vec![]));
    let well = edge.command(&format!("domain doctor {PLATFORM}")).await;
    assert!(
        well.out.contains("ok  certificate: a valid certificate"),
        "{well:?}"
    );
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_an_address_costs_the_ca_nothing_and_is_the_operators_to_repair() {
    const TARGET: &str = "edge.service.test";
    let pebble = hard_to_please().start().await;
    let upstream = TestUpstream::echo();
    let (here, target) = (own_address(), format!("cname_target = {TARGET:?}\n"));
    let asks = (pebble.dns.address, target.as_str());
    let plan = node_at((here, &[]), &pebble, upstream.address, asks);
    pebble.dns.set_no_default().await;
    pebble.dns.set_cname(NAME, TARGET).await;
    let edge = plan.tenants(&["acme"]).start().await;
    let proof = claim(&edge, "acme", NAME).await;
    pebble
        .dns
        .set_txt(&format!("_vestibule.{NAME}"), &proof)
        .await;
    comes_to(&edge, NAME, DomainState::Verified).await;
    put_off(&edge, NAME).await;
    let (_, wrong) = doctor(&edge, NAME).await;
    let hint = &wrong.iter().find(|it| it.0 == "pointing").unwrap().1;
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
