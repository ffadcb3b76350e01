//! Backup and restore as an operator types them, beside nodes that run.

use std::os::unix::fs::PermissionsExt;

use crate::command::{self, Folder};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;
use crate::harness::{on_both_stores, postgres};

on_both_stores!(a_node_that_runs_serves_what_was_restored);

async fn a_node_that_runs_serves_what_was_restored(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).store_at(store);
    let node = node
        .tenants(&["acme", "globex"])
        .domain("acme", "shop.example.com");
    let node = node.start().await;
    for host in ["acme.localhost", "globex.localhost", "shop.example.com"] {
        node.comes_to(host, 200).await;
    }
    let file = node.folder().join("backup");
    let backup = format!("store backup {}", file.display());
    node.command(&backup).await.succeeds();
    node.command("domain move shop.example.com globex")
        .await
        .succeeds();
    node.command("tenant suspend acme").await.succeeds();
    node.command("tenant create initech").await.succeeds();
    node.command("key rotate").await.succeeds();
    node.comes_to("acme.localhost", 403).await;
    node.comes_to("initech.localhost", 200).await;
    let keys = async || (node.jwks().await["keys"].as_array()?.len() == 2).then_some(());
    crate::harness::eventually("the next key", keys).await;

    let restore = format!("store restore {}", file.display());
    let refused = node.command(&restore).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("3 tenants") && refused.err.contains("--yes"),
        "{refused:?}"
    );
    node.command(&format!("{restore} --yes")).await.succeeds();
    node.comes_to("acme.localhost", 200).await;
    node.comes_to("initech.localhost", 404).await;
    let tenant = |answer: &crate::harness::client::Answer| answer.text().contains("acme");
    node.comes_to_be("shop.example.com", "the old owner", tenant)
        .await;
    let keys = async || (node.jwks().await["keys"].as_array()?.len() == 1).then_some(());
    crate::harness::eventually("the key of then", keys).await;
}

/// A node that had keys would be left without any, and could sign for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_without_signing_keys_leaves_no_node_without_one() {
    let unused = command::with_store("");
    unused.typed("tenant create initech").succeeds();
    unused.typed("store backup x").succeeds();
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    node.comes_to("acme.localhost", 200).await;
    let restore = format!("store restore {} --yes", unused.path("x").display());
    node.command(&restore).await.succeeds();
    node.comes_to("acme.localhost", 404).await;
    node.comes_to("initech.localhost", 200).await;
    let keys = async || (node.jwks().await["keys"].as_array()?.len() == 1).then_some(());
    crate::harness::eventually("a key", keys).await;
}

/// From one node to a fleet: the rows and the keys move, and verifiers notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedded_store_moves_to_postgresql() {
    let upstream = TestUpstream::echo();
    let old = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let url = postgres::database().await;
    let new = Edge::with(upstream.address).store(&url).start().await;
    new.comes_to("acme.localhost", 404).await;
    let file = old.folder().join("backup");
    old.command(&format!("store backup {}", file.display()))
        .await
        .succeeds();

    let restore = format!("store restore {}", file.display());
    let refused = new.command(&restore).await;
    let key = &new.config.store.secret_key_file;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains(&key.display().to_string()),
        "{refused:?}"
    );
    assert!(refused.err.contains("hint: copy"), "{refused:?}");
    new.comes_to("acme.localhost", 404).await;

    std::fs::copy(&old.config.store.secret_key_file, key).unwrap();
    new.command(&restore).await.succeeds();
    new.comes_to("acme.localhost", 200).await;
    let expected = old.jwks().await;
    let same = async || (new.jwks().await == expected).then_some(());
    crate::harness::eventually("the same keys", same).await;
}

#[test]
fn a_backup_replaces_nothing_unless_it_may() {
    let folder = command::with_store("");
    folder.typed("tenant create acme").succeeds();
    let said = folder.typed("store backup x").succeeds();
    assert!(
        said.contains("1 tenant, 0 domains, 0 signing keys and 0 certificates written to x"),
        "{said}"
    );
    let mode = std::fs::metadata(folder.path("x")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let first = std::fs::read(folder.path("x")).unwrap();
    folder.typed("tenant create globex").succeeds();
    let refused = folder.typed("store backup x");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("--force"), "{refused:?}");
    assert_eq!(std::fs::read(folder.path("x")).unwrap(), first);
    let report = folder.typed("store backup x --force --output json").json();
    assert_eq!(report["tenants"], 2);
    assert_ne!(std::fs::read(folder.path("x")).unwrap(), first);
    assert_eq!(left(&folder), ["vestibule.toml", "var", "x"].len());

    assert_eq!(folder.typed("store backup no/such/folder").code, 1);
    assert_eq!(folder.typed("store restore nothing").code, 1);
    folder.write("notes", "these are my notes\n");
    let refused = folder.typed("store restore notes --yes");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("no backup"), "{refused:?}");
    assert_eq!(folder.typed("tenant show globex").code, 0);
}

/// How many files there are: none is left over.
fn left(folder: &Folder) -> usize {
    std::fs::read_dir(folder.path("")).unwrap().count()
}

#[test]
fn a_restore_says_which_sealing_key_it_misses() {
    let folder = command::with_store("");
    folder.typed("key rotate").succeeds();
    let noted = folder.typed("store backup x");
    assert!(noted.err.contains("var/secret.key"), "{noted:?}");
    noted.succeeds();
    let kept = folder.path("kept.key");
    std::fs::rename(folder.path("var/secret.key"), &kept).unwrap();
    for (key, what) in [(None, "is not at"), (Some([7; 32]), "is not the one")] {
        if let Some(key) = key {
            std::fs::copy(&kept, folder.path("var/secret.key")).unwrap();
            std::fs::write(folder.path("var/secret.key"), key).unwrap();
        }
        let refused = folder.typed("store restore x --yes");
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.err.contains(what) && refused.err.contains("hint: copy"),
            "{refused:?}"
        );
        assert!(refused.err.contains("var/secret.key"), "{refused:?}");
    }
    std::fs::rename(kept, folder.path("var/secret.key")).unwrap();
    folder.typed("store restore x --yes").succeeds();
}

#[test]
fn a_restore_makes_no_store() {
    let folder = command::with_store("");
    folder.typed("store backup x").succeeds();
    std::fs::remove_dir_all(folder.path("var")).unwrap();
    for line in ["store restore x --yes", "store backup y"] {
        let refused = folder.typed(line);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains("var/vestibule.db"), "{refused:?}");
    }
    assert!(!folder.path("var").exists() && !folder.path("y").exists());
}
