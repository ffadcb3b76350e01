//! Page or document: what `Accept` says, wherever it says it.

use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

#[tokio::test]
async fn several_accept_fields_are_one_list() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address).start().await;
    for (fields, page) in [
        (["Accept: application/xml", "Accept: text/html"], true),
        (
            ["Accept: text/html;q=0.2", "Accept: application/json"],
            false,
        ),
        (["Accept: text/html", "Accept: application/json"], true),
    ] {
        let asked = get("nobody.localhost", "/", &fields);
        let answer = edge.visit().await.ask(asked).await;
        assert_eq!(answer.status, 404);
        let html = answer.header("content-type") == Some("text/html; charset=utf-8");
        assert_eq!(html, page, "{fields:?}: {:?}", answer.headers);
    }
}
