//! ClientHellos that are cut up, too long, slow or none at all, and many of them at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vestibule::tls::{HandshakeError, TlsAcceptor};

use super::{Edge, HOUR, PATIENCE, client, hello};
use crate::certificates::Folder;

const SHORT: Duration = Duration::from_millis(150);

/// The handshake message of `hello` cut into records of `size` bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in hello[5..].chunks(size) {
        bytes.extend([22, 3, 1]);
        bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

#[tokio::test]
async fn c17_unusual_hellos_are_served_or_refused_and_harm_nobody() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let mut edge = Edge::start(&folder).await;
    let many = |count: usize, alpn: &dyn Fn(usize) -> Vec<u8>| {
        let mut config = client(&folder);
        config.alpn_protocols = (0..count).map(alpn).collect();
        hello(config, "acme.test")
    };
    let thousand = many(1000, &|n| {
        if n == 999 {
            b"h2".to_vec()
        } else {
            format!("p{n}").into()
        }
    });
    let long = many(200, &|n| format!("{n:0>200}").into());
    let plain = hello(client(&folder), "acme.test");
    // Served: the edge answers with its own hello (a handshake record).
    for hello in [
        in_records(&plain, 1),
        in_records(&plain, 100),
        thousand.clone(),
        in_records(&thousand, 30),
    ] {
        let mut socket = TcpStream::connect(edge.address).await.unwrap();
        socket.write_all(&hello).await.unwrap();
        assert_eq!(
            timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap(),
            22
        );
    }
    // Refused: longer than 16 KiB. The alert may be overtaken by a reset, since much of it is never read.
    assert!(long.len() > 16 * 1024);
    for hello in [long.clone(), in_records(&thousand, 2)] {
        let answer = edge.answer_to(&hello).await;
        assert!(
            matches!(answer[..], [] | [21, 3, 3, 0, 2, 2, 50]),
            "{answer:?}"
        );
    }
    assert_eq!(edge.count("hello_too_long"), 2);
    // Not TLS at all.
    for noise in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 600],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
    ] {
        let mut socket = TcpStream::connect(edge.address).await.unwrap();
        socket.write_all(noise).await.unwrap();
        socket.shutdown().await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    // And all goes on.
    while edge.outcomes.try_recv().is_ok() {}
    edge.visit(&Arc::new(client(&folder)), "acme.test")
        .await
        .unwrap();
}

#[tokio::test]
async fn h1_half_a_client_hello_is_closed() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, _) = folder.load();
    let mut edge = Edge::with(inventory, &folder.metrics, |it| it, SHORT).await;
    let hello = hello(client(&folder), "acme.test");
    for part in [
        &hello[..0],
        &hello[..3],
        &hello[..hello.len() / 2],
        &hello[..],
    ] {
        edge.answer_to(part).await;
        let outcome = edge.outcome().await;
        assert!(
            matches!(outcome, Err(HandshakeError::Timeout)),
            "{outcome:?}"
        );
    }
    assert_eq!(edge.count("timeout"), 4);
}

#[tokio::test]
async fn h15_handshakes_wait_for_their_turn() {
    let folder = Folder::new().with("acme", &["acme.test"]);
    let (inventory, _) = folder.load();
    let one_at_a_time = |acceptor: TlsAcceptor| acceptor.with_turns(1);
    let edge = Edge::with(inventory, &folder.metrics, one_at_a_time, HOUR).await;
    let config = Arc::new(client(&folder));
    // Whoever has said nothing takes no turn.
    let _silent = TcpStream::connect(edge.address).await.unwrap();
    edge.visit(&config, "acme.test").await.unwrap();
    let mut slow = TcpStream::connect(edge.address).await.unwrap();
    slow.write_all(&hello(client(&folder), "acme.test"))
        .await
        .unwrap();
    assert_eq!(
        slow.read_u8().await.unwrap(),
        22,
        "the slow one has its turn"
    );
    let mut next = std::pin::pin!(edge.visit(&config, "acme.test"));
    assert!(timeout(SHORT, &mut next).await.is_err());
    drop(slow);
    timeout(PATIENCE, next).await.unwrap().unwrap();
}
