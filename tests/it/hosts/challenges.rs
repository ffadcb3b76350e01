//! What a CA asks for over plain HTTP is answered before host rules and tenants, exactly that and no more (RFC 8555 section 8.3).

use vestibule::model::{ChallengeKind, Hostname, TenantState};
use vestibule::store::Challenge;

use super::{ask, plan};
use crate::certificates::Folder;
use crate::harness::client::{Answer, request};
use crate::harness::edge::Edge;
use crate::harness::http2::Http2;
use crate::harness::postgres;
use crate::harness::upstream::TestUpstream;

const TOKEN: &str = "DGyRejmCefe7v4NfDGDKfA";

fn path() -> String {
    format!("/.well-known/acme-challenge/{TOKEN}")
}

async fn publish(edge: &Edge, name: &str) -> String {
    let challenge = Challenge {
        name: Hostname::parse(name).unwrap(),
        kind: ChallengeKind::Http01,
        token: TOKEN.to_owned(),
        key_authorization: format!("{TOKEN}.thumbprint-of-{name}"),
        expires_at: i64::MAX,
    };
    edge.store.publish_challenge(&challenge).await.unwrap();
    challenge.key_authorization
}

/// The answer to a GET of the token on `host`.
async fn token(edge: &Edge, host: &str) -> Answer {
    ask(edge, &path(), &[format!("Host: {host}").as_bytes()]).await
}

#[tokio::test]
async fn a_ca_is_answered_for_names_that_lead_nowhere_and_whatever_a_tenants_state() {
    let upstream = TestUpstream::echo();
    let folder = Folder::new().with("acme", &["acme.localhost"]);
    let directory = folder.directory.path();
    let tls = format!("[edge]\nhttps = [\"127.0.0.1:0\"]\n[tls]\ndirectory = {directory:?}\n");
    let edge = plan(&upstream)
        .config(&tls)
        .tenant_in("paused", TenantState::Suspended)
        .domain("paused", "paused.test")
        .start()
        .await;
    // Unknown, suspended, sent to TLS, reserved, and the operator's own.
    let names = [
        "new.test",
        "paused.test",
        "acme.localhost",
        "www.localhost",
        "app.localhost",
    ];
    for name in names {
        let expected = publish(&edge, name).await;
        let answer = token(&edge, name).await;
        assert_eq!((answer.status, answer.text()), (200, expected), "{name}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/octet-stream"),
            "{name}"
        );
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn over_http2_and_for_a_head_alone_the_same_is_answered() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream).start().await;
    let expected = publish(&edge, "new.test").await;
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    let asked = http::Request::get(format!("http://new.test{}", path()));
    let answer = visitor.ask(asked.body(()).unwrap()).await;
    assert_eq!((answer.status, answer.text()), (200, expected));
    let head = request("HEAD", "new.test", &path(), &[], b"");
    let mut visitor = edge.visit().await;
    let answer = visitor.write(head).await.reply_to("HEAD").await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[tokio::test]
async fn g15_unknown_tokens_and_other_hosts_go_the_ordinary_way() {
    let upstream = TestUpstream::echo();
    let edge = plan(&upstream).start().await;
    let known = publish(&edge, "new.test").await;
    // Its host names a tenant: the application may have an order of its own under way.
    let answer = token(&edge, "acme.localhost").await;
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.seen().await.target, path());
    assert_ne!(answer.text(), known);
    // Nobody's.
    assert_eq!(token(&edge, "other.test").await.status, 404);
    let twisted = [
        format!("{}/", path()),
        format!("{}?x", path()),
        format!("/.well-known/acme-challenge/../../{TOKEN}"),
        format!("/.well-known/acme-challenge/%2e{TOKEN}"),
        "/.well-known/acme-challenge/DGyRejmCefe7v4NfDGDKfB".to_owned(),
    ];
    for target in &twisted {
        let answer = ask(&edge, target, &[b"Host: new.test"]).await;
        assert_eq!(answer.status, 404, "{target}");
    }
    let post = request("POST", "new.test", &path(), &[], b"");
    assert_eq!(edge.visit().await.ask(post).await.status, 404);
    let two: [&[u8]; 2] = [b"Host: new.test", b"Host: new.test"];
    assert_eq!(ask(&edge, &path(), &two).await.status, 400);
}

#[tokio::test]
async fn g16_the_ca_may_come_to_any_node() {
    let upstream = TestUpstream::echo();
    let url = postgres::database().await;
    let here = plan(&upstream).store(&url).start().await;
    let there = Edge::with(upstream.address).in_fleet_of(&here);
    let there = there.start().await;
    assert_eq!(token(&there, "new.test").await.status, 404);
    let expected = publish(&here, "new.test").await;
    let answer = token(&there, "new.test").await;
    assert_eq!((answer.status, answer.text()), (200, expected));
}
