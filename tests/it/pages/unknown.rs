//! Who is not there cannot be told from who may not be seen.

use crate::harness::client::{Answer, get};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

/// All of an answer but what differs from request to request.
fn normalised(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").unwrap();
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| {
        !name.eq_ignore_ascii_case("x-request-id") && !name.eq_ignore_ascii_case("date")
    });
    (answer.status, headers, answer.text().replace(id, "ID"))
}

#[tokio::test]
async fn unknown_reserved_and_malformed_names_get_the_same_404_to_the_byte() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "gone"])
        .start()
        .await;
    edge.store
        .remove_tenant(&"gone".parse().unwrap())
        .await
        .unwrap();
    while edge
        .visit()
        .await
        .ask(get("gone.localhost", "/", &[]))
        .await
        .status
        != 410
    {}
    edge.clock.shift(91 * 24 * 3600 * 1000);
    for accept in ["Accept: application/json", "Accept: text/html"] {
        let mut first = None;
        for (host, path) in [
            ("nobody.localhost", "/"),
            ("www.localhost", "/"),
            ("a--b.localhost", "/"),
            ("a_b.localhost", "/"),
            ("two.labels.localhost", "/"),
            ("localhost", "/"),
            ("gone.localhost", "/"),
            ("nobody.example", "/"),
            ("nobody", "/"),
            ("app.localhost", "/"),
            ("app.localhost", "/t/nobody/"),
            ("app.localhost", "/t/www/"),
            ("app.localhost", "/t/A--B/"),
            ("app.localhost", "/t/gone/x"),
        ] {
            let answer = edge.visit().await.ask(get(host, path, &[accept])).await;
            let answer = normalised(&answer);
            let first = first.get_or_insert_with(|| answer.clone());
            assert_eq!(&answer, first, "{host}{path}");
            assert_eq!(answer.0, 404, "{host}{path}");
        }
    }
    assert_eq!(upstream.connections(), 0);
}
