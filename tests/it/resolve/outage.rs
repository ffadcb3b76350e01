//! The store goes, stays away, comes back; the snapshot bridges a restart.

use std::sync::Arc;
use std::time::Duration;

use vestibule::model::Match;
use vestibule::shutdown::{Phase, Shutdown};
use vestibule::tasks::snapshot::SnapshotTask;

use super::*;
use crate::harness::postgres;

on_both_engines!(
    g5_a_store_that_goes_away_and_comes_back,
    i11_a_node_that_starts_without_its_store_routes_from_the_snapshot,
    i14_a_damaged_snapshot_is_ignored_and_counted,
);

async fn g5_a_store_that_goes_away_and_comes_back(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let globex = LookupKey::Slug(slug("globex"));
    let node = Node::new(&database).await;
    node.names_loaded().await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));

    node.gate.set_away(true);
    eventually("the loss is noticed", || node.metrics.store_up.get() == 0).await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    assert_eq!(node.resolver.find(&globex).await, Match::Unavailable);
    let nobody = LookupKey::Slug(slug("nobody"));
    assert_eq!(node.resolver.find(&nobody).await, Match::Unavailable);
    move_to_globex(&store).await;

    node.gate.set_away(false);
    node.comes_to(&shop, Some("globex")).await;
    assert_eq!(node.slug(&globex).await.as_deref(), Some("globex"));
    assert_eq!(node.resolver.find(&nobody).await, Match::Absent);
    assert_eq!(node.metrics.store_up.get(), 1);
}

async fn i11_a_node_that_starts_without_its_store_routes_from_the_snapshot(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let first = Node::new(&database).await;
    first.slug(&shop).await;
    let (shutdown, stopping) = Shutdown::new();
    let task = SnapshotTask {
        resolver: Arc::clone(&first.resolver),
        file: database.snapshot(),
        interval: Duration::from_secs(3600),
        signing_keys: Arc::new(|| vec![signing_key()]),
    };
    let saving = tokio::spawn(task.run(stopping));
    shutdown.enter(Phase::Draining);
    saving.await.unwrap();
    drop(first);
    move_to_globex(&store).await;

    let second = Node::starting(&database, Some(&database.snapshot())).await;
    assert!(second.resolver.ready());
    assert_eq!(
        second.slug(&shop).await.as_deref(),
        Some("acme"),
        "as it was"
    );
    second.gate.set_away(false);
    second.comes_to(&shop, Some("globex")).await;
    assert_eq!(second.metrics.store_up.get(), 1);
    assert_eq!(
        second.resolver.load_snapshot(&database.snapshot()),
        [],
        "too late"
    );
}

async fn i14_a_damaged_snapshot_is_ignored_and_counted(database: Database) {
    std::fs::write(database.snapshot(), b"VSTBROUT and so on").unwrap();
    let node = Node::starting(&database, Some(&database.snapshot())).await;
    let ignored = node
        .metrics
        .snapshot
        .with_label_values(&["load", "ignored"]);
    assert_eq!(ignored.get(), 1);
    assert!(!node.resolver.ready());
    node.gate.set_away(false);
    node.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i11_postgres_is_stopped_and_started_again() {
    let mut server = postgres::Postgres::private();
    let database = Database::at(&server.database().await);
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    node.names_loaded().await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    let server = tokio::task::spawn_blocking(move || {
        server.stop();
        server
    });
    let mut server = server.await.unwrap();
    eventually("the loss is noticed", || node.metrics.store_up.get() == 0).await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    let globex = LookupKey::Slug(slug("globex"));
    assert_eq!(node.resolver.find(&globex).await, Match::Unavailable);
    let server = tokio::task::spawn_blocking(move || {
        server.start();
        server
    });
    let _server = server.await.unwrap();
    node.comes_to(&globex, Some("globex")).await;
    move_to_globex(&store).await;
    node.comes_to(&shop, Some("globex")).await;
}
