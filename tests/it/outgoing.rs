//! Requests of our own to others' servers.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use vestibule::outgoing::{Outgoing, OutgoingError, TrustError, USER_AGENT, trusting};

use crate::harness::identity::TestIdentity;
use crate::harness::upstream::{Reply, TestUpstream};

const LIMIT: usize = 1000;

fn outgoing(identity: &TestIdentity) -> Outgoing {
    let tls = trusting(Some(identity.ca_file())).unwrap();
    Outgoing::new(tls, Duration::from_secs(20), LIMIT)
}

fn asked(upstream: &TestUpstream, path: &str) -> Request<Bytes> {
    let url = format!("https://{}{path}", upstream.address);
    Request::get(url).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn we_say_who_we_are_and_keep_the_connection() {
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let server = TestUpstream::answering_tls(&identity.server, |seen| Reply::text(&seen.target));
    let outgoing = outgoing(&identity);
    for path in ["/a", "/b?c"] {
        let answer = outgoing.send(asked(&server, path)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.body(), path);
        let seen = server.seen().await;
        assert_eq!(seen.header("user-agent"), Some(USER_AGENT));
        let host = server.address.to_string();
        assert_eq!(seen.header("host"), Some(host.as_str()));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn an_answer_may_be_so_long_and_no_longer() {
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let server = TestUpstream::answering_tls(&identity.server, |seen| {
        let length = seen.target.trim_start_matches('/').parse().unwrap();
        Reply::text(&"x".repeat(length))
    });
    let outgoing = outgoing(&identity);
    let answer = outgoing.send(asked(&server, "/1000")).await.unwrap();
    assert_eq!(answer.body().len(), LIMIT);
    let refused = outgoing.send(asked(&server, "/1001")).await.unwrap_err();
    assert!(matches!(refused, OutgoingError::TooLarge(LIMIT)));
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_or_to_strangers() {
    let plain = TestUpstream::echo();
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let outgoing = outgoing(&identity);
    let url = format!("http://{}/", plain.address);
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let refused = outgoing.send(request).await.unwrap_err();
    assert!(matches!(refused, OutgoingError::Unreachable(_)));
    assert_eq!(plain.connections(), 0);

    let stranger = TestIdentity::of(&["127.0.0.1"]);
    let other_name = TestIdentity::of(&["elsewhere.example"]);
    for (server, believed) in [(&stranger, &identity), (&other_name, &other_name)] {
        let server = TestUpstream::answering_tls(&server.server, |_| Reply::text("hello"));
        let refused = self::outgoing(believed).send(asked(&server, "/")).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, OutgoingError::Unreachable(_)));
        assert!(refused.source().is_some());
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn nobody_is_followed_elsewhere() {
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let other = TestUpstream::answering_tls(&identity.server, |_| Reply::text("hello"));
    let to = format!("https://{}/", other.address);
    let server = TestUpstream::answering_tls(&identity.server, move |_| {
        Reply::status(307).header("location", &to)
    });
    let refused = outgoing(&identity).send(asked(&server, "/")).await;
    assert!(matches!(
        refused,
        Err(OutgoingError::Redirect(StatusCode::TEMPORARY_REDIRECT))
    ));
    assert_eq!(other.connections(), 0);
}

#[test]
fn a_file_of_cas_must_hold_one() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    let trusting = || trusting(Some(&file)).unwrap_err();
    assert!(matches!(trusting(), TrustError::File { .. }));
    std::fs::write(&file, "nothing\n").unwrap();
    assert!(matches!(trusting(), TrustError::Empty { .. }));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, cut).unwrap();
    assert!(matches!(trusting(), TrustError::NotACa { .. }));
    std::fs::write(&file, &cut[..40]).unwrap();
    assert!(matches!(trusting(), TrustError::File { .. }));
}
