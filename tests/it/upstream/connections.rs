//! Which connections are used again, and when they are closed.

use super::*;
use crate::harness::upstream::Reply;

#[test]
fn one_after_the_other_uses_one_connection() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::to(&server);
        for target in ["/a", "/b?c=d", "/e"] {
            whole(fixture.send(get(target)).await.unwrap().response).await;
            assert_eq!(server.seen().await.target, target);
        }
        assert_eq!(server.connections(), 1);
        assert!(
            fixture
                .counted()
                .contains(r#"result="ok",upstream="app"} 3"#)
        );
    });
}

#[test]
fn at_the_same_time_uses_several_and_keeps_as_many_as_may_wait() {
    local(async {
        let server = TestUpstream::answering(|_| Reply::text("ok"));
        let fixture = Fixture::with(&[server.address], |config| config.idle_connections = 1);
        let (one, other) = tokio::join!(fixture.send(get("/")), fixture.send(get("/")));
        assert_eq!(server.connections(), 2);
        whole(one.unwrap().response).await;
        whole(other.unwrap().response).await;
        server.until_open(1).await;
    });
}

#[test]
fn a_connection_that_waited_too_long_is_closed() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::with(&[server.address], |config| {
            config.timeouts.keep_alive = Duration::from_millis(20);
        });
        fixture.get().await.unwrap();
        server.until_open(0).await;
        fixture.get().await.unwrap();
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn j4_bytes_behind_the_body_cost_the_connection() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nx-evil: 1\r\ncontent-length: 4\r\n\r\nevil").await;
            c.read_to_end().await;
        });
        let fixture = Fixture::to(&server);
        for _ in 0..2 {
            let response = fixture.get().await.unwrap();
            assert_eq!(response.body(), "ok");
            assert!(response.headers().get("x-evil").is_none());
        }
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn j4_bytes_on_a_connection_that_waits_cost_it() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            c.signal().await;
            c.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
                .await;
            c.read_to_end().await;
        });
        let fixture = Fixture::to(&server);
        assert_eq!(fixture.get().await.unwrap().body(), "ok");
        server.signal();
        server.until_open(0).await;
        assert_eq!(fixture.get().await.unwrap().body(), "ok");
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn an_answer_that_says_close_is_taken_at_its_word() {
    local(async {
        let server = TestUpstream::raw(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        );
        let fixture = Fixture::to(&server);
        fixture.get().await.unwrap();
        fixture.get().await.unwrap();
        assert_eq!(server.connections(), 2);
    });
}

#[test]
fn whoever_stops_listening_closes_the_connection() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            if c.read_request().await.unwrap().target == "/body" {
                c.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                    .await;
            }
            c.read_to_end().await;
        });
        let fixture = Fixture::to(&server);
        let answer = fixture.send(get("/body")).await.unwrap();
        drop(answer);
        server.until_open(0).await;
        server.seen().await;

        let waiting = fixture.send(get("/never"));
        tokio::select! {
            _ = waiting => panic!("there was no answer"),
            seen = server.seen() => assert_eq!(seen.target, "/never"),
        }
        server.until_open(0).await;
        assert!(
            fixture
                .counted()
                .contains(r#"result="canceled",upstream="app"} 1"#)
        );
    });
}

#[test]
fn a_pool_that_goes_takes_its_connections_along() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::to(&server);
        fixture.get().await.unwrap();
        drop(fixture);
        server.until_open(0).await;
    });
}

#[test]
fn connections_are_counted_by_state() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::with(&[server.address], |config| {
            config.timeouts.keep_alive = Duration::from_millis(400);
        });
        let idle =
            |count| format!(r#"upstream_connections{{state="idle",upstream="app"}} {count}"#);
        fixture.get().await.unwrap();
        // Counted now and then, and closed some time after that.
        for count in [1, 0] {
            while !fixture.counted().contains(&idle(count)) {
                tokio::task::yield_now().await;
            }
        }
        server.until_open(0).await;
    });
}
