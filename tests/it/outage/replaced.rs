//! A SQLite file that somebody replaces or deletes under a node that runs.

use std::path::Path;

use super::{ask, serves, unknown_is_unavailable};
use crate::command::with_store;
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

fn remove(database: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", database.display()));
    }
}

/// A copy of the node's own store, taken while nobody writes.
fn copy(database: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let from = format!("{}{ending}", database.display());
        if Path::new(&from).exists() {
            std::fs::copy(from, format!("{}{ending}", to.display())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_store_in_its_place_is_served_from() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    node.comes_to("acme.localhost", 200).await;
    node.comes_to("initech.localhost", 404).await;
    let other = with_store("");
    other.typed("tenant create globex").succeeds();
    other.typed("tenant create initech").succeeds();

    let database = node.folder().join("vestibule.db");
    remove(&database);
    std::fs::rename(other.path("var/vestibule.db"), &database).unwrap();
    node.comes_to("acme.localhost", 404).await;
    node.comes_to("initech.localhost", 200).await;
    // It is followed, too.
    node.command("tenant create umbrella").await.succeeds();
    node.comes_to("umbrella.localhost", 200).await;
    node.command("tenant suspend initech").await.succeeds();
    node.comes_to("initech.localhost", 403).await;
}

/// The same feed, at the same place: only the file is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_went_another_way_is_another_history() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    node.comes_to("acme.localhost", 200).await;
    let database = node.folder().join("vestibule.db");
    let branch = node.folder().join("branch.db");
    copy(&database, &branch);
    node.command("tenant suspend acme").await.succeeds();
    node.comes_to("acme.localhost", 403).await;
    let other = with_store(&format!("[store]\nurl = \"sqlite:{}\"", branch.display()));
    // As many changes as the node has seen, and others.
    other.typed("tenant suspend globex").succeeds();

    remove(&database);
    copy(&branch, &database);
    node.comes_to("acme.localhost", 200).await;
    node.comes_to("globex.localhost", 403).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_deleted_is_lost_until_it_is_back() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    node.comes_to("acme.localhost", 200).await;
    let database = node.folder().join("vestibule.db");
    let kept = node.folder().join("kept.db");
    copy(&database, &kept);
    remove(&database);
    node.until_metric("vestibule_store_up", 0.0).await;
    serves(&node, &["acme.localhost"]).await;
    unknown_is_unavailable(&node, "globex.localhost").await;
    assert!(!database.exists(), "nobody makes an empty one");
    assert_eq!(node.readiness().await, 200);

    copy(&kept, &database);
    node.until_metric("vestibule_store_up", 1.0).await;
    node.comes_to("globex.localhost", 200).await;
    assert_eq!(ask(&node, "nobody.localhost").await.status, 404);
}
