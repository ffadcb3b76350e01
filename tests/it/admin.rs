//! The operator's listener as Prometheus sees it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may end there")]

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule::admin::{AdminState, Readiness, router, serve};
use vestibule::metrics::Metrics;
use vestibule::model::Slug;
use vestibule::shutdown::{Phase, Shutdown};

/// The body that a scrape of a running listener gets.
async fn scrape(metrics: Arc<Metrics>) -> String {
    let (shutdown, stopping) = Shutdown::new();
    let state = AdminState {
        stopping: stopping.clone(),
        ready: Arc::new(Readiness::default),
        metrics,
        jwks: Arc::new(Bytes::new),
        hostnames: Arc::new([]),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(serve(listener, router(state), stopping));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    shutdown.enter(Phase::Ended);
    serving.await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

/// A family with labels shows only once it has a member.
fn touch_every_family(metrics: &Metrics) {
    metrics
        .requests
        .with_label_values(&["127.0.0.1:8080", "subdomain", "2xx", ""])
        .inc();
    metrics.request_duration.observe(0.01);
    metrics.edge_overhead.observe(0.000_02);
    metrics
        .open_connections
        .with_label_values(&["127.0.0.1:8080"])
        .set(1);
    metrics
        .connections_refused
        .with_label_values(&["node"])
        .inc();
    metrics
        .resolve
        .with_label_values(&["subdomain", "found"])
        .inc();
    metrics.cache_entries.with_label_values(&["routes"]).set(1);
    metrics.snapshot.with_label_values(&["write", "ok"]).inc();
    metrics
        .store_query
        .with_label_values(&["find"])
        .observe(0.001);
    metrics.jwks_fetches.with_label_values(&["ok"]).inc();
    metrics
        .upstream_requests
        .with_label_values(&["app", "ok"])
        .inc();
    metrics
        .upstream_duration
        .with_label_values(&["app"])
        .observe(0.01);
    metrics
        .upstream_endpoints
        .with_label_values(&["app", "up"])
        .set(1);
    metrics
        .upstream_connections
        .with_label_values(&["app", "idle"])
        .set(1);
    metrics.tls_handshakes.with_label_values(&["ok"]).inc();
    metrics.certificates.with_label_values(&["active"]).set(1);
    metrics.tenants.counter(&Slug::parse("acme").unwrap()).inc();
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_of() {
    let metrics = Metrics::new(10).unwrap();
    touch_every_family(&metrics);
    let text = scrape(Arc::clone(&metrics)).await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed (Debian: apt-get install prometheus)");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let words = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && words.is_empty(),
        "{}",
        String::from_utf8_lossy(&words)
    );
}

#[tokio::test]
async fn every_metric_of_the_contract_is_there() {
    let metrics = Metrics::new(10).unwrap();
    touch_every_family(&metrics);
    let text = scrape(metrics).await;
    for name in [
        "vestibule_http_requests_total",
        "vestibule_http_request_duration_seconds",
        "vestibule_edge_overhead_seconds",
        "vestibule_open_connections",
        "vestibule_in_flight_requests",
        "vestibule_resolve_total",
        "vestibule_cache_entries",
        "vestibule_cache_hits_total",
        "vestibule_cache_misses_total",
        "vestibule_cache_stale_served_total",
        "vestibule_store_query_seconds",
        "vestibule_store_up",
        "vestibule_change_feed_lag_seconds",
        "vestibule_upstream_requests_total",
        "vestibule_upstream_duration_seconds",
        "vestibule_upstream_endpoints",
        "vestibule_upstream_connections",
        "vestibule_retries_total",
        "vestibule_tls_handshakes_total",
        "vestibule_certificates",
        "vestibule_certificate_not_after_seconds",
        "vestibule_tenant_requests_total",
        "vestibule_access_log_dropped_total",
        "vestibule_build_info",
        "vestibule_config_last_reload_success",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
    let cpu = text
        .lines()
        .find(|line| line.starts_with("process_resident_memory_bytes "))
        .unwrap();
    assert!(
        cpu.split(' ').nth(1).unwrap().parse::<f64>().unwrap() > 0.0,
        "{cpu}"
    );
}
