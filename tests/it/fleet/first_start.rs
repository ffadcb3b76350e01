//! Nodes that start at once where there is nothing yet, and nodes that do not have the key of what is there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use crate::command;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;
use crate::harness::{eventually, on_both_stores};

on_both_stores!(
    four_first_starts_at_once_make_one_schema_and_one_key,
    a_node_without_the_sealing_key_does_not_start,
);

async fn four_first_starts_at_once_make_one_schema_and_one_key(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    let shared = TempDir::new().unwrap();
    let folder = shared.path().join("made/by/whoever/is/first");
    let embedded = format!("sqlite:{}/vestibule.db", folder.display());
    let plan = || {
        let key = format!(
            "[store]\nsecret_key_file = \"{}/secret.key\"",
            folder.display()
        );
        let plan = Edge::with(upstream.address).config(&key);
        plan.store(store.unwrap_or(&embedded))
    };
    let plans = [(); 4].map(|()| plan());
    let mut nodes = plans.each_ref().map(Process::start);
    let mut sets = Vec::new();
    for node in &mut nodes {
        ready(node).await;
        let request = get("localhost", "/.well-known/jwks.json", &[]);
        let admin = node.admin().await;
        sets.push(Visitor::connect(admin).await.ask(request).await.json());
    }
    assert_eq!(sets[0]["keys"].as_array().unwrap().len(), 1, "{}", sets[0]);
    assert!(sets.iter().all(|set| *set == sets[0]), "{sets:?}");

    let file = plans[3].folder().join("vestibule.toml");
    command::with_config(&file, "tenant create acme").succeeds();
    for node in &mut nodes {
        let mut visitor = node.visit().await;
        eventually("the tenant", async || {
            let answer = visitor.ask(get("acme.localhost", "/", &[])).await;
            (answer.status == 200).then_some(())
        })
        .await;
    }
    let keys = command::with_config(&file, "key list --output json").json();
    assert_eq!(keys.as_array().unwrap().len(), 1, "{keys}");
}

async fn a_node_without_the_sealing_key_does_not_start(store: Option<&str>) {
    let upstream = TestUpstream::echo();
    let first = Edge::with(upstream.address).store_at(store).start().await;
    let plan = Edge::with(upstream.address).in_fleet_of(&first);
    let key = plan.folder().join("secret.key");

    std::fs::remove_file(&key).unwrap();
    let said = refused(&plan).await;
    assert!(said.contains("the key that opens them is not at"), "{said}");
    assert!(said.contains(&copy_to(&plan)), "{said}");
    assert!(!key.exists(), "none is made: it would open nothing");

    std::fs::write(&key, [7; 32]).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let said = refused(&plan).await;
    assert!(said.contains("is not the one that sealed"), "{said}");
    assert!(said.contains(&copy_to(&plan)), "{said}");
    assert_eq!(std::fs::read(&key).unwrap(), [7; 32]);

    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o640)).unwrap();
    let said = refused(&plan).await;
    assert!(said.contains("has mode 0640"), "{said}");

    std::fs::copy(&first.config.store.secret_key_file, &key).unwrap();
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    ready(&mut Process::start(&plan)).await;
}

/// What a node says that does not start.
async fn refused(plan: &Plan) -> String {
    let mut process = Process::start(plan);
    assert_eq!(process.ended().await, 1, "{}", process.log());
    process.log()
}

/// The hint that names the file.
fn copy_to(plan: &Plan) -> String {
    let key = plan.folder().join("secret.key");
    format!(
        "hint: copy [store] secret_key_file from a node that runs with this store (or from the backup) to {}",
        key.display()
    )
}

async fn ready(node: &mut Process) {
    let admin = node.admin().await;
    eventually("readiness", async || {
        let request = get("localhost", "/readyz", &[]);
        let answer = Visitor::connect(admin).await.ask(request).await;
        (answer.status == 200).then_some(())
    })
    .await;
}
