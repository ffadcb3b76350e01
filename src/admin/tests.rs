use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::serve::{Bounds, serve_within};
use super::{AdminState, Readiness, router};
use crate::metrics::Metrics;
use crate::shutdown::{Phase, Shutdown};

struct Admin {
    address: SocketAddr,
    shutdown: Shutdown,
    routes_known: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

const PATIENT: Bounds = Bounds {
    head: Duration::from_secs(60),
    age: Duration::from_secs(60),
    last_answer: Duration::from_secs(60),
    connections: 16,
};
const SHORT: Duration = Duration::from_millis(20);

impl Admin {
    async fn start() -> Self {
        Self::start_within(PATIENT).await
    }

    async fn start_within(bounds: Bounds) -> Self {
        let (shutdown, stopping) = Shutdown::new();
        let routes_known = Arc::new(AtomicBool::new(true));
        let known = Arc::clone(&routes_known);
        let state = AdminState {
            stopping: stopping.clone(),
            ready: Arc::new(move || Readiness {
                listeners_bound: true,
                routes_known: known.load(Ordering::Relaxed),
            }),
            metrics: Metrics::new(0).unwrap(),
            jwks: Arc::new(|| Bytes::from_static(b"{\"keys\":[]}")),
            hostnames: Arc::new([]),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve_within(bounds, listener, router(state), stopping));
        Self {
            address,
            shutdown,
            routes_known,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `text` and reads until the other side closes, however it does that.
    async fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        let mut answer = Vec::new();
        // A refusal may come, and the connection go, before everything is sent.
        let _ = stream.write_all(text.as_bytes()).await;
        while matches!(stream.read_buf(&mut answer).await, Ok(1..)) {}
        String::from_utf8(answer).unwrap()
    }

    async fn get(&self, path: &str) -> String {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
        .await
    }
}

#[tokio::test]
async fn the_four_addresses_answer() {
    let admin = Admin::start().await;
    let health = admin.get("/healthz").await;
    assert!(
        health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok"),
        "{health}"
    );
    let ready = admin.get("/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 200")
            && ready.ends_with(r#"{"ready":true,"missing":[],"draining":false}"#),
        "{ready}"
    );
    let metrics = admin.get("/metrics").await;
    assert!(
        metrics.contains("content-type: text/plain; version=0.0.4"),
        "{metrics}"
    );
    assert!(
        metrics.contains("vestibule_build_info{version="),
        "{metrics}"
    );
    let jwks = admin.get("/.well-known/jwks.json").await;
    assert!(
        jwks.contains("content-type: application/jwk-set+json\r\n"),
        "{jwks}"
    );
    assert!(
        jwks.contains("cache-control: public, max-age=300\r\n") && jwks.ends_with("{\"keys\":[]}"),
        "{jwks}"
    );
}

#[tokio::test]
async fn everything_else_is_a_problem() {
    let admin = Admin::start().await;
    for path in [
        "/",
        "/v1/tenants",
        "/metrics/",
        "/healthz/../metrics",
        "/%6detrics",
    ] {
        let answer = admin.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(
            answer.contains("application/problem+json") && answer.contains(r#""code":"not_found""#),
            "{answer}"
        );
    }
    let answer = admin.exchange("POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET,HEAD\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains(r#""code":"method_not_allowed""#),
        "{answer}"
    );
    let answer = admin
        .exchange("POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 99999999\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn i7_a_foreign_name_is_misdirected() {
    let admin = Admin::start().await;
    for (head, status) in [
        ("GET /metrics HTTP/1.1\r\nHost: evil.example", "421"),
        (
            "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost",
            "421",
        ),
        ("GET /nothing HTTP/1.1\r\nHost: evil.example", "421"),
        (
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example",
            "400",
        ),
        ("GET /metrics HTTP/1.1", "400"),
        ("GET /healthz HTTP/1.0", "200"),
        ("GET /metrics HTTP/1.1\r\nHost: [::1]:9900", "200"),
    ] {
        let answer = admin
            .exchange(&format!("{head}\r\nConnection: close\r\n\r\n"))
            .await;
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
        assert!(
            status == "200" || answer.contains("application/problem+json"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn i17_a_node_is_not_ready_before_it_knows_routes_nor_once_it_has_announced_its_end() {
    let admin = Admin::start().await;
    admin.routes_known.store(false, Ordering::Relaxed);
    let answer = admin.get("/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains(r#""missing":["routes"]"#),
        "{answer}"
    );
    admin.routes_known.store(true, Ordering::Relaxed);
    assert!(admin.get("/readyz").await.starts_with("HTTP/1.1 200"));
    for phase in [Phase::Announced, Phase::Draining] {
        admin.shutdown.enter(phase);
        let answer = admin.get("/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains(r#""draining":true"#),
            "{answer}"
        );
        assert!(admin.get("/healthz").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn the_end_closes_idle_connections() {
    let admin = Admin::start().await;
    let mut idle = admin.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut buffer = [0; 1024];
    assert!(idle.read(&mut buffer).await.unwrap() > 0);
    admin.shutdown.enter(Phase::Ended);
    admin.serving.await.unwrap();
    assert_eq!(idle.read(&mut buffer).await.unwrap(), 0);
}

#[tokio::test]
async fn h2_h5_a_head_that_does_not_end_is_cut_off_and_a_huge_one_refused() {
    let admin = Admin::start_within(Bounds {
        head: SHORT,
        ..PATIENT
    })
    .await;
    let answer = admin.exchange("GET /healthz HTTP/1.1\r\nHost: loc").await;
    assert!(!answer.contains("200"), "{answer}");
    let admin = Admin::start().await;
    let huge = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(40_000)
    );
    assert!(admin.exchange(&huge).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_full_listener_serves_again_once_old_connections_have_aged() {
    let admin = Admin::start_within(Bounds {
        age: SHORT,
        last_answer: SHORT,
        connections: 1,
        ..PATIENT
    })
    .await;
    let _silent = admin.connect().await;
    // On a slow machine this one ages before it has said anything, too: then another does.
    while !admin.get("/healthz").await.starts_with("HTTP/1.1 200") {}
}
