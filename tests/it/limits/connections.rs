//! Connections: so many by address, so many in all.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use crate::harness::client::{Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

const OPEN: &str = "vestibule_open_connections{listener=\"http\"}";

async fn visit_from(source: &str, edge: &Edge) -> Visitor {
    let socket = TcpSocket::new_v4().unwrap();
    let source: SocketAddr = source.parse().unwrap();
    socket.bind(source).unwrap();
    let stream: TcpStream = socket.connect(edge.http()).await.unwrap();
    Visitor::over(stream)
}

async fn is_served(visitor: &mut Visitor) -> bool {
    visitor.answers(&get("acme.localhost", "/", &[])).await
}

#[tokio::test]
async fn h13_one_address_has_so_many_and_another_is_still_served() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nconnections_per_ip = 3")
        .tenants(&["acme"])
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut visitor = edge.visit().await;
        assert!(is_served(&mut visitor).await);
        open.push(visitor);
    }
    assert!(!is_served(&mut edge.visit().await).await, "the fourth");
    assert!(is_served(&mut visit_from("127.0.0.2:0", &edge).await).await);
    edge.until_metric("vestibule_connections_refused_total{cap=\"address\"}", 1.0)
        .await;
    // The first three are none the worse for it, and each that closes makes room.
    for visitor in &mut open {
        assert!(is_served(visitor).await);
    }
    drop(open.pop());
    edge.until_metric(OPEN, 2.0).await;
    assert!(is_served(&mut edge.visit().await).await);
}

#[tokio::test]
async fn h13_a_tunnel_counts_as_a_connection_until_it_ends() {
    let upstream = TestUpstream::script(|mut connection| async move {
        if connection.read_request().await.is_some() {
            let switched = "HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            connection.write(switched.as_bytes()).await;
            connection.read_to_end().await;
        }
    });
    let edge = Edge::with(upstream.address)
        .config("[limits]\nconnections_per_ip = 1")
        .tenants(&["acme"])
        .start()
        .await;
    let mut tunnel = edge.visit().await;
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let answer = tunnel.ask(get("acme.localhost", "/", &upgrade)).await;
    assert_eq!(answer.status, 101);
    edge.until_metric(OPEN, 1.0).await;
    let unknown = get("nobody.localhost", "/", &[]);
    assert!(!edge.visit().await.answers(&unknown).await);
    drop(tunnel);
    edge.until_metric(OPEN, 0.0).await;
    assert!(edge.visit().await.answers(&unknown).await);
}

#[tokio::test]
async fn h13_trusted_proxies_carry_many_visitors_each() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nconnections_per_ip = 1\nconnections = 4\n[edge]\ntrusted_proxies = [\"127.0.0.1\"]")
        .tenants(&["acme"])
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut visitor = edge.visit().await;
        assert!(is_served(&mut visitor).await);
        open.push(visitor);
    }
    // The node's own cap holds for them too.
    assert!(!is_served(&mut edge.visit().await).await, "the fifth");
    edge.until_metric("vestibule_connections_refused_total{cap=\"node\"}", 1.0)
        .await;
    open.clear();
    edge.until_metric(OPEN, 0.0).await;
    assert!(is_served(&mut edge.visit().await).await);
}
