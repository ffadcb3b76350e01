//! Tenants and domains change while both nodes answer for them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::Fleet;
use crate::harness::assertion::Assertion;
use crate::harness::client::{Answer, get, request};
use crate::harness::edge::Edge;
use crate::harness::on_both_stores;
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;
use crate::{command, harness};

on_both_stores!(
    g2_a_tenant_made_by_a_command_is_served_by_every_node,
    g4_a_tenants_state_is_in_force_on_every_node,
    g4_an_answer_in_flight_on_another_node_ends_with_its_tenant,
    limits_of_a_tenant_are_in_force_on_every_node,
    what_the_assertion_says_changes_on_every_node,
    an_old_slug_leads_to_the_new_one_on_every_node,
    a_domain_comes_moves_and_goes_on_every_node,
    two_processes_with_one_store_follow_each_other,
);

async fn g2_a_tenant_made_by_a_command_is_served_by_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &[]).await;
    // Known to lead nowhere, on both.
    fleet.comes_to("acme.localhost", 404).await;
    fleet.command("tenant create acme").await;
    fleet.comes_to("acme.localhost", 200).await;
    for _ in &fleet.nodes {
        let seen = fleet.upstream.seen().await;
        assert_eq!(seen.header("x-tenant-slug"), Some("acme"));
    }
}

async fn g4_a_tenants_state_is_in_force_on_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme", "globex"]).await;
    fleet.comes_to("acme.localhost", 200).await;
    for (line, status, code) in [
        ("tenant suspend acme", 403, "tenant_suspended"),
        ("tenant resume acme", 200, ""),
        ("tenant maintain acme", 503, "tenant_maintenance"),
        ("tenant resume acme", 200, ""),
        ("tenant remove acme --yes", 410, "tenant_removed"),
        ("tenant restore acme", 200, ""),
    ] {
        fleet.command(line).await;
        for node in &fleet.nodes {
            let answer = node.comes_to("acme.localhost", status).await;
            assert!(status == 200 || answer.code() == code, "{line}: {answer:?}");
        }
        fleet.comes_to("globex.localhost", 200).await;
    }
}

async fn g4_an_answer_in_flight_on_another_node_ends_with_its_tenant(store: Option<&str>) {
    let upstream = TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            let answer: &[u8] = match seen.target.as_str() {
                "/long" => b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            };
            connection.write(answer).await;
        }
    });
    let fleet = Fleet::before(upstream, store, &["acme"]).await;
    fleet.comes_to("acme.localhost", 200).await;
    let mut visitor = fleet.nodes[1].visit().await;
    visitor.write(get("acme.localhost", "/long", &[])).await;
    assert_eq!(visitor.status_line().await, Some(200));
    assert_eq!(visitor.take(5).await, b"first");
    fleet.command("tenant suspend acme").await;
    assert_eq!(visitor.rest().await, b"", "nothing more, and the end");
}

async fn limits_of_a_tenant_are_in_force_on_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme"]).await;
    fleet.comes_to("acme.localhost", 200).await;
    let line = "tenant set acme --limit requests_per_second=1 --limit burst=1";
    fleet.command(line).await;
    for node in &fleet.nodes {
        let refused = node.comes_to("acme.localhost", 429).await;
        assert_eq!(refused.code(), "rate_limited");
        assert!(refused.header("retry-after").is_some());
    }
    let line = "tenant set acme --limit requests_per_second= --limit burst= --limit body=4";
    fleet.command(line).await;
    for node in &fleet.nodes {
        let upload = request(
            "POST",
            "acme.localhost",
            "/",
            &["content-length: 5"],
            b"12345",
        );
        harness::eventually("the new limits", async || {
            let answer = node.visit().await.ask(&upload).await;
            (answer.status == 413).then_some(())
        })
        .await;
        node.comes_to("acme.localhost", 200).await;
    }
}

