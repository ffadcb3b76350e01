//! What is written for operators and contributors stays true: the lists of refusals and series, the alerts, the service unit, the
//! banned crates.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use vestibule::config::Config;
use vestibule::model::{Code, Fault};

use crate::command;
use crate::harness::client::PATIENCE;
use crate::harness::process::Process;

const REFUSALS: &str = include_str!("../../docs/refusals.md");
const METRICS: &str = include_str!("../../docs/metrics.md");
const SERIES: &str = include_str!("../../src/metrics.rs");
const ALERTS: &str = include_str!("../../deploy/alerts.yml");
const BANS: &str = include_str!("../../deny.toml");
const LOCK: &str = include_str!("../../Cargo.lock");
const UNIT: &str = include_str!("../../deploy/vestibule.service");

#[test]
fn the_list_of_refusals_is_the_table() {
    let rows = REFUSALS.lines().filter(|line| line.starts_with("| `"));
    assert_eq!(rows.count(), Code::ALL.len());
    for code in Code::ALL {
        let fault = match code.fault() {
            Fault::Visitor => "visitor",
            Fault::Tenant => "tenant",
            Fault::Upstream => "upstream",
            Fault::Edge => "edge",
        };
        let row = format!("| `{}` | {} | {fault} |", code.as_str(), code.status());
        assert!(REFUSALS.contains(&row), "{row}");
    }
}

/// Every word of `text` that begins like the name of a series.
fn series(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    words
        .filter(|word| word.starts_with("vestibule_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// The names in `b.counter("name", …)` and its like.
fn registered() -> BTreeSet<String> {
    let calls = ["b.counter", "b.gauge", "b.histogram", "b.float_gauge"];
    let mut found = BTreeSet::new();
    for (at, _) in SERIES.match_indices("b.") {
        let rest = &SERIES[at..];
        if calls.iter().any(|call| rest.starts_with(call)) {
            let name = rest.split('"').nth(1).unwrap();
            found.insert(format!("vestibule_{name}"));
        }
    }
    found
}

#[test]
fn the_list_of_metrics_is_what_is_registered() {
    let listed = series(METRICS)
        .into_iter()
        .filter(|name| name.starts_with("vestibule_"))
        .collect();
    assert_eq!(registered(), listed);
    assert!(registered().len() > 25, "{:?}", registered());
}

#[test]
fn the_alerts_are_rules_about_series_that_exist() {
    let known = series(METRICS);
    for name in series(ALERTS) {
        assert!(known.contains(&name), "{name}");
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alerts.yml");
    let checked = Command::new("promtool")
        .args(["check", "rules", file])
        .output()
        .expect("promtool is needed (Debian: apt-get install prometheus)");
    let words = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{words}");
}

#[test]
fn every_configuration_in_the_documents_is_valid() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = std::fs::read_dir(root.join("docs")).unwrap();
    let mut files: Vec<_> = documents.map(|file| file.unwrap().path()).collect();
    files.push(root.join("README.md"));
    let mut found = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for block in text.split("```toml\n").skip(1) {
            let (toml, _) = block.split_once("```").unwrap();
            let name = file.display().to_string();
            let read = Config::parse(toml, &name, std::iter::empty());
            read.unwrap_or_else(|faults| panic!("{faults}"));
            found += 1;
        }
    }
    assert!(found > 1);
}

#[test]
fn the_alerts_fire_when_they_should() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/alerts.test.yml");
    let checked = Command::new("promtool")
        .args(["test", "rules", file])
        .output()
        .expect("promtool is needed (Debian: apt-get install prometheus)");
    let words = [checked.stdout, checked.stderr].concat();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&words)
    );
}

#[test]
fn who_begins_with_the_configuration_of_the_readme_has_nothing_to_fix() {
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```toml\n").skip(1);
    let block = blocks.find(|block| block.starts_with("[edge]")).unwrap();
    let (toml, _) = block.split_once("```").unwrap();
    let folder = command::Folder::new(toml);
    let ran = folder.typed("check");
    assert_eq!(ran.code, 0, "{ran:?}");
    // It may as well be misspelt.
    assert!(
        ran.out.contains("`tls.directory` \"certs\" is not there"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn the_service_tells_its_manager_when_it_serves() {
    assert!(UNIT.lines().any(|line| line == "Type=notify"));
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut service = command::vestibule();
    service
        .arg("run")
        .env("NOTIFY_SOCKET", &socket)
        .env("VESTIBULE_EDGE__HTTP", "[\"127.0.0.1:0\"]")
        .env("VESTIBULE_ADMIN__LISTEN", "127.0.0.1:0");
    let mut service = Process::spawn(service, folder.path());
    let mut said = [0; 64];
    let length = tokio::task::spawn_blocking(move || {
        let length = manager.recv(&mut said).unwrap();
        said[..length].to_vec()
    });
    assert_eq!(length.await.unwrap().trim_ascii(), b"READY=1");
    service.visit().await;
}

#[test]
fn the_service_has_the_time_to_stop_that_its_settings_give_it() {
    let config = Config::parse("", "built in", std::iter::empty()).unwrap();
    let timeouts = &config.edge.timeouts;
    let stop = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop = Duration::from_secs(stop.unwrap().parse().unwrap());
    assert!(stop > timeouts.shutdown_wait + timeouts.shutdown_drain);
}

/// Those of the packages in `lock` that `bans` bans.
fn banned(bans: &str, lock: &str) -> Vec<String> {
    let bans: toml::Table = bans.parse().unwrap();
    let banned: BTreeSet<&str> = bans["bans"]["deny"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ban| ban["crate"].as_str().unwrap())
        .collect();
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| package["name"].as_str().unwrap())
        .filter(|name| banned.contains(name))
        .map(str::to_owned)
        .collect()
}

/// The build of this machine's programs and tests, from `name` upwards; empty where nothing in it depends on that.
fn dependents(name: &str) -> String {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--edges",
            "normal,build,dev",
        ])
        .args(["--invert", name])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{words}");
    String::from_utf8(tree.stdout).unwrap()
}

/// `cargo deny` says more, but not everybody has it. The lock file also lists what only features that are off would need: of a
/// banned crate that stands there nothing that is built may depend on it.
#[test]
fn nothing_that_is_banned_is_depended_on() {
    for name in banned(BANS, LOCK) {
        assert_eq!(dependents(&name), "", "{name} is banned");
    }
    // Both halves can say so.
    assert!(dependents("rustls").contains("vestibule"));
    for name in [
        "ring",
        "openssl-sys",
        "native-tls",
        "rustls-pemfile",
        "trust-dns-resolver",
        "trust-dns-proto",
    ] {
        let lock = format!("[[package]]\nname = {name:?}\nversion = \"1.0.0\"\n");
        assert_eq!(banned(BANS, &lock), [name], "deny.toml bans it");
    }
}
