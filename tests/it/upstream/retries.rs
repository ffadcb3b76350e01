//! What is sent twice, and what never is.

use super::*;
use crate::harness::upstream::Connection;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Answers the first request of a connection; reads the second and closes without a word.
async fn once(mut c: Connection) {
    c.read_request().await;
    c.write(OK).await;
    c.read_request().await;
}

#[test]
fn j12_a_waiting_connection_that_was_closed_is_not_used() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(OK).await;
        });
        let fixture = Fixture::to(&server);
        for _ in 0..3 {
            let answer = fixture.send(request("POST", "/", full("x"))).await.unwrap();
            assert!(!answer.retried);
            whole(answer.response).await;
            server.until_open(0).await;
            // Any wait lets the runtime look at its sockets, where the close has arrived by now.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.connections(), 3);
    });
}

#[test]
fn j12_what_is_safe_is_sent_again_once() {
    local(async {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
            let server = TestUpstream::script(once);
            let fixture = Fixture::to(&server);
            fixture.get().await.unwrap();
            let answer = fixture
                .send(request(method, "/again", none()))
                .await
                .unwrap();
            assert!(answer.retried);
            let seen = server.requests();
            assert_eq!(seen.len(), 3);
            assert_eq!(seen[1].raw, seen[2].raw);
            assert_eq!((seen[1].connection, seen[2].connection), (0, 1));
            assert!(fixture.counted().contains("vestibule_retries_total 1"));
        }
    });
}

#[test]
fn j12_what_is_not_safe_is_not_sent_again() {
    local(async {
        for (method, body) in [
            ("POST", none()),
            ("PATCH", none()),
            ("PUT", full("x")),
            ("GET", full("x")),
        ] {
            let server = TestUpstream::script(once);
            let fixture = Fixture::to(&server);
            fixture.get().await.unwrap();
            let error = fixture.send(request(method, "/", body)).await.unwrap_err();
            assert!(
                matches!(error, SendError::Closed { .. }),
                "{method}: {error:?}"
            );
            assert_eq!(server.requests().len(), 2);
            assert_eq!(server.connections(), 1);
        }
    });
}

#[test]
fn j12_nothing_is_sent_a_third_time_nor_a_second_on_a_fresh_connection() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            if c.number == 0 {
                c.write(OK).await;
                c.read_request().await;
            }
        });
        let fixture = Fixture::to(&server);
        fixture.get().await.unwrap();
        let error = fixture.get().await.unwrap_err();
        assert!(matches!(error, SendError::Closed { .. }));
        assert_eq!(server.requests().len(), 3);
        let error = fixture.get().await.unwrap_err();
        assert!(matches!(error, SendError::Closed { .. }));
        assert_eq!(server.requests().len(), 4);
    });
}

#[test]
fn j12_one_byte_of_an_answer_forbids_another_try() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(OK).await;
            c.read_request().await;
            c.write(b"H").await;
        });
        let fixture = Fixture::to(&server);
        fixture.get().await.unwrap();
        let error = fixture.get().await.unwrap_err();
        assert!(matches!(error, SendError::Invalid { .. }), "{error:?}");
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn j12_a_reset_is_as_good_as_a_close() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(OK).await;
            if c.number == 0 {
                c.read_head().await;
                c.reset().await;
            } else {
                c.read_to_end().await;
            }
        });
        let fixture = Fixture::to(&server);
        fixture.get().await.unwrap();
        assert_eq!(fixture.get().await.unwrap().body(), "ok");
        assert_eq!(server.connections(), 2);
    });
}
