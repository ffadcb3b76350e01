//! How long a request's body may be, announced or not.

use http::Request;
use vestibule::store::LimitPatch;

use super::rate::patch;
use crate::harness::client::{Visitor, request};
use crate::harness::edge::Edge;
use crate::harness::frames::ask_h2;
use crate::harness::upstream::TestUpstream;

/// An edge whose tenants may send ten bytes.
async fn ten_bytes(upstream: &TestUpstream) -> Edge {
    Edge::with(upstream.address)
        .config("[limits]\nbody = 10")
        .tenants(&["acme"])
        .start()
        .await
}

fn announced(body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    request("POST", "acme.localhost", "/", &[&length], body)
}

fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks {
        body.extend(format!("{:x}\r\n", chunk.len()).bytes());
        body.extend(*chunk);
        body.extend(b"\r\n");
    }
    let coding = &["Transfer-Encoding: chunked"];
    request("POST", "acme.localhost", "/", coding, &body)
}

#[tokio::test]
async fn h17_an_announced_body_that_is_too_long_never_reaches_the_upstream() {
    let upstream = TestUpstream::echo();
    let edge = ten_bytes(&upstream).await;
    let fits = edge.visit().await.ask(announced(b"0123456789")).await;
    assert_eq!(
        (fits.status, &fits.json()["body"]),
        (200, &"0123456789".into())
    );
    assert_eq!(upstream.connections(), 1);
    let mut visitor = edge.visit().await;
    let refused = visitor.ask(announced(b"0123456789a")).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    visitor.ended().await;
    let post = Request::post("http://acme.localhost/");
    let post = post.header("content-length", "11").body(()).unwrap();
    let refused = ask_h2(edge.http(), post, b"0123456789a").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(upstream.requests().len(), 1);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn h17_nobody_is_asked_to_go_on_with_a_body_that_will_be_refused() {
    let upstream = TestUpstream::echo();
    let edge = ten_bytes(&upstream).await;
    let mut visitor = edge.visit().await;
    let lines = &["Content-Length: 11", "Expect: 100-continue"];
    visitor
        .write(request("POST", "acme.localhost", "/", lines, b""))
        .await;
    assert_eq!(visitor.status_line().await, Some(413));
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn h17_chunks_without_end_are_cut_at_the_limit() {
    let upstream = TestUpstream::echo();
    let edge = ten_bytes(&upstream).await;
    let whole = [&chunked(&[b"01234", b"56789"])[..], b"0\r\n\r\n"].concat();
    let fits = edge.visit().await.ask(whole).await;
    assert_eq!(
        (fits.status, &fits.json()["body"]),
        (200, &"0123456789".into())
    );

    let mut visitor = edge.visit().await;
    let refused = visitor.ask(chunked(&[b"01234", b"56789", b"a"])).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    visitor.ended().await;

    let post = Request::post("http://acme.localhost/").body(()).unwrap();
    let refused = ask_h2(edge.http(), post, b"0123456789a").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (413, "body_too_large")
    );
    // What the upstream had begun to read was never finished, and is not taken up again.
    upstream.until_open(0).await;
    assert_eq!(upstream.requests().len(), 1);
    let after = edge.visit().await.ask(announced(b"clean")).await;
    assert_eq!(after.json()["body"], "clean");
}

#[tokio::test]
async fn a_tenants_own_body_limit_is_soon_in_force() {
    let upstream = TestUpstream::echo();
    let edge = ten_bytes(&upstream).await;
    for (limit, wanted) in [(Some(20), 200), (None, 413), (Some(0), 413)] {
        let change = LimitPatch {
            body: Some(limit),
            ..LimitPatch::default()
        };
        let tenant = "acme".parse().unwrap();
        edge.store.set_tenant(&tenant, patch(change)).await.unwrap();
        let length = if limit == Some(0) { 1 } else { 11 };
        while post(&edge, length).await != wanted {}
    }
}

async fn post(edge: &Edge, length: usize) -> u16 {
    let mut visitor: Visitor = edge.visit().await;
    visitor.ask(announced(&vec![b'x'; length])).await.status
}
