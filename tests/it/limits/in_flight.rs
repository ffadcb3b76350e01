//! Requests at the same time, and that each gives its place back however it ends.

use std::time::Duration;

use vestibule::model::LimitOverrides;

use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::frames::{CANCEL, Frames, RST_STREAM, frame, get_frame};
use crate::harness::upstream::{Connection, TestUpstream};

const WEBSOCKET: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
const SWITCHED: &[u8] =
    b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// An upstream that does what the path says.
async fn by_path(mut connection: Connection) {
    while let Some(seen) = connection.read_request().await {
        match seen.target.as_str() {
            "/hold" => {
                connection.signal().await;
                connection.write(OK).await;
            }
            "/half" => {
                connection.write(HALF).await;
                connection.read_to_end().await;
                return;
            }
            "/half-reset" => {
                connection.write(HALF).await;
                connection.signal().await;
                return connection.reset().await;
            }
            "/reset" => {
                connection.signal().await;
                return connection.reset().await;
            }
            "/tunnel" => {
                connection.write(SWITCHED).await;
                connection.read_to_end().await;
                return;
            }
            "/short-tunnel" => {
                connection.write(SWITCHED).await;
                connection.signal().await;
                return;
            }
            _ => connection.write(OK).await,
        }
    }
}

/// An edge whose tenant `acme` may have one request at a time.
async fn one_at_a_time(upstream: &TestUpstream) -> Edge {
    let own = LimitOverrides {
        in_flight: Some(1),
        ..LimitOverrides::default()
    };
    Edge::with(upstream.address)
        .config("[edge.timeouts]\ntunnel = \"1h\"")
        .tenant_with("acme", own)
        .tenants(&["globex"])
        .start()
        .await
}

/// A request under way: the upstream has it.
async fn under_way(edge: &Edge, upstream: &TestUpstream, path: &str, lines: &[&str]) -> Visitor {
    let mut visitor = edge.visit().await;
    visitor.write(get("acme.localhost", path, lines)).await;
    has(upstream, path).await;
    visitor
}

/// Waits until the upstream has a request for this path.
async fn has(upstream: &TestUpstream, path: &str) {
    while upstream.seen().await.target != path {}
}

async fn assert_full(edge: &Edge, what: &str) {
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(answer.status, 429, "{what}: {}", answer.text());
    assert_eq!(answer.code(), "too_many_in_flight");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait >= 1);
}

async fn assert_free_again(edge: &Edge, what: &str) {
    edge.until_metric("vestibule_in_flight_requests", 0.0).await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
}

#[tokio::test]
async fn h19_one_tenant_is_full_and_the_others_are_not() {
    let upstream = TestUpstream::script(by_path);
    let edge = one_at_a_time(&upstream).await;
    let mut first = under_way(&edge, &upstream, "/hold", &[]).await;
    assert_full(&edge, "one is held").await;
    let other = edge
        .visit()
        .await
        .ask(get("globex.localhost", "/", &[]))
        .await;
    assert_eq!(other.status, 200);
    upstream.signal();
    assert_eq!(first.reply().await.status, 200);
    assert_free_again(&edge, "answered").await;
}

#[tokio::test]
async fn a_place_is_given_back_when_the_visitor_leaves() {
    let upstream = TestUpstream::script(by_path);
    let edge = one_at_a_time(&upstream).await;
    for (path, lines) in [("/hold", &[][..]), ("/half", &[]), ("/tunnel", WEBSOCKET)] {
        let visitor = under_way(&edge, &upstream, path, lines).await;
        assert_full(&edge, path).await;
        drop(visitor);
        assert_free_again(&edge, path).await;
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_the_upstream_fails() {
    for path in ["/reset", "/half-reset"] {
        let upstream = TestUpstream::script(by_path);
        let edge = one_at_a_time(&upstream).await;
        // Not retried: the visitor hears of it.
        let post = &["Content-Length: 0"];
        let mut visitor = edge.visit().await;
        let request = crate::harness::client::request("POST", "acme.localhost", path, post, b"");
        visitor.write(request).await;
        has(&upstream, path).await;
        assert_full(&edge, path).await;
        upstream.signal();
        let answer = visitor.reply().await;
        assert!(answer.status == 502 || !answer.complete, "{answer:?}");
        assert_free_again(&edge, path).await;
    }
}

#[tokio::test]
async fn a_place_is_given_back_when_a_tunnel_ends_on_the_other_side() {
    let upstream = TestUpstream::script(by_path);
    let edge = one_at_a_time(&upstream).await;
    let mut visitor = under_way(&edge, &upstream, "/short-tunnel", WEBSOCKET).await;
    assert_eq!(visitor.reply().await.status, 101);
    assert_full(&edge, "the tunnel is open").await;
    upstream.signal();
    visitor.ended().await;
    drop(visitor);
    assert_free_again(&edge, "the tunnel has ended").await;
}

#[tokio::test]
async fn a_place_is_given_back_when_a_stream_is_reset() {
    let upstream = TestUpstream::script(by_path);
    let edge = one_at_a_time(&upstream).await;
    let mut visitor = Frames::open(edge.http()).await;
    for (stream, path) in [(1, "/hold"), (3, "/half")] {
        visitor
            .send(get_frame(stream, "acme.localhost", path))
            .await;
        has(&upstream, path).await;
        assert_full(&edge, path).await;
        let reset = frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
        visitor.send(reset).await;
        assert_free_again(&edge, path).await;
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends_and_gives_its_place_back() {
    let upstream = TestUpstream::script(by_path);
    let own = LimitOverrides {
        in_flight: Some(1),
        ..LimitOverrides::default()
    };
    let short = Duration::from_millis(150);
    let edge = Edge::with(upstream.address)
        .config(&format!(
            "[edge.timeouts]\ntunnel = \"{}ms\"",
            short.as_millis()
        ))
        .tenant_with("acme", own)
        .start()
        .await;
    let mut visitor = under_way(&edge, &upstream, "/tunnel", WEBSOCKET).await;
    assert_eq!(visitor.reply().await.status, 101);
    visitor.ended().await;
    drop(visitor);
    assert_free_again(&edge, "the silence was too long").await;
}

#[tokio::test]
async fn the_node_is_full_for_everybody_and_tunnels_take_no_place_of_it() {
    let upstream = TestUpstream::script(by_path);
    let edge = Edge::with(upstream.address)
        .config("[limits]\nnode_in_flight = 1\n[edge.timeouts]\ntunnel = \"1h\"")
        .tenants(&["acme", "globex"])
        .start()
        .await;
    let mut tunnel = under_way(&edge, &upstream, "/tunnel", WEBSOCKET).await;
    assert_eq!(tunnel.reply().await.status, 101);
    let mut first = under_way(&edge, &upstream, "/hold", &[]).await;
    let mut other = edge.visit().await;
    let full = other.ask(get("globex.localhost", "/", &[])).await;
    assert_eq!((full.status, full.code().as_str()), (503, "overloaded"));
    assert!(full.header("retry-after").is_some());
    upstream.signal();
    assert_eq!(first.reply().await.status, 200);
    assert_free_again(&edge, "answered, while the tunnel goes on").await;
    let answer = other.ask(get("globex.localhost", "/", &[])).await;
    assert_eq!(answer.status, 200);
}
