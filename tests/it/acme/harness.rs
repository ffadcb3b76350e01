//! The CA and the DNS of the tests do what other tests rely on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

use crate::harness::guarded::own_address;
use crate::harness::pebble::Pebble;
use crate::harness::upstream::{Reply, TestUpstream};

use super::*;

const A: u8 = 1;
const CNAME: u8 = 5;
const TXT: u8 = 16;
const CAA: u8 = 1; // 257, with the high byte below

/// What `server` answers to a question (RFC 1035 section 4): its RCODE, and the answer as it came.
async fn ask(server: SocketAddr, name: &str, kind: [u8; 2]) -> (u8, Vec<u8>) {
    let mut question = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    question.push(0);
    question.extend_from_slice(&kind);
    question.extend_from_slice(&[0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&question, server).await.unwrap();
    let mut answer = [0; 1500];
    let received = tokio::time::timeout(
        crate::harness::client::PATIENCE,
        socket.recv_from(&mut answer),
    );
    let (length, _) = received.await.expect("an answer in time").unwrap();
    (answer[3] & 15, answer[question.len()..length].to_vec())
}

fn has(answer: &[u8], part: &[u8]) -> bool {
    answer.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn the_cas_dns_says_what_a_test_told_it() {
    let pebble = Pebble::plan().start().await;
    let dns = &pebble.dns;
    let asking = |name: &'static str, kind: u8| ask(dns.address, name, [0, kind]);

    let (code, answer) = asking("shop.example", A).await;
    // The last field of an A record: its length, and the address.
    assert!(code == 0 && has(&answer, &[0, 4, 127, 0, 0, 1]));
    dns.set_a("shop.example", &[Ipv4Addr::new(192, 0, 2, 7)])
        .await;
    let (_, answer) = asking("shop.example", A).await;
    assert!(has(&answer, &[0, 4, 192, 0, 2, 7]));

    dns.set_txt("_acme-challenge.shop.example", "one").await;
    dns.set_txt("_acme-challenge.shop.example", "two").await;
    let (_, answer) = asking("_acme-challenge.shop.example", TXT).await;
    assert!(has(&answer, b"\x03one") && has(&answer, b"\x03two"));
    dns.clear_txt("_acme-challenge.shop.example").await;
    let (_, answer) = asking("_acme-challenge.shop.example", TXT).await;
    assert!(!has(&answer, b"\x03one"));

    dns.set_cname("www.shop.example", "edge.example").await;
    let (_, answer) = asking("www.shop.example", CNAME).await;
    assert!(has(&answer, b"\x04edge"));

    dns.set_caa("shop.example", "other-ca.example").await;
    let (_, answer) = ask(dns.address, "shop.example", [1, CAA]).await;
    assert!(has(&answer, b"issueother-ca.example"));

    dns.set_servfail("shop.example").await;
    assert_eq!(asking("shop.example", A).await.0, 2);
    dns.clear_servfail("shop.example").await;
    assert_eq!(asking("shop.example", A).await.0, 0);
    assert!(dns.asked("shop.example").await.len() >= 4);
    assert!(dns.asked("nobody.example").await.is_empty());
}

#[tokio::test]
async fn the_ca_counts_and_says_who_it_is() {
    let mut pebble = Pebble::plan().start().await;
    let ca = ca(&pebble.issuer());
    let opened = account(&ca).await;
    let dns = ChallengeKind::Dns01;
    whole(&*opened.account, &pebble.dns, &["shop.example"], dns).await;
    assert_eq!(pebble.orders(), 1);
    assert_eq!(pebble.validations(), 1, "{}", pebble.log());
    assert!(pebble.requests() > 7, "{}", pebble.log());
    assert!(pebble.config().contains(&pebble.directory()));
    let (root, intermediate) = (pebble.root().await, pebble.intermediate().await);
    assert!(root.contains("BEGIN CERTIFICATE") && intermediate != root);
    pebble.restart().await;
    assert_ne!(pebble.root().await, root);
    assert_eq!(pebble.orders(), 0);
}

#[tokio::test]
async fn the_ca_looks_where_a_test_wants_it_to() {
    let shown = Arc::new(Mutex::new(String::new()));
    let reply = Arc::clone(&shown);
    let web = TestUpstream::answering(move |_| Reply::text(&reply.lock().unwrap()));
    let dns = MockDns::start(own_address()).await;
    // Where nobody listens.
    let closed = 1;
    let plan = Pebble::plan().http_port(web.address.port());
    let plan = plan.tls_port(closed);
    let pebble = plan.dns_server(dns.address).start().await;
    let ca = ca(&pebble.issuer());
    let account = account(&ca).await.account;

    let url = account.place(&order(&["shop.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Http01);
    shown
        .lock()
        .unwrap()
        .clone_from(&challenge.key_authorization);
    account.ready(&url, challenge).await.unwrap();
    let view = behind(&*account, &url, OrderState::Pending).await;
    assert_eq!(view.state, OrderState::Ready, "{view:?}");
    let seen = web.seen().await;
    let path = format!("/.well-known/acme-challenge/{}", challenge.token);
    assert_eq!(seen.target, path);
    assert!(!dns.asked("shop.example").await.is_empty());
    assert!(pebble.dns.asked("shop.example").await.is_empty());

    let url = account.place(&order(&["tls.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::TlsAlpn01);
    account.ready(&url, challenge).await.unwrap();
    let view = behind(&*account, &url, OrderState::Pending).await;
    let challenge = offered(&view.authorizations[0], ChallengeKind::TlsAlpn01);
    let problem = challenge.problem.as_ref().unwrap();
    let at = format!("127.0.0.1:{closed} ");
    assert!(problem.detail.contains(&at), "{problem:?}");
}
