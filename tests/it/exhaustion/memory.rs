//! The program's own memory, as the system counts it, while visitors send and hold much.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::client::{Visitor, get, request};
use crate::harness::edge::{Edge, Plan};
use crate::harness::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, block, field, frame,
};
use crate::harness::process::Process;

const MIB: u64 = 1 << 20;

/// A node with the tenant `acme`, whose upstream reads everything before it answers.
async fn node() -> (Plan, Process) {
    let plan = Edge::with(swallowing().await)
        .config("[limits]\nbody = \"2GiB\"\nconnections_per_ip = 10000\n[log]\naccess = \"off\"")
        .tenants(&["acme"])
        .filled()
        .await;
    let process = Process::start(&plan);
    (plan, process)
}

/// Reads bodies of announced length without keeping them, and says how long they were.
async fn swallowing() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 256 * 1024];
                let mut head = Vec::new();
                let end = loop {
                    match socket.read(&mut buffer).await {
                        Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
                        _ => return,
                    }
                    if let Some(at) = head.windows(4).position(|part| part == b"\r\n\r\n") {
                        break at + 4;
                    }
                };
                let text = String::from_utf8_lossy(&head[..end]).to_lowercase();
                let length = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let length: u64 = length.map_or(0, |length| length.parse().unwrap());
                let mut read = (head.len() - end) as u64;
                while read < length {
                    match socket.read(&mut buffer).await {
                        Ok(count) if count > 0 => read += count as u64,
                        _ => return,
                    }
                }
                let body = read.to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h17_a_gibibyte_streams_through_in_flat_memory() {
    const LENGTH: u64 = 1024 * MIB;
    let (_plan, mut node) = node().await;
    let mut visitor = node.visit().await;
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &[])).await.status,
        200
    );
    let before = node.peak_memory();

    let length = format!("Content-Length: {LENGTH}");
    let mut visitor: Visitor = node.visit().await;
    visitor
        .write(request("POST", "acme.localhost", "/", &[&length], b""))
        .await;
    let piece = vec![0; MIB as usize];
    for _ in 0..LENGTH / MIB {
        visitor.write(&piece).await;
    }
    let answer = visitor.reply().await;
    assert_eq!((answer.status, answer.text()), (200, LENGTH.to_string()));
    let grown = node.peak_memory() - before;
    assert!(grown < 16 * MIB, "{grown} bytes more");
}

#[tokio::test]
async fn h9_h13_bombs_and_idle_connections_cost_little_memory() {
    const CONNECTIONS: u64 = 500;
    let (_plan, mut node) = node().await;
    let mut visitor = node.visit().await;
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &[])).await.status,
        200
    );
    let before = node.peak_memory();

    let mut kept = field("x-bomb", &"v".repeat(4000));
    kept[0] = 0x40;
    let bomb = [
        block("GET", "acme.localhost", "/"),
        kept,
        vec![0xbe; 12_000],
    ]
    .concat();
    let (first, rest) = bomb.split_at(16_000);
    let bomb = [
        frame(HEADERS, END_STREAM, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, rest),
    ];
    let bomb = bomb.concat();
    let mut bombers = Vec::new();
    for _ in 0..20 {
        let mut bomber = Frames::open(node.http().await).await;
        bomber.send(&bomb).await;
        bomber.next().await;
        bombers.push(bomber);
    }
    // Unpacked each would be 48 MB.
    let grown = node.peak_memory() - before;
    assert!(grown < 32 * MIB, "{grown} bytes more");

    let before = node.peak_memory();
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut visitor = node.visit().await;
        let unknown = visitor.ask(get("nobody.localhost", "/", &[])).await;
        assert_eq!(unknown.status, 404);
        idle.push(visitor);
    }
    let each = (node.peak_memory() - before) / CONNECTIONS;
    assert!(each < 64 * 1024, "{each} bytes for a connection");
}
