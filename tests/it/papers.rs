//! What is written for operators stays true: the lists of refusals and series, the alerts, the service unit.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::collections::BTreeSet;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use vestibule::model::{Code, Fault};

use crate::command;
use crate::harness::client::PATIENCE;
use crate::harness::process::Process;

const REFUSALS: &str = include_str!("../../docs/refusals.md");
const METRICS: &str = include_str!("../../docs/metrics.md");
const SERIES: &str = include_str!("../../src/metrics.rs");
const ALERTS: &str = include_str!("../../deploy/alerts.yml");
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
    let config = vestibule::config::Config::parse("", "built in", std::iter::empty()).unwrap();
    let timeouts = &config.edge.timeouts;
    let stop = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop = Duration::from_secs(stop.unwrap().parse().unwrap());
    assert!(stop > timeouts.shutdown_wait + timeouts.shutdown_drain);
}
