//! How connections are spread over the data-plane threads, and how those to the upstream are kept.

use http::Request;

use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::http2::{Http2, read};
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

/// Two visitors over HTTP/2 have under way what used to be more than was kept: a part of the connections was opened anew for each wave.
#[tokio::test]
async fn connections_to_the_upstream_outlast_a_wave_of_streams() {
    const STREAMS: usize = 100;
    let upstream = TestUpstream::script(|mut connection| async move {
        while connection.read_request().await.is_some() {
            connection.signal().await;
            connection
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitors = Vec::new();
    for _ in 0..2 {
        visitors.push(Http2::over(edge.visit().await.into_inner()).await);
    }
    for wave in 1..=3 {
        let mut answers = Vec::new();
        for visitor in &mut visitors {
            for _ in 0..STREAMS {
                let request = Request::get("http://acme.localhost/").body(()).unwrap();
                answers.push(visitor.open(request, true).await.0);
            }
        }
        for _ in 0..2 * STREAMS {
            upstream.seen().await;
        }
        upstream.signal();
        for answer in answers {
            assert_eq!(read(answer.await.unwrap()).await.status, 200);
        }
        assert_eq!(upstream.connections(), 2 * STREAMS, "after wave {wave}");
    }
}
