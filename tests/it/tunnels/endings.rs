//! Tunnels and answers in flight end when they are idle, or when their tenant is not served under their name any more.

use tokio::io::AsyncReadExt;
use vestibule::model::DomainPattern;
use vestibule::store::TenantRef;

use super::{HANDSHAKE, echoing, passes, tunnel};
use crate::harness::client::{PATIENCE, Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::http2::Http2;
use crate::harness::upstream::TestUpstream;

/// Tunnels for those who ask, a slow stream for everybody else: a first word at once, and nothing more.
fn lasting() -> TestUpstream {
    TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            match seen.target.as_str() {
                "/socket" => {
                    connection.write(super::SWITCH).await;
                    return super::echo(&mut connection).await;
                }
                "/stream" => {
                    connection
                        .write(
                            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n",
                        )
                        .await;
                    connection.read_to_end().await;
                    return;
                }
                _ => {
                    connection
                        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                        .await
                }
            }
        }
    })
}

/// Everything that can last, for one host: a tunnel, an answer over HTTP/1.1 and one over HTTP/2.
struct Lasting {
    tunnel: Visitor,
    first: Visitor,
    second: (Http2, h2::RecvStream),
}

impl Lasting {
    async fn open(edge: &Edge, host: &str) -> Self {
        let mut first = edge.visit().await;
        first.write(get(host, "/stream", &[])).await;
        assert_eq!(first.status_line().await, Some(200));
        assert_eq!(first.take(10).await, b"5\r\nfirst\r\n");
        let mut http2 = Http2::over(edge.visit().await.into_inner()).await;
        let request = http::Request::get(format!("http://{host}/stream"))
            .body(())
            .unwrap();
        let (answer, _) = http2.open(request, true).await;
        let mut stream = answer.await.unwrap().into_body();
        assert_eq!(stream.data().await.unwrap().unwrap(), "first");
        Self {
            tunnel: tunnel(edge, host).await,
            first,
            second: (http2, stream),
        }
    }

    /// Waits until all of it has been cut, and sees that no answer looks complete.
    async fn cut(mut self) {
        self.tunnel.ended().await;
        assert_eq!(self.first.rest().await, b"", "no last chunk");
        let (_http2, mut stream) = self.second;
        let end = tokio::time::timeout(PATIENCE, stream.data()).await.unwrap();
        let error = end.expect("not a clean end").unwrap_err();
        assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    }

    async fn is_there(&mut self) -> bool {
        let waits = futures_util::FutureExt::now_or_never(self.second.1.data()).is_none();
        passes(&mut self.tunnel).await && waits
    }
}

#[tokio::test]
async fn what_lasts_ends_with_the_tenants_right_to_it() {
    let upstream = lasting();
    let edge = Edge::with(upstream.address)
        .tenants(&[
            "suspended",
            "removed",
            "moving",
            "receiving",
            "leaving",
            "kept",
        ])
        .domain("moving", "moving.test")
        .domain("leaving", "leaving.test")
        .start()
        .await;
    let store = &edge.store;
    let (tenant, pattern) = (
        |slug: &str| slug.parse::<TenantRef>().unwrap(),
        |name: &str| DomainPattern::parse(name).unwrap(),
    );
    let ending = [
        Lasting::open(&edge, "suspended.localhost").await,
        Lasting::open(&edge, "removed.localhost").await,
        Lasting::open(&edge, "moving.test").await,
        Lasting::open(&edge, "leaving.test").await,
    ];
    // Under its other name the same tenant goes on.
    let mut staying = [
        Lasting::open(&edge, "moving.localhost").await,
        Lasting::open(&edge, "leaving.localhost").await,
        Lasting::open(&edge, "receiving.localhost").await,
        Lasting::open(&edge, "kept.localhost").await,
    ];
    store.suspend_tenant(&tenant("suspended")).await.unwrap();
    store.remove_tenant(&tenant("removed")).await.unwrap();
    store
        .move_domain(&pattern("moving.test"), &tenant("receiving"))
        .await
        .unwrap();
    store
        .remove_domain(&pattern("leaving.test"), None)
        .await
        .unwrap();
    store.maintain_tenant(&tenant("kept")).await.unwrap();
    for ending in ending {
        ending.cut().await;
    }
    for staying in &mut staying {
        assert!(staying.is_there().await);
    }
    assert_eq!(edge.comes_to("moving.test", 200).await.status, 200);
    let refused = edge
        .visit()
        .await
        .ask(get("kept.localhost", "/", &HANDSHAKE))
        .await;
    assert_eq!(refused.code(), "tenant_maintenance");
    // Nothing of what was cut is left with the upstream: three each, and one for what was asked in between.
    drop(staying);
    edge.stop().await;
    upstream.until_open(0).await;
}

