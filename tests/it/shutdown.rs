//! Stopping a node (I17): a process of its own that is told to by SIGTERM, with visitors at every stage of a request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Request;
use tokio::net::TcpStream;

use crate::harness::client::{Visitor, get, request};
use crate::harness::edge::{Edge, Plan};
use crate::harness::eventually;
use crate::harness::http2::{Http2, read};
use crate::harness::process::Process;
use crate::harness::upstream::TestUpstream;

const HANDSHAKE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

/// Takes its time where it is asked to: it goes on with the test's next signal.
fn slow() -> TestUpstream {
    TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_head().await {
            match seen.target.as_str() {
                "/head" => {
                    connection.signal().await;
                    connection.write(WELL).await;
                }
                "/body" => {
                    connection
                        .write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
                        .await;
                    connection.signal().await;
                    connection.write(b"half").await;
                }
                "/upload" => {
                    assert_eq!(connection.read_exactly(8).await.unwrap(), b"halfhalf");
                    connection.write(WELL).await;
                }
                "/socket" => {
                    connection.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n").await;
                    while let Some(byte) = connection.read_exactly(1).await {
                        connection.write(&byte).await;
                    }
                }
                _ => connection.write(WELL).await,
            }
        }
    })
}

/// A process before that upstream. The plan keeps its folder.
struct Node {
    process: Process,
    http: SocketAddr,
    admin: SocketAddr,
    _plan: Plan,
}

impl Node {
    async fn start(upstream: &TestUpstream, wait: &str, drain: &str) -> Self {
        let plan = Edge::with(upstream.address)
            .config(&format!(
                "[edge]\nprobe_path = \"/-/healthy\"\n[edge.timeouts]\nhead = \"1h\"\nshutdown_wait = {wait:?}\nshutdown_drain = {drain:?}"
            ))
            .tenants(&["acme"])
            .filled()
            .await;
        let mut process = Process::start(&plan);
        let (http, admin) = (process.http().await, process.admin().await);
        let node = Self {
            process,
            http,
            admin,
            _plan: plan,
        };
        eventually("the node to be ready", async || {
            (node.readyz().await == 200).then_some(())
        })
        .await;
        node
    }

    async fn visit(&self) -> Visitor {
        Visitor::connect(self.http).await
    }

    async fn readyz(&self) -> u16 {
        let request = get("localhost", "/readyz", &["Connection: close"]);
        Visitor::connect(self.admin).await.ask(request).await.status
    }

    /// Waits until nobody is let in any more.
    async fn refuses(&self) {
        eventually("the listener to be gone", async || {
            TcpStream::connect(self.http).await.err()
        })
        .await;
    }

    /// It has ended, and as asked.
    async fn has_ended(mut self) {
        assert_eq!(self.process.ended().await, 0, "{}", self.process.log());
    }

    /// A tunnel that works.
    async fn tunnel(&self) -> Visitor {
        let mut visitor = self.visit().await;
        let answer = visitor
            .ask(get("acme.localhost", "/socket", &HANDSHAKE))
            .await;
        assert_eq!(answer.status, 101);
        assert!(works(&mut visitor).await);
        visitor
    }
}

async fn works(tunnel: &mut Visitor) -> bool {
    tunnel.write("ping").await;
    tunnel.take(4).await == b"ping"
}

fn url(path: &str) -> String {
    format!("http://acme.localhost{path}")
}

#[tokio::test]
async fn i17_readiness_goes_first_while_visitors_are_still_let_in() {
    let upstream = slow();
    let mut node = Node::start(&upstream, "1h", "1h").await;
    let mut before = node.visit().await;
    assert_eq!(
        before
            .ask(get("anything.example", "/-/healthy", &[]))
            .await
            .status,
        200
    );
    node.process.terminate();
    eventually("the node to be unready", async || {
        (node.readyz().await == 503).then_some(())
    })
    .await;
    // Old connections and new ones are served as before, but for the balancer, which is told to look elsewhere.
    let mut after = node.visit().await;
    for visitor in [&mut before, &mut after] {
        for _ in 0..2 {
            let answer = visitor.ask(get("acme.localhost", "/", &[])).await;
            assert_eq!(
                (answer.text().as_str(), answer.header("connection")),
                ("well", None)
            );
        }
        assert_eq!(
            visitor
                .ask(get("anything.example", "/-/healthy", &[]))
                .await
                .status,
            503
        );
    }
    let mut second = Http2::over(node.visit().await.into_inner()).await;
    assert_eq!(
        second
            .ask(Request::get(url("/")).body(()).unwrap())
            .await
            .text(),
        "well"
    );
    let health = Visitor::connect(node.admin)
        .await
        .ask(get("localhost", "/healthz", &[]))
        .await;
    assert_eq!(health.status, 200);
    assert!(node.process.is_running());
    node.process.terminate();
    before.ended().await;
    node.has_ended().await;
}

