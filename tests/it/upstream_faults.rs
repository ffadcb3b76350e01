//! Attacks J as visitors see them, over HTTP/1.1 and HTTP/2: what an application server does wrong never looks right.

use std::sync::Arc;

use http::Request;

use crate::harness::client::{Answer, get, request};
use crate::harness::edge::{Edge, Plan};
use crate::harness::http2::Http2;
use crate::harness::upstream::{Reply, TestUpstream};

mod answers;
mod exchanges;

/// What an upstream does with its connection after an answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Waits for the next request.
    Waits,
    /// Closes it.
    Closes,
    /// Resets it.
    Resets,
}

/// An edge before an upstream that answers `/N` with the bytes of case N, and all else with `well`.
struct Bench {
    edge: Edge,
    _upstream: TestUpstream,
}

impl Bench {
    async fn of(cases: Vec<(Vec<u8>, Then)>) -> Self {
        Self::with(cases, |plan| plan).await
    }

    async fn with(cases: Vec<(Vec<u8>, Then)>, change: impl FnOnce(Plan) -> Plan) -> Self {
        let cases = Arc::new(cases);
        let upstream = TestUpstream::script(move |mut connection| {
            let cases = Arc::clone(&cases);
            async move {
                while let Some(seen) = connection.read_request().await {
                    let case = seen.target[1..].parse::<usize>().ok();
                    let Some((bytes, then)) = case.map(|case| &cases[case]) else {
                        connection.write(WELL).await;
                        continue;
                    };
                    connection.write(bytes).await;
                    match then {
                        Then::Waits => {}
                        Then::Closes => return,
                        Then::Resets => return connection.reset().await,
                    }
                }
            }
        });
        let plan = Edge::with(upstream.address).tenants(&["acme"]);
        let edge = change(plan).start().await;
        Self {
            edge,
            _upstream: upstream,
        }
    }

    /// Asks over HTTP/1.1, on a connection of its own.
    async fn first(&self, path: &str, lines: &[&str]) -> Answer {
        let request = get("acme.localhost", path, lines);
        self.edge.visit().await.ask(request).await
    }

    /// Asks over HTTP/2, on a connection of its own.
    async fn second(&self, path: &str) -> Answer {
        let mut visitor = Http2::over(self.edge.visit().await.into_inner()).await;
        let answer = visitor.ask(url(path)).await;
        // Whatever became of one stream, the next one is served.
        assert_eq!(visitor.ask(url("/well")).await.text(), "well");
        answer
    }

    async fn both(&self, case: usize) -> [Answer; 2] {
        let path = format!("/{case}");
        [self.first(&path, &[]).await, self.second(&path).await]
    }
}

const WELL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

fn url(path: &str) -> Request<()> {
    Request::get(format!("http://acme.localhost{path}"))
        .body(())
        .unwrap()
}

/// Status, code, and that `Proxy-Status` says who answered and what went wrong.
#[track_caller]
fn refused(answer: &Answer, what: &str) -> (u16, String) {
    let status = answer.header("proxy-status").unwrap_or_default();
    let code = answer.code();
    assert!(status.starts_with("test-node; error="), "{what}: {status}");
    assert!(
        status.ends_with(&format!("details={code:?}")),
        "{what}: {status}"
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    (answer.status, code)
}
