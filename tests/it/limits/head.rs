//! How long a request's head may be, the same over both protocols.

use http::Request;

use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::frames::ask_h2;
use crate::harness::upstream::TestUpstream;

const KIB: usize = 1024;

/// What a head may hold besides the host, and the status it gets.
fn heads() -> Vec<(&'static str, String, Vec<String>, u16)> {
    let field = |length: usize| format!("X-Long: {}", "v".repeat(length));
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: v")).collect();
    let path = |length: usize| format!("/{}", "p".repeat(length - 1));
    vec![
        ("one long field", "/".into(), vec![field(15 * KIB)], 200),
        ("one field too long", "/".into(), vec![field(17 * KIB)], 431),
        ("much in all", "/".into(), vec![field(10 * KIB); 3], 200),
        ("too much in all", "/".into(), vec![field(11 * KIB); 3], 431),
        ("ninety fields", "/".into(), fields(90), 200),
        ("a hundred and one fields", "/".into(), fields(101), 431),
        ("a long path", path(8 * KIB), vec![], 200),
        ("a path too long", path(8 * KIB + 1), vec![], 414),
        ("a long query", format!("/?{}", path(8 * KIB)), vec![], 414),
    ]
}

#[tokio::test]
async fn h5_heads_are_bounded_over_http_1() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for (what, path, lines, wanted) in heads() {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let before = upstream.requests().len();
        let answer = edge
            .visit()
            .await
            .ask(get("acme.localhost", &path, &lines))
            .await;
        assert_eq!(answer.status, wanted, "{what}: {}", answer.text());
        let reached = upstream.requests().len() - before;
        assert_eq!(reached == 1, wanted == 200, "{what}");
    }
}

#[tokio::test]
async fn h5_heads_are_bounded_over_http_2() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for (what, path, lines, wanted) in heads() {
        let mut request = Request::get(format!("http://acme.localhost{path}"));
        for line in &lines {
            let (name, value) = line.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        let before = upstream.requests().len();
        let answer = ask_h2(edge.http(), request.body(()).unwrap(), b"").await;
        assert_eq!(answer.status, wanted, "{what}: {}", answer.text());
        let reached = upstream.requests().len() - before;
        assert_eq!(reached == 1, wanted == 200, "{what}");
    }
}

#[tokio::test]
async fn h5_a_head_of_400_kib_is_not_read_to_its_end() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let lines = vec![format!("X-Long: {}", "v".repeat(40 * KIB)); 10];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    visitor.write(get("acme.localhost", "/", &lines)).await;
    // The reset for what was not read may overtake the answer.
    if let Some(answer) = visitor.reply_to("GET").await {
        assert_eq!(answer.status, 431);
    }
    visitor.ended().await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn h5_a_long_method_is_part_of_the_head() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for (length, wanted) in [(KIB, 200), (40 * KIB, 431)] {
        let request = request(&"M".repeat(length), "acme.localhost", "/", &[], b"");
        let answer = edge.visit().await.ask(request).await;
        assert_eq!(answer.status, wanted, "{}", answer.text());
    }
    assert_eq!(upstream.requests().len(), 1);
}