#[tokio::test]
async fn i17_what_has_begun_is_finished_and_what_is_idle_ends() {
    let upstream = slow();
    let node = Node::start(&upstream, "0s", "1h").await;
    let mut head = node.visit().await;
    head.write(get("acme.localhost", "/head", &[])).await;
    let mut body = node.visit().await;
    body.write(get("acme.localhost", "/body", &[])).await;
    assert_eq!(body.status_line().await, Some(200));
    let mut upload = node.visit().await;
    let lines = ["Content-Length: 8"];
    upload
        .write(request(
            "POST",
            "acme.localhost",
            "/upload",
            &lines,
            b"half",
        ))
        .await;
    let mut tunnel = node.tunnel().await;
    let mut idle = node.visit().await;
    assert_eq!(idle.ask(get("acme.localhost", "/", &[])).await.status, 200);
    let mut silent = node.visit().await;
    upstream.until_open(5).await;

    node.process.terminate();
    node.refuses().await;
    idle.ended().await;
    silent.ended().await;
    assert_eq!(node.readyz().await, 503);
    assert!(works(&mut tunnel).await, "a tunnel goes on");
    upstream.signal();
    upload.write("half").await;
    for mut visitor in [head, upload] {
        let answer = visitor.reply().await;
        let last = (answer.text(), answer.header("connection"));
        assert_eq!(last, ("well".to_owned(), Some("close")));
        visitor.ended().await;
    }
    assert_eq!(body.rest().await, b"halfhalf");
    drop(tunnel);
    node.has_ended().await;
}

#[tokio::test]
async fn i17_streams_that_have_begun_are_finished_and_others_are_turned_away() {
    let upstream = slow();
    let node = Node::start(&upstream, "0s", "1h").await;
    let mut visitor = Http2::over(node.visit().await.into_inner()).await;
    let mut idle = Http2::over(node.visit().await.into_inner()).await;
    let get = |path: &str| Request::get(url(path)).body(()).unwrap();
    let (head, _) = visitor.open(get("/head"), true).await;
    let (body, _) = visitor.open(get("/body"), true).await;
    let body = body.await.unwrap();
    let upload = Request::post(url("/upload")).header("content-length", 8);
    let (uploaded, mut sending) = visitor.open(upload.body(()).unwrap(), false).await;
    let half = || Bytes::from_static(b"half");
    sending.send_data(half(), false).unwrap();
    upstream.until_open(3).await;

    node.process.terminate();
    node.refuses().await;
    for visitor in [&mut visitor, &mut idle] {
        // So that whoever asks knows that nobody has looked at it.
        let late = until_turned_away(visitor).await;
        let refused = late.reason() == Some(h2::Reason::REFUSED_STREAM);
        assert!(late.is_go_away() || late.is_io() || refused, "{late}");
    }
    upstream.signal();
    assert_eq!(read(head.await.unwrap()).await.text(), "well");
    assert_eq!(read(body).await.text(), "halfhalf");
    sending.send_data(half(), true).unwrap();
    assert_eq!(read(uploaded.await.unwrap()).await.text(), "well");
    node.has_ended().await;
}

async fn until_turned_away(visitor: &mut Http2) -> h2::Error {
    eventually("GOAWAY", async || {
        visitor
            .try_ask(Request::get(url("/")).body(()).unwrap())
            .await
            .err()
    })
    .await
}

#[tokio::test]
async fn i17_the_deadline_cuts_what_is_left() {
    let upstream = slow();
    let node = Node::start(&upstream, "0s", "300ms").await;
    let mut body = node.visit().await;
    body.write(get("acme.localhost", "/body", &[])).await;
    let mut tunnel = node.tunnel().await;
    assert_eq!(body.status_line().await, Some(200));
    assert_eq!(body.take(4).await, b"half");
    node.process.terminate();
    assert_eq!(body.rest().await, b"");
    tunnel.ended().await;
    node.has_ended().await;
}

#[tokio::test]
async fn i17_a_second_signal_ends_at_once() {
    let upstream = slow();
    let node = Node::start(&upstream, "0s", "1h").await;
    let mut head = node.visit().await;
    head.write(get("acme.localhost", "/head", &[])).await;
    let mut tunnel = node.tunnel().await;
    upstream.until_open(2).await;
    node.process.terminate();
    node.refuses().await;
    node.process.terminate();
    assert!(head.reply_to("GET").await.is_none());
    tunnel.ended().await;
    node.has_ended().await;
}

#[tokio::test]
async fn i17_a_node_with_nothing_to_do_ends_at_once() {
    let upstream = slow();
    let node = Node::start(&upstream, "0s", "1h").await;
    let mut visitors = Vec::new();
    for _ in 0..20 {
        let mut visitor = node.visit().await;
        visitor.ask(get("acme.localhost", "/", &[])).await;
        visitors.push(visitor);
    }
    node.process.terminate();
    node.has_ended().await;
}
