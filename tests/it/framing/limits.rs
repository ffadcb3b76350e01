//! Sizes: the same over HTTP/1.1 and HTTP/2.

use http::Request;

use super::{echo, only_answer, post};
use crate::harness::client::{Answer, get};
use crate::harness::edge::Edge;
use crate::harness::http2::Http2;
use crate::harness::upstream::TestUpstream;

/// The same request over both protocols: status and code.
async fn both(edge: &Edge, path: &str, fields: &[(String, String)]) -> [(u16, String); 2] {
    let lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let first = edge
        .visit()
        .await
        .ask(get("acme.localhost", path, &lines))
        .await;
    let mut request = Request::get(format!("http://acme.localhost{path}"));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    let second = Http2::over(edge.visit().await.into_inner())
        .await
        .ask(request.body(()).unwrap())
        .await;
    [first, second].map(|answer| (answer.status, code(&answer)))
}

/// The code of a refusal; nothing for an answer, or where the codec itself refused.
fn code(answer: &Answer) -> String {
    if answer.status == 200 || answer.body.is_empty() {
        String::new()
    } else {
        answer.code()
    }
}

fn fields(count: usize, size: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|number| (format!("x-{number}"), "v".repeat(size)))
        .collect()
}

#[tokio::test]
async fn e8_an_address_has_at_most_8_kib() {
    let (upstream, edge) = echo().await;
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    for answer in both(&edge, &path(8192), &[]).await {
        assert_eq!(answer.0, 200);
        assert_eq!(upstream.seen().await.target.len(), 8192);
    }
    for length in [8193, 40_000] {
        for answer in both(&edge, &path(length), &[]).await {
            assert_eq!(answer, (414, "uri_too_long".to_owned()), "{length}");
        }
    }
    // Longer than the codec takes.
    let answer = only_answer(&edge, &get("acme.localhost", &path(70_000), &[])).await;
    assert_eq!(answer.status, 414);
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn h5_a_head_has_at_most_100_fields() {
    let (upstream, edge) = echo().await;
    // `Host` is one of them over HTTP/1.1; over HTTP/2 it is a pseudo-field.
    for answer in both(&edge, "/", &fields(99, 1)).await {
        assert_eq!(answer.0, 200);
    }
    for answer in both(&edge, "/", &fields(101, 1)).await {
        assert_eq!(answer, (431, "headers_too_large".to_owned()));
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn h5_a_field_has_at_most_16_kib_and_a_head_32() {
    let (upstream, edge) = echo().await;
    for answer in both(&edge, "/", &fields(1, 16_000))
        .await
        .into_iter()
        .chain(both(&edge, "/", &fields(30, 1000)).await)
    {
        assert_eq!(answer.0, 200);
    }
    let too_large = (431, "headers_too_large".to_owned());
    for (count, size) in [(1, 17_000), (3, 12_000), (40, 1000), (3, 25_000)] {
        for answer in both(&edge, "/", &fields(count, size)).await {
            assert_eq!(answer, too_large, "{count} of {size}");
        }
    }
    // More than the codecs take.
    for answer in both(&edge, "/", &fields(8, 14_000)).await {
        assert_eq!(answer.0, 431);
    }
    assert_eq!(upstream.requests().len(), 4);
}

const SMALL: &str = "[limits]\nbody = \"1KiB\"\n";

#[tokio::test]
async fn h17_a_body_that_announces_too_much_is_refused_at_its_head() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .config(SMALL)
        .start()
        .await;
    let mut visitor = edge.visit().await;
    assert_eq!(
        visitor
            .ask(post(&["Content-Length: 1024"], &"a".repeat(1024)))
            .await
            .status,
        200
    );
    assert_eq!(upstream.seen().await.body.len(), 1024);
    let answer = only_answer(
        &edge,
        &post(&["Content-Length: 1025", "Expect: 100-continue"], ""),
    )
    .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    let request = Request::post("http://acme.localhost/")
        .header("content-length", "1025")
        .body(())
        .unwrap();
    let answer = Http2::over(edge.visit().await.into_inner())
        .await
        .send(request, Some(&[0; 1025]), None)
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn h17_a_body_without_an_end_is_cut_where_it_grows_too_long() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .config(SMALL)
        .start()
        .await;
    let chunk = format!("200\r\n{}\r\n", "a".repeat(0x200));
    let answer = only_answer(
        &edge,
        &post(&["Transfer-Encoding: chunked"], &chunk.repeat(3)),
    )
    .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    upstream.until_open(0).await;
    let request = Request::post("http://acme.localhost/").body(()).unwrap();
    let answer = Http2::over(edge.visit().await.into_inner())
        .await
        .send(request, Some(&[0; 3000]), None)
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    upstream.until_open(0).await;
    assert!(upstream.requests().is_empty());
}
