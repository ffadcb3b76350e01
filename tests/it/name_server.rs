//! Our own zone over real sockets: what a resolver is told by any node, by datagrams and connections.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use hickory_server::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;
use vestibule::model::challenge::{delegation_label, txt_value};
use vestibule::model::{ChallengeKind, Hostname};
use vestibule::store::{Challenge, Store};

use crate::harness::client::PATIENCE;
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::postgres;
use crate::harness::upstream::TestUpstream;

mod floods;

const ZONE: &str =
    "[acme_dns]\nlisten = [\"127.0.0.1:0\"]\nzone = \"acme.test\"\nname_server = \"ns.test\"\n";

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    let name = Name::from_ascii(format!("{name}.")).unwrap();
    message.add_query(Query::query(name, RecordType::TXT));
    message.to_vec().unwrap()
}

async fn by_datagram(server: SocketAddr, name: &str) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question(name), server).await.unwrap();
    let mut answer = [0; 4096];
    let received = timeout(PATIENCE, socket.recv_from(&mut answer)).await;
    let (length, from) = received.unwrap().unwrap();
    assert_eq!(from, server);
    Message::from_vec(&answer[..length]).unwrap()
}

/// A question as it goes over a connection.
fn framed(name: &str) -> Vec<u8> {
    let question = question(name);
    let length = u16::try_from(question.len()).unwrap();
    [length.to_be_bytes().to_vec(), question].concat()
}

async fn by_connection(stream: &mut TcpStream, name: &str) -> Message {
    stream.write_all(&framed(name)).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

fn texts(answer: &Message) -> Vec<String> {
    let text = |data: &RData| match data {
        RData::TXT(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    let mut texts: Vec<_> = answer.answers.iter().map(|it| text(&it.data)).collect();
    texts.sort();
    texts
}

/// Publishes a challenge for `name`; where it is to be asked for, and what is answered.
async fn publish(store: &Store, name: &str, token: &str) -> (String, String) {
    let challenge = Challenge {
        name: Hostname::parse(name).unwrap(),
        kind: ChallengeKind::Dns01,
        token: token.to_owned(),
        key_authorization: format!("{token}.thumbprint"),
        expires_at: i64::MAX,
    };
    store.publish_challenge(&challenge).await.unwrap();
    let label = delegation_label(&challenge.name);
    let value = txt_value(&challenge.key_authorization);
    (format!("{label}.acme.test"), value)
}

#[tokio::test]
async fn challenges_are_answered_by_datagrams_and_connections() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).config(ZONE).start().await;
    let server = edge.addresses().name_server[0];
    let (at, one) = publish(&edge.store, "shop.example.org", "DGyRejmCefe7v4NfDGDKfA").await;
    let (_, two) = publish(&edge.store, "shop.example.org", "DGyRejmCefe7v4NfDGDKfB").await;
    let mut expected = [one, two];
    expected.sort();
    assert_eq!(texts(&by_datagram(server, &at).await), expected);
    let mut stream = TcpStream::connect(server).await.unwrap();
    for _ in 0..2 {
        assert_eq!(texts(&by_connection(&mut stream, &at).await), expected);
    }
    let other = by_datagram(server, "www.example.org").await;
    assert_eq!(other.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn g16_any_node_answers_what_another_publishes() {
    let upstream = TestUpstream::echo();
    let url = postgres::database().await;
    let here = Edge::with(upstream.address).store(&url).start().await;
    let there = Edge::with(upstream.address).config(ZONE);
    let there = there.in_fleet_of(&here).start().await;
    let server = there.addresses().name_server[0];
    let host = Hostname::parse("shop.example.org").unwrap();
    // Too early.
    let at = format!("{}.acme.test", delegation_label(&host));
    assert!(by_datagram(server, &at).await.answers.is_empty());
    let (at, value) = publish(&here.store, "shop.example.org", "DGyRejmCefe7v4NfDGDKfA").await;
    assert_eq!(texts(&by_datagram(server, &at).await), [value]);
}

#[tokio::test]
async fn silent_connections_are_closed_and_keep_nobody_from_asking() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).config(ZONE).start().await;
    let server = edge.addresses().name_server[0];
    let mut silent = Vec::new();
    // As many as there may be.
    for _ in 0..128 {
        silent.push(TcpStream::connect(server).await.unwrap());
    }
    let answer = by_datagram(server, "acme.test").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    for mut stream in silent {
        let mut said = Vec::new();
        let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(end.unwrap().is_err() || said.is_empty());
    }
}

/// A connection from another of this machine's addresses.
async fn connect_from(source: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

#[tokio::test]
async fn one_source_leaves_connections_for_others() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).config(ZONE).start().await;
    let server = edge.addresses().name_server[0];
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(connect_from([127, 0, 0, 2], server).await);
    }
    for _ in 0..20 {
        let mut more = connect_from([127, 0, 0, 2], server).await;
        let end = timeout(PATIENCE, more.read_to_end(&mut Vec::new())).await;
        end.expect("it is closed").ok();
    }
    // These are older, so that it was not their age for which the others were closed.
    let mut other = connect_from([127, 0, 0, 3], server).await;
    for stream in held.iter_mut().chain([&mut other]) {
        let answer = by_connection(stream, "acme.test").await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    }
    // What one gives back can be had again.
    drop(held);
    eventually("another connection", async || {
        let mut again = connect_from([127, 0, 0, 2], server).await;
        let asked = again.write_all(&framed("acme.test")).await.is_ok();
        (asked && again.read_u16().await.is_ok()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_longer_than_any_question_ends_a_connection() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).config(ZONE).start().await;
    let mut stream = TcpStream::connect(edge.addresses().name_server[0])
        .await
        .unwrap();
    stream.write_all(&[0xff; 4096]).await.unwrap();
    let mut said = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut said)).await;
    assert!(end.unwrap().is_err() || said.is_empty());
}

#[tokio::test]
async fn a_node_that_has_stopped_listens_no_more() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).config(ZONE).start().await;
    let server = edge.addresses().name_server[0];
    edge.stop().await;
    // Both are free again.
    std::net::UdpSocket::bind(server).unwrap();
    assert!(TcpStream::connect(server).await.is_err());
}
