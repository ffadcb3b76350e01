//! A PostgreSQL server that ends, hangs, or may not be written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use sqlx::{Connection, Executor, PgConnection};
use tokio::task::block_in_place;

use super::{ask, serves, unknown_is_unavailable};
use crate::harness::assertion::Assertion;
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::postgres::{self, Postgres};
use crate::harness::upstream::TestUpstream;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_a_server_that_is_stopped_and_started() {
    a_server_that_goes_and_comes(Postgres::stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_a_server_that_is_killed_and_started() {
    a_server_that_goes_and_comes(Postgres::kill9).await;
}

async fn a_server_that_goes_and_comes(goes: fn(&mut Postgres)) {
    let mut server = block_in_place(Postgres::private);
    let url = server.database().await;
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address)
        .store(&url)
        .tenants(&["acme", "globex"])
        .domain("acme", "shop.example")
        .start()
        .await;
    let known = ["acme.localhost", "shop.example"];
    node.comes_to("nobody.localhost", 404).await;
    serves(&node, &known).await;
    let keys = node.jwks().await;

    block_in_place(|| goes(&mut server));
    unknown_is_unavailable(&node, "globex.localhost").await;
    serves(&node, &known).await;
    assert_eq!(node.readiness().await, 200, "a store lost later");
    assert_eq!(node.metric("vestibule_store_up").await, 0.0);

    let node = node.pause().await.start().await;
    assert_eq!(
        node.readiness().await,
        200,
        "the routes are in the snapshot"
    );
    serves(&node, &known).await;
    unknown_is_unavailable(&node, "globex.localhost").await;
    assert_eq!(node.jwks().await, keys);
    let requests = upstream.requests();
    let assertion = Assertion::of(requests.last().unwrap());
    assert!(assertion.is_signed_by_one_of(&keys), "{assertion:?}");

    // One that was never there before has neither store nor snapshot.
    let blind = Edge::with(upstream.address).in_fleet_of(&node);
    let blind = blind.start_blind(node.store.clone()).await;
    assert_eq!(blind.readiness().await, 503);
    unknown_is_unavailable(&blind, "acme.localhost").await;

    let answered = upstream.requests().len();
    block_in_place(|| server.start());
    for node in [&node, &blind] {
        node.comes_to("globex.localhost", 200).await;
        serves(node, &known).await;
        assert_eq!(ask(node, "nobody.localhost").await.status, 404);
        assert_eq!(node.readiness().await, 200);
        assert_eq!(node.jwks().await, keys);
    }
    assert_eq!(upstream.requests().len(), answered + 6);
    node.command("tenant suspend acme").await.succeeds();
    for node in [&node, &blind] {
        node.comes_to("acme.localhost", 403).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_known_tenants_are_served_for_a_while_counted_across_restarts() {
    const HALF_AN_HOUR: i64 = 30 * 60 * 1000;
    let mut server = block_in_place(Postgres::private);
    let url = server.database().await;
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address)
        .store(&url)
        .config("[cache]\nstale_if_error = \"1h\"")
        .tenants(&["acme"])
        .start()
        .await;
    node.comes_to("acme.localhost", 200).await;
    block_in_place(|| server.stop());
    unknown_is_unavailable(&node, "cold.localhost").await;

    node.clock.shift(HALF_AN_HOUR);
    serves(&node, &["acme.localhost"]).await;
    let node = node.pause().await.start().await;
    serves(&node, &["acme.localhost"]).await;
    node.clock.shift(HALF_AN_HOUR + 1000);
    unknown_is_unavailable(&node, "acme.localhost").await;
    let node = node.pause().await.start().await;
    unknown_is_unavailable(&node, "acme.localhost").await;

    block_in_place(|| server.start());
    node.comes_to("acme.localhost", 200).await;
}

/// A node that remembers sealed keys and has no key that opens them must not serve, or it would serve without signing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_sealing_key_does_not_start_from_its_snapshot_either() {
    let mut server = block_in_place(Postgres::private);
    let url = server.database().await;
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).store(&url).tenants(&["acme"]);
    let node = node.start().await;
    node.comes_to("acme.localhost", 200).await;
    let plan = node.pause().await;
    block_in_place(|| server.stop());
    let key = plan.folder().join("secret.key");
    let elsewhere = plan.folder().join("elsewhere");
    std::fs::rename(&key, &elsewhere).unwrap();

    let mut process = crate::harness::process::Process::start(&plan);
    assert_eq!(process.ended().await, 1);
    let (said, file) = (process.log(), key.display().to_string());
    assert!(
        said.contains("hint: copy [store] secret_key_file"),
        "{said}"
    );
    assert!(said.contains(&file), "{said}");

    // With a store that answers, it is the store's keys that count.
    std::fs::rename(&elsewhere, &key).unwrap();
    block_in_place(|| server.start());
    let node = plan.start().await;
    node.command("key reseal").await.succeeds();
    let snapshot = plan_with_old_snapshot(node).await;
    serves(&snapshot, &["acme.localhost"]).await;
}