#[tokio::test]
async fn what_was_cut_no_longer_counts_as_in_flight() {
    let upstream = lasting();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nin_flight = 3")
        .tenants(&["acme"])
        .start()
        .await;
    let acme: TenantRef = "acme".parse().unwrap();
    let lasting = Lasting::open(&edge, "acme.localhost").await;
    let refused = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(refused.code(), "too_many_in_flight");
    edge.store.suspend_tenant(&acme).await.unwrap();
    lasting.cut().await;
    edge.store.resume_tenant(&acme).await.unwrap();
    edge.comes_to("acme.localhost", 200).await;
    Lasting::open(&edge, "acme.localhost").await;
}

#[tokio::test]
async fn an_answer_that_never_pauses_is_cut_all_the_same() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_request().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
        connection
            .write(&[&head[..], &vec![b'x'; 1 << 20]].concat())
            .await;
        connection.pour(&[b'x'; 64 * 1024]).await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut slow = edge.visit().await;
    slow.write(get("acme.localhost", "/", &[])).await;
    assert_eq!(slow.status_line().await, Some(200));
    edge.store
        .suspend_tenant(&"acme".parse().unwrap())
        .await
        .unwrap();
    // Read slowly enough that the upstream is always ahead: a visitor who reads as fast as he can is no test of this.
    let mut stream = slow.into_inner();
    let mut piece = vec![0; 64 * 1024];
    let reading = async {
        while stream.read(&mut piece).await.is_ok_and(|read| read > 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("it ends");
    upstream.until_open(0).await;
}

#[tokio::test]
async fn an_answer_that_its_visitor_does_not_take_is_cut_too() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_request().await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
        connection.write(head).await;
        connection.pour(&[b'x'; 64 * 1024]).await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut first = edge.visit().await;
    first.write(get("acme.localhost", "/", &[])).await;
    assert_eq!(first.status_line().await, Some(200));
    // Never given back, the window of 64 KiB stays shut.
    let mut second = Http2::over(edge.visit().await.into_inner()).await;
    let request = http::Request::get("http://acme.localhost/").body(());
    let answer = second.open(request.unwrap(), true).await.0.await.unwrap();
    // Shut from the beginning.
    let mut third = Http2::with_window(edge.visit().await.into_inner(), 0).await;
    let request = http::Request::get("http://acme.localhost/").body(());
    let nothing = third.open(request.unwrap(), true).await.0.await.unwrap();
    edge.until_metric("vestibule_in_flight_requests", 3.0).await;
    edge.store
        .suspend_tenant(&"acme".parse().unwrap())
        .await
        .unwrap();
    upstream.until_open(0).await;
    edge.until_metric("vestibule_in_flight_requests", 0.0).await;
    drop((first, second, third, answer, nothing));
}

#[tokio::test]
async fn h16_an_idle_tunnel_is_closed_and_its_place_is_free() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .config("[edge.timeouts]\ntunnel = \"200ms\"\n[limits]\nin_flight = 1")
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = tunnel(&edge, "acme.localhost").await;
    visitor.ended().await;
    upstream.until_open(0).await;
    edge.comes_to("acme.localhost", 200).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_either_of_its_ends() {
    let upstream = TestUpstream::script(|mut connection| async move {
        let Some(seen) = connection.read_request().await else {
            return;
        };
        connection.write(super::SWITCH).await;
        match seen.target.as_str() {
            "/reset" => connection.reset().await,
            "/close" => {}
            _ => drop(connection.read_to_end().await),
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for target in ["/reset", "/close"] {
        let mut visitor = edge.visit().await;
        assert_eq!(
            visitor
                .ask(get("acme.localhost", target, &HANDSHAKE))
                .await
                .status,
            101
        );
        visitor.ended().await;
    }
    let mut visitor = edge.visit().await;
    assert_eq!(
        visitor
            .ask(get("acme.localhost", "/", &HANDSHAKE))
            .await
            .status,
        101
    );
    drop(visitor);
    upstream.until_open(0).await;
}
