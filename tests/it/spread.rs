//! How connections are spread over the data-plane threads.

use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

#[tokio::test]
async fn few_connections_leave_no_thread_idle() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[edge]\nworkers = 4")
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitors = Vec::new();
    for _ in 0..8 {
        let mut visitor = edge.visit().await;
        let answer = visitor.ask(get("acme.localhost", "/", &[])).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        visitors.push(visitor);
    }
    // One request at a time: a thread that has a connection to the upstream uses it again, and none uses another's.
    assert_eq!(upstream.connections(), 4);
}
