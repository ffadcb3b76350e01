//! The series of `docs/metrics.md`, with their labels and values after requests whose number is known.

use std::io::Write;
use std::process::{Command, Stdio};

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vestibule::model::TenantState;

use crate::certificates::Folder;
use crate::harness::client::{Visitor, get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::{Connection, TestUpstream};

const WEBSOCKET: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Answers, and goes along with an upgrade until the visitor leaves.
async fn answering(mut connection: Connection) {
    while let Some(seen) = connection.read_request().await {
        if seen.header("upgrade").is_some() {
            let switched = b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            connection.write(switched).await;
            connection.read_to_end().await;
            return;
        }
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        connection.write(ok).await;
    }
}

async fn edge(upstream: &TestUpstream, certificates: &Folder) -> Edge {
    let plan = Edge::with(upstream.address);
    let directory = certificates.directory.path();
    let tls = format!(
        "[edge]\nhttps = [\"127.0.0.1:0\"]\nredirect_https = false\n[tls]\ndirectory = {directory:?}"
    );
    plan.config(&tls)
        .config_behind("[[upstream]]\nname = \"dead\"\nendpoints = [\"http://127.0.0.1:1\"]")
        .tenants(&["acme", "globex"])
        .tenant_in("stopped", TenantState::Suspended)
        .tenant_at("lost", "dead")
        .domain("globex", "shop.example")
        .start()
        .await
}

async fn visit_tls(
    edge: &Edge,
    certificates: &Folder,
) -> Visitor<tokio_rustls::client::TlsStream<TcpStream>> {
    let ca = certificates.path("ca.pem");
    let config = vestibule::tls::client_config(Some(&ca)).unwrap();
    let socket = TcpStream::connect(edge.https()).await.unwrap();
    let name = ServerName::try_from("acme.localhost").unwrap();
    let stream = TlsConnector::from(config).connect(name, socket).await;
    Visitor::over(stream.unwrap())
}

/// The requests whose number the test knows.
async fn visit(edge: &Edge, certificates: &Folder) {
    let mut visitor = edge.visit().await;
    for (host, path, status) in [
        ("acme.localhost", "/", 200),
        ("acme.localhost", "/", 200),
        ("acme.localhost", "/", 200),
        ("shop.example", "/", 200),
        ("app.localhost", "/t/globex/x", 200),
        ("stopped.localhost", "/", 403),
        ("nobody.localhost", "/", 404),
        ("lost.localhost", "/", 502),
    ] {
        let answer = visitor.ask(get(host, path, &[])).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
    let secure = visit_tls(edge, certificates)
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(secure.status, 200);
    let mut tunnel = edge.visit().await;
    let upgraded = tunnel.ask(get("acme.localhost", "/", WEBSOCKET)).await;
    assert_eq!(upgraded.status, 101);
    drop((tunnel, visitor));
    edge.until_metric("vestibule_open_connections", 0.0).await;
}

#[tokio::test]
async fn every_series_counts_what_happened() {
    let upstream = TestUpstream::script(answering);
    let certificates = Folder::new().with("acme", &["acme.localhost"]);
    let edge = edge(&upstream, &certificates).await;
    visit(&edge, &certificates).await;
    for ([listener, refusal, class, via], wanted) in REQUESTS {
        let labels = format!(
            "listener=\"{listener}\",refusal=\"{refusal}\",status_class=\"{class}\",via=\"{via}\""
        );
        let series = format!("vestibule_http_requests_total{{{labels}}}");
        edge.until_metric(&series, *wanted).await;
    }
    for (series, wanted) in COUNTED {
        let series = format!("vestibule_{series}");
        edge.until_metric(&series, *wanted).await;
    }
    let text = edge.metrics().await;
    for there in THERE {
        let found = text.lines().any(|line| line.starts_with(there));
        assert!(found, "{there} is not in:\n{text}");
    }
    promtool_agrees(&text);
}

/// Labels of `http_requests_total` (listener, refusal, class, via), and how many such requests [`visit`] makes.
const REQUESTS: &[([&str; 4], f64)] = &[
    (["http", "", "2xx", "subdomain"], 3.0),
    (["http", "", "2xx", "domain"], 1.0),
    (["http", "", "2xx", "path"], 1.0),
    (["http", "", "1xx", "subdomain"], 1.0),
    (["https", "", "2xx", "subdomain"], 1.0),
    (["http", "tenant_suspended", "4xx", "subdomain"], 1.0),
    (["http", "unknown_tenant", "4xx", "none"], 1.0),
    (["http", "upstream_unreachable", "5xx", "subdomain"], 1.0),
];

/// The beginnings of series, and what they add up to.
const COUNTED: &[(&str, f64)] = &[
    ("http_requests_total{", 10.0),
    ("http_request_duration_seconds_count", 10.0),
    ("edge_overhead_seconds_count", 10.0),
    (r#"open_connections{listener="http"}"#, 0.0),
    (r#"open_connections{listener="https"}"#, 0.0),
    ("in_flight_requests", 0.0),
    (r#"resolve_total{result="found",source="subdomain"}"#, 7.0),
    (r#"resolve_total{result="absent",source="subdomain"}"#, 1.0),
    (r#"resolve_total{result="found",source="domain"}"#, 1.0),
    (r#"resolve_total{result="found",source="path"}"#, 1.0),
    ("cache_stale_served_total", 0.0),
    ("store_up", 1.0),
    (
        r#"upstream_requests_total{result="ok",upstream="default"}"#,
        7.0,
    ),
    (
        r#"upstream_requests_total{result="unreachable",upstream="dead"}"#,
        1.0,
    ),
    (
        r#"upstream_duration_seconds_count{upstream="default"}"#,
        7.0,
    ),
    (
        r#"upstream_endpoints{state="known",upstream="default"}"#,
        1.0,
    ),
    (
        r#"upstream_connections{state="active",upstream="default"}"#,
        0.0,
    ),
    ("retries_total", 0.0),
    (r#"tls_handshakes_total{result="ok"}"#, 1.0),
    (r#"tenant_requests_total{tenant="acme"}"#, 5.0),
    (r#"tenant_requests_total{tenant="globex"}"#, 2.0),
    (r#"tenant_requests_total{tenant="stopped"}"#, 1.0),
    (r#"tenant_requests_total{tenant="lost"}"#, 1.0),
    ("access_log_dropped_total", 0.0),
    ("build_info{version=", 1.0),
    ("config_last_reload_success", 1.0),
    ("panics_total", 0.0),
    ("streams_stalled_total", 0.0),
];

/// The beginnings of series whose values only the machine knows.
const THERE: &[&str] = &[
    r#"vestibule_cache_entries{cache="routes"}"#,
    "vestibule_cache_hits_total ",
    "vestibule_cache_misses_total ",
    "vestibule_change_feed_lag_seconds ",
    "vestibule_store_query_seconds_count{query=",
    "vestibule_certificates{state=",
    "vestibule_certificate_not_after_seconds ",
    "vestibule_certificate_late_at_seconds ",
    "vestibule_clock_skew_seconds ",
    "process_cpu_seconds_total ",
    "process_resident_memory_bytes ",
    "process_open_fds ",
    "process_max_fds ",
    "process_start_time_seconds ",
    "process_threads ",
];

#[tokio::test]
async fn a_node_that_nobody_has_visited_shows_every_series_of_the_contract() {
    let upstream = TestUpstream::echo();
    let certificates = Folder::new().with("acme", &["acme.localhost"]);
    shows_every_series(&edge(&upstream, &certificates).await.metrics().await);
}

#[tokio::test]
async fn a_node_without_https_shows_every_series_of_the_contract_too() {
    let upstream = TestUpstream::echo();
    let plan = Edge::with(upstream.address);
    // The folder that the built-in setting names: a node that shows no certificate need not have one.
    let missing = plan.folder().join("certs");
    let tls = format!("[tls]\ndirectory = {missing:?}");
    let text = plan.config(&tls).start().await.metrics().await;
    shows_every_series(&text);
    for result in [
        "ok",
        "timeout",
        "no_name",
        "illegal_name",
        "unknown_name",
        "unavailable",
        "hello_too_long",
        "protocol",
        "io",
    ] {
        let series = format!("vestibule_tls_handshakes_total{{result=\"{result}\"}} 0");
        assert!(text.lines().any(|line| line == series), "{series}\n{text}");
    }
    let none = "vestibule_certificates{state=\"faulty\"} 0";
    assert!(text.lines().any(|line| line == none), "{text}");
}

fn shows_every_series(text: &str) {
    for name in CONTRACT {
        let family = format!("# TYPE vestibule_{name} ");
        assert!(text.contains(&family), "{name} is not in:\n{text}");
    }
    for process in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(process)?.strip_prefix(' '));
        let value: f64 = value.expect(process).parse().unwrap();
        assert!(value > 0.0, "{process} {value}");
    }
    promtool_agrees(text);
}

/// What dashboards may build on: every one is there from the first scrape.
const CONTRACT: &[&str] = &[
    "http_requests_total",
    "http_request_duration_seconds",
    "edge_overhead_seconds",
    "open_connections",
    "in_flight_requests",
    "resolve_total",
    "cache_entries",
    "cache_hits_total",
    "cache_misses_total",
    "cache_stale_served_total",
    "store_query_seconds",
    "store_up",
    "change_feed_lag_seconds",
    "upstream_requests_total",
    "upstream_duration_seconds",
    "upstream_endpoints",
    "upstream_connections",
    "retries_total",
    "tls_handshakes_total",
    "certificates",
    "certificate_not_after_seconds",
    "tenant_requests_total",
    "access_log_dropped_total",
    "build_info",
    "config_last_reload_success",
];

fn promtool_agrees(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed (Debian: apt-get install prometheus)");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    let output = promtool.wait_with_output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    assert!(output.status.success() && words.is_empty(), "{words}");
}

fn series(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

#[tokio::test]
async fn i10_what_visitors_write_makes_no_series() {
    const TENANTS: usize = 300;
    let upstream = TestUpstream::script(answering);
    let slugs: Vec<String> = (0..TENANTS).map(|n| format!("tenant-{n}")).collect();
    let slugs: Vec<&str> = slugs.iter().map(String::as_str).collect();
    let edge = Edge::with(upstream.address).tenants(&slugs).start().await;
    let mut visitor = edge.visit().await;
    let methods = ["GET", "POST", "PURGE", "X-RANDOM-METHOD", "get"];
    for (n, slug) in slugs.iter().enumerate() {
        let host = format!("{slug}.localhost");
        let method = methods[n % methods.len()];
        let body = &["Content-Length: 0"];
        let asked = request(method, &host, &format!("/random-path-{n}"), body, b"");
        assert_eq!(visitor.ask(asked).await.status, 200, "{method}");
        let unknown = format!("random-host-{n}.localhost");
        assert_eq!(visitor.ask(get(&unknown, "/", &[])).await.status, 404);
    }
    edge.until_metric("vestibule_http_requests_total", 2.0 * TENANTS as f64)
        .await;
    let text = edge.metrics().await;
    for random in ["random", "RANDOM", "PURGE", "method="] {
        assert!(!text.contains(random), "{random} is in:\n{text}");
    }
    // The first 200 have a series of their own, the others share one.
    let of_tenants = text
        .lines()
        .filter(|line| line.starts_with("vestibule_tenant_requests_total{"));
    assert_eq!(of_tenants.count(), 201);
    edge.until_metric("vestibule_tenant_requests_total{tenant=\"_other\"}", 100.0)
        .await;
    assert!(series(&text) < 2000, "{} series", series(&text));
}