/// Starts the node anew with the snapshot that it had before, whose keys are sealed otherwise.
async fn plan_with_old_snapshot(node: Edge) -> Edge {
    let file = node.config.cache.snapshot_file.clone();
    let old = std::fs::read(&file).unwrap();
    let plan = node.pause().await;
    std::fs::write(&file, old).unwrap();
    plan.start().await
}

/// The queries hang while the feed goes on: nobody waits for ever, and nobody else is refused for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_queries_that_hang_cost_only_the_tenants_that_are_not_in_memory() {
    let url = postgres::database().await;
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).store(&url);
    let node = node.tenants(&["acme", "globex"]).start().await;
    node.comes_to("acme.localhost", 200).await;
    let mut intruder = PgConnection::connect(&url).await.unwrap();
    let lock = "begin; lock table tenants in access exclusive mode";
    intruder.execute(lock).await.unwrap();

    let refused = ask(&node, "globex.localhost").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "store_unavailable")
    );
    serves(&node, &["acme.localhost"]).await;

    intruder.execute("rollback").await.unwrap();
    node.comes_to("globex.localhost", 200).await;
}

/// As after a failover to a replica that is not promoted yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_a_database_that_may_only_be_read_is_served_from() {
    let url = postgres::database().await;
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).store(&url);
    let node = node.tenants(&["acme", "globex"]).start().await;
    node.comes_to("acme.localhost", 200).await;
    let mut intruder = PgConnection::connect(&url).await.unwrap();
    let read_only = "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$";
    intruder.execute(read_only).await.unwrap();

    let node = node.pause().await.start().await;
    serves(&node, &["acme.localhost", "globex.localhost"]).await;
    assert_eq!(ask(&node, "nobody.localhost").await.status, 404);
    let refused = node.command("tenant create initech").await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("cannot work now"), "{refused:?}");
}

/// What is found in the pool after a failover has been closed by the server: it costs no visitor anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_connections_that_the_server_ends_are_replaced() {
    let url = postgres::database().await;
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).store(&url);
    let node = node.tenants(&["acme", "globex", "initech"]).start().await;
    node.comes_to("acme.localhost", 200).await;
    let mut intruder = PgConnection::connect(&url).await.unwrap();
    for host in ["globex.localhost", "initech.localhost"] {
        let end = "select pg_terminate_backend(pid) from pg_stat_activity \
                   where datname = current_database() and pid <> pg_backend_pid()";
        intruder.execute(end).await.unwrap();
        serves(&node, &["acme.localhost"]).await;
        node.comes_to(host, 200).await;
    }
    node.command("tenant suspend acme").await.succeeds();
    node.comes_to("acme.localhost", 403).await;
    eventually("contact", async || {
        let up = node.metric("vestibule_store_up").await;
        (up == 1.0).then_some(())
    })
    .await;
}
