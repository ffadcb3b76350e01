//! A SQLite file that somebody else holds, may not be written, or loses what belongs to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};

use super::{ask, serves, unknown_is_unavailable};
use crate::command;
use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;

const IMPATIENT: &str = "[store]\ntimeout = \"200ms\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i13_a_file_that_somebody_else_writes_to_is_read_on() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).config(IMPATIENT);
    let node = node.tenants(&["acme", "globex"]).start().await;
    node.comes_to("acme.localhost", 200).await;
    let mut intruder = open(node.folder()).await;
    intruder.execute("begin immediate").await.unwrap();

    serves(&node, &["acme.localhost", "globex.localhost"]).await;
    assert_eq!(ask(&node, "nobody.localhost").await.status, 404);
    let refused = node.command("tenant create initech").await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused
            .err
            .contains("error: the store cannot be reached or cannot work now"),
        "{refused:?}"
    );
    assert!(refused.err.contains("locked"), "{refused:?}");

    intruder.execute("rollback").await.unwrap();
    node.command("tenant create initech").await.succeeds();
    node.comes_to("initech.localhost", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i13_a_node_starts_from_its_snapshot_while_somebody_else_holds_the_file() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).config(IMPATIENT);
    let node = node.tenants(&["acme", "globex"]).start().await;
    node.comes_to("acme.localhost", 200).await;
    node.store.close().await;
    let plan = node.pause().await;
    let mut intruder = open(&plan.folder()).await;
    intruder
        .execute("pragma locking_mode = exclusive")
        .await
        .unwrap();
    intruder.execute("begin exclusive").await.unwrap();

    let node = plan.start().await;
    assert_eq!(node.readiness().await, 200);
    serves(&node, &["acme.localhost"]).await;
    unknown_is_unavailable(&node, "globex.localhost").await;

    drop(intruder);
    node.comes_to("globex.localhost", 200).await;
}

/// Whoever has it open could read on for ever, and no change would reach the node any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i13_a_file_that_is_moved_away_is_missed_and_one_in_its_place_is_followed() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).tenants(&["acme", "globex"]);
    let node = node.start().await;
    node.comes_to("acme.localhost", 200).await;
    let place = |name: &str| {
        let place = node.folder().join(name);
        std::fs::create_dir(&place).unwrap();
        place
    };
    let (away, backup, end) = (place("away"), place("backup"), place("end"));
    put(node.folder(), &away);
    node.comes_to("nobody.localhost", 503).await;
    serves(&node, &["acme.localhost"]).await;
    unknown_is_unavailable(&node, "globex.localhost").await;

    for file in files(&away) {
        std::fs::copy(away.join(&file), backup.join(&file)).unwrap();
    }
    put(&away, node.folder());
    node.comes_to("globex.localhost", 200).await;
    assert_eq!(ask(&node, "nobody.localhost").await.status, 404);
    node.command("tenant create initech").await.succeeds();
    node.comes_to("initech.localhost", 200).await;

    put(node.folder(), &end);
    put(&backup, node.folder());
    node.comes_to("initech.localhost", 404).await;
    serves(&node, &["acme.localhost", "globex.localhost"]).await;
}

/// The names of the database's files in a folder.
fn files(folder: &Path) -> Vec<String> {
    let names = ["", "-wal", "-shm"].map(|ending| format!("vestibule.db{ending}"));
    names
        .into_iter()
        .filter(|file| folder.join(file).exists())
        .collect()
}

/// Moves the database from one folder to another.
fn put(from: &Path, to: &Path) {
    for file in files(from) {
        std::fs::rename(from.join(&file), to.join(&file)).unwrap();
    }
}

/// Nobody should; the node goes on with what it has open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i13_a_log_that_is_deleted_takes_no_known_tenant_with_it() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).tenants(&["acme", "globex"]);
    let node = node.start().await;
    node.comes_to("acme.localhost", 200).await;
    for ending in ["-wal", "-shm"] {
        std::fs::remove_file(database(node.folder()).with_extension(format!("db{ending}")))
            .unwrap();
    }
    serves(&node, &["acme.localhost", "globex.localhost"]).await;
    assert_eq!(ask(&node, "nobody.localhost").await.status, 404);
    assert_eq!(node.metric("vestibule_panics_total").await, 0.0);
}

/// A folder on a file system that was mounted anew read-only, or filled by somebody else: reads go on, and it is said what does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i13_a_folder_that_may_not_be_written_any_more_is_served_from() {
    let upstream = TestUpstream::echo();
    let node = Edge::with(upstream.address).config("[cache]\nsnapshot_interval = \"50ms\"");
    let node = node.tenants(&["acme", "globex"]).start().await;
    node.store.close().await;
    let plan = node.pause().await;
    std::fs::remove_file(plan.folder().join("routes.snapshot")).unwrap();
    std::fs::write(plan.folder().join("vestibule.toml"), plan.toml()).unwrap();
    let mut process = Process::spawn(run_as_an_ordinary_user(), &plan.folder());
    let mut visitor = process.visit().await;
    comes_to(&mut visitor, "acme.localhost", 200).await;

    std::fs::set_permissions(plan.folder(), PermissionsExt::from_mode(0o500)).unwrap();
    let complains = || {
        let said = process.log();
        said.contains("the snapshot cannot be written")
            .then_some(())
    };
    crate::harness::until(complains).await;
    for (host, status) in [("acme", 200), ("globex", 200), ("nobody", 404)] {
        let request = get(&format!("{host}.localhost"), "/", &[]);
        assert_eq!(visitor.ask(request).await.status, status, "{host}");
    }
    assert!(process.is_running(), "{}", process.log());

    std::fs::set_permissions(plan.folder(), PermissionsExt::from_mode(0o700)).unwrap();
    let snapshot = plan.folder().join("routes.snapshot");
    let whole = || std::fs::metadata(&snapshot).is_ok_and(|file| file.len() > 0);
    crate::harness::until(|| whole().then_some(())).await;
}

/// `vestibule run` as somebody whom the mode of a folder stops: root is stopped by it only without the capability to override it.
fn run_as_an_ordinary_user() -> Command {
    use std::os::unix::fs::MetadataExt;
    let plain = command::vestibule();
    let mut command = if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        let mut command = Command::new("setpriv");
        command
            .arg("--bounding-set=-dac_override")
            .arg(plain.get_program());
        command
    } else {
        plain
    };
    command.args(["--config", "vestibule.toml", "run"]);
    command
}

async fn comes_to(visitor: &mut Visitor, host: &str, status: u16) {
    eventually(host, async || {
        let answer = visitor.ask(get(host, "/", &[])).await;
        (answer.status == status).then_some(())
    })
    .await;
}

fn database(folder: &Path) -> PathBuf {
    folder.join("vestibule.db")
}

async fn open(folder: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database(folder));
    options.connect().await.unwrap()
}