async fn what_the_assertion_says_changes_on_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme"]).await;
    fleet.comes_to("acme.localhost", 200).await;
    fleet
        .command("tenant set acme --plan gold --meta region=eu")
        .await;
    for node in &fleet.nodes {
        node.comes_to_be("acme.localhost", "the new plan", |answer| {
            let claims = claims(answer);
            claims["plan"] == "gold" && claims["meta"] == json!({ "region": "eu" })
        })
        .await;
    }
}

async fn an_old_slug_leads_to_the_new_one_on_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme"]).await;
    fleet.comes_to("acme.localhost", 200).await;
    fleet.comes_to("rockets.localhost", 404).await;
    fleet.command("tenant rename acme rockets").await;
    for node in &fleet.nodes {
        node.comes_to("rockets.localhost", 200).await;
        let moved = node.comes_to("acme.localhost", 308).await;
        let place = moved.header("location").unwrap();
        assert!(place.starts_with("http://rockets.localhost"), "{place}");
        let post = request("POST", "acme.localhost", "/", &["content-length: 0"], b"");
        let served = node.visit().await.ask(post).await;
        assert_eq!(served.status, 200, "what cannot be sent again is served");
        assert_eq!(claims(&served)["slug"], "rockets");
    }
}

async fn a_domain_comes_moves_and_goes_on_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme", "globex"]).await;
    for host in ["shop.example", "a.shop.example"] {
        fleet.comes_to(host, 404).await;
    }
    let leads = async |host: &str, to: &str| {
        for node in &fleet.nodes {
            node.comes_to_be(host, to, |answer| {
                answer.status == 200 && claims(answer)["slug"] == to
            })
            .await;
        }
    };
    fleet
        .command("domain add acme shop.example --trusted")
        .await;
    leads("shop.example", "acme").await;
    fleet
        .command("domain add acme *.shop.example --trusted")
        .await;
    leads("a.shop.example", "acme").await;
    // An exact name stands before the wildcard that answered for it so far.
    fleet
        .command("domain add globex a.shop.example --trusted")
        .await;
    leads("a.shop.example", "globex").await;
    leads("b.shop.example", "acme").await;
    fleet.command("domain move shop.example globex").await;
    leads("shop.example", "globex").await;
    fleet.command("domain remove a.shop.example").await;
    leads("a.shop.example", "acme").await;
    fleet.command("domain remove *.shop.example").await;
    fleet.comes_to("a.shop.example", 404).await;
    fleet.command("domain remove shop.example").await;
    fleet.comes_to("shop.example", 404).await;
}

async fn two_processes_with_one_store_follow_each_other(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    // The eldest makes the store and the sealing key.
    let eldest = Edge::with(upstream.address).store_at(store).start().await;
    let plans = [(); 2].map(|()| Edge::with(upstream.address).in_fleet_of(&eldest));
    let mut nodes = plans.each_ref().map(Process::start);
    for node in &mut nodes {
        let answer = node
            .visit()
            .await
            .ask(get("acme.localhost", "/", &[]))
            .await;
        assert_eq!(answer.status, 404);
    }
    let file = plans[0].folder().join("vestibule.toml");
    for (line, status) in [
        ("tenant create acme", 200),
        ("tenant suspend acme", 403),
        ("tenant resume acme", 200),
    ] {
        command::with_config(&file, line).succeeds();
        for node in &mut nodes {
            harness::eventually(line, async || {
                let answer = node
                    .visit()
                    .await
                    .ask(get("acme.localhost", "/", &[]))
                    .await;
                (answer.status == status).then_some(())
            })
            .await;
        }
    }
}

/// The claims of the assertion that the upstream says it received; null where it received none.
fn claims(answer: &Answer) -> serde_json::Value {
    let received = answer.json();
    let headers = received["headers"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let named =
        |pair: &&serde_json::Value| text(&pair[0]).eq_ignore_ascii_case("x-tenant-assertion");
    let assertion = headers.iter().find(named);
    assertion.map_or(serde_json::Value::Null, |pair| {
        Assertion::read(&text(&pair[1])).claims
    })
}
