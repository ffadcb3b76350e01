//! Many requests at once for names that nobody has asked for yet, and for names that do not exist.

use tokio::task::JoinSet;

use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, on_both_stores};

on_both_stores!(
    g3_ten_thousand_first_requests_for_one_cold_host_make_one_query,
    g1_a_flood_of_names_that_do_not_exist_costs_no_query_and_no_tenant,
    g1_a_node_that_has_just_started_asks_nobody_for_names_that_do_not_exist,
);

const TWO_THREADS: &str = "[edge]\nworkers = 2\n[cache]\nttl = \"1h\"";
const CONNECTIONS: usize = 100;

async fn g3_ten_thousand_first_requests_for_one_cold_host_make_one_query(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .store_at(store)
        .config(TWO_THREADS)
        .tenants(&["cold", "warm"])
        .start()
        .await;
    edge.comes_to("warm.localhost", 200).await;
    let before = look_ups(&edge).await;

    let statuses = from_many_visitors(&edge, |_, _| "cold.localhost".to_owned()).await;
    assert_eq!(statuses, [200; 10_000]);
    assert_eq!(look_ups(&edge).await - before, 1.0);
    assert_eq!(upstream.requests().len(), 10_000 + 1);
}

async fn g1_a_flood_of_names_that_do_not_exist_costs_no_query_and_no_tenant(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .store_at(store)
        .config(TWO_THREADS)
        .tenants(&["cold", "warm"])
        .domain("warm", "shop.example")
        .start()
        .await;
    edge.comes_to("warm.localhost", 200).await;
    edge.comes_to("shop.example", 200).await;
    eventually("the set of names", async || {
        let names = edge
            .metric("vestibule_cache_entries{cache=\"names\"}")
            .await;
        (names >= 3.0).then_some(())
    })
    .await;
    let before = look_ups(&edge).await;

    let flood = from_many_visitors(&edge, |visitor, turn| match turn % 2 {
        0 => format!("nobody-{visitor}-{turn}.localhost"),
        _ => format!("nobody-{turn}.shop-{visitor}.example"),
    });
    let (flood, cold) = tokio::join!(flood, async {
        let mut visitor = edge.visit().await;
        visitor.ask(get("cold.localhost", "/", &[])).await.status
    });
    assert_eq!(flood, [404; 10_000]);
    assert_eq!(
        cold, 200,
        "a tenant that exists is not refused for the flood"
    );
    assert_eq!(look_ups(&edge).await - before, 1.0, "the cold tenant's");

    for host in ["warm.localhost", "shop.example", "cold.localhost"] {
        let answer = edge.visit().await.ask(get(host, "/", &[])).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    assert_eq!(look_ups(&edge).await - before, 1.0, "nobody was pushed out");
    assert_eq!(upstream.requests().len(), 6);
}

/// The names of a large store take their time to load; visitors are let in when they have been.
async fn g1_a_node_that_has_just_started_asks_nobody_for_names_that_do_not_exist(
    store: Option<&str>,
) {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .store_at(store)
        .config(TWO_THREADS)
        .tenants(&["acme"])
        .start()
        .await;
    let tenants: String = (0..20_000)
        .map(|n| format!("{{\"slug\":\"t{n}\"}}\n"))
        .collect();
    let file = edge.folder().join("tenants.jsonl");
    std::fs::write(&file, tenants).unwrap();
    let import = format!("tenant import {}", file.display());
    edge.command(&import).await.succeeds();
    let plan = edge.pause().await;
    std::fs::remove_file(plan.folder().join("routes.snapshot")).unwrap();

    let edge = plan.start().await;
    let mut visitor = edge.visit().await;
    let answer = visitor.ask(get("nobody.localhost", "/", &[])).await;
    assert_eq!((answer.status, look_ups(&edge).await), (404, 0.0));
    let answer = visitor.ask(get("t19999.localhost", "/", &[])).await;
    assert_eq!((answer.status, look_ups(&edge).await), (200, 1.0));
}

/// Otherwise a visitor's next request would find a connection that is gone.
#[tokio::test]
async fn a_connection_says_with_which_answer_it_ends() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).tenants(&["acme"]).start();
    let edge = edge.await;
    for host in ["acme.localhost", "nobody.localhost"] {
        let mut visitor = edge.visit().await;
        for _ in 1..1000 {
            let answer = visitor.ask(get(host, "/", &[])).await;
            assert_eq!(answer.header("connection"), None);
        }
        let last = visitor.ask(get(host, "/", &[])).await;
        assert_eq!(last.header("connection"), Some("close"), "{host}");
        visitor.ended().await;
    }
}

/// Queries for one key that the store was asked.
async fn look_ups(edge: &Edge) -> f64 {
    edge.metric("vestibule_store_query_seconds_count{query=\"lookup\"}")
        .await
}

/// Ten thousand requests over a hundred connections that all begin at once; the statuses of the answers.
async fn from_many_visitors(
    edge: &Edge,
    host: impl Fn(usize, usize) -> String + Copy + Send + 'static,
) -> Vec<u16> {
    let mut visitors = Vec::new();
    for _ in 0..CONNECTIONS {
        visitors.push(edge.visit().await);
    }
    let mut asking = JoinSet::new();
    for (number, visitor) in visitors.into_iter().enumerate() {
        asking.spawn(ask_in_turn(visitor, edge.http(), move |turn| {
            host(number, turn)
        }));
    }
    asking.join_all().await.into_iter().flatten().collect()
}

async fn ask_in_turn(
    mut visitor: Visitor,
    edge: std::net::SocketAddr,
    host: impl Fn(usize) -> String,
) -> Vec<u16> {
    let mut statuses = Vec::new();
    for turn in 0..10_000 / CONNECTIONS {
        let answer = visitor.ask(get(&host(turn), "/", &[])).await;
        statuses.push(answer.status);
        if answer.header("connection") == Some("close") {
            visitor = Visitor::connect(edge).await;
        }
    }
    statuses
}
