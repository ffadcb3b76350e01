//! Answers that are wrong are refused, and those that are odd are put right.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// The reason for which `bytes` are refused as an answer.
async fn reason(bytes: impl Into<Vec<u8>>) -> &'static str {
    let server = TestUpstream::raw(bytes);
    match Fixture::to(&server).send(get("/")).await {
        Err(SendError::Invalid { reason, .. }) => reason,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn j1_framing_with_two_meanings_is_refused() {
    local(async {
        for fields in [
            "content-length: 5\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked\r\ncontent-length: 5",
            "content-length: 5\r\ncontent-length: 5",
            "content-length: 5\r\ncontent-length: 6",
            "content-length: 5, 5",
            "content-length: +5",
            "content-length: -5",
            "content-length: 0x5",
            "content-length:",
            "content-length: 99999999999999999999",
            "transfer-encoding: gzip",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "transfer-encoding: chunked, identity",
        ] {
            reason(format!(
                "HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ))
            .await;
        }
        reason("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n").await;
    });
}

#[test]
fn j3_a_body_that_is_broken_from_the_start_is_refused() {
    local(async {
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(
            reason(format!("{chunked}zz\r\n")).await,
            "its body is malformed"
        );
        assert_eq!(
            reason(format!("{chunked}-1\r\n")).await,
            "its body is malformed"
        );
        reason(format!("{chunked}fffffffffffffffff\r\n")).await;
    });
}

#[test]
fn j5_a_body_where_none_may_be_is_dropped_and_the_connection_with_it() {
    local(async {
        for (method, head) in [
            ("GET", "204 No Content\r\ncontent-length: 5"),
            ("GET", "204 No Content"),
            ("GET", "304 Not Modified\r\ncontent-length: 5"),
            ("HEAD", "200 OK\r\ncontent-length: 5"),
        ] {
            let server = TestUpstream::raw(format!("HTTP/1.1 {head}\r\n\r\nhello"));
            let fixture = Fixture::to(&server);
            for _ in 0..2 {
                let answer = fixture.send(request(method, "/", none())).await.unwrap();
                let response = whole(answer.response).await;
                assert!(response.body().is_empty());
                let length = response.headers().get("content-length");
                assert_eq!(
                    length.is_some(),
                    head.contains("length") && !head.starts_with("204")
                );
            }
            assert_eq!(server.connections(), 2, "{method} {head}");
        }
    });
}

#[test]
fn j6_ten_interim_answers_are_dropped_and_more_are_refused() {
    local(async {
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let server =
            TestUpstream::raw("HTTP/1.1 100 Continue\r\n\r\n".to_owned() + &hints.repeat(9) + last);
        let fixture = Fixture::to(&server);
        for _ in 0..2 {
            let response = fixture.get().await.unwrap();
            assert_eq!(response.body(), "ok");
            assert!(response.headers().get("link").is_none());
        }
        assert_eq!(server.connections(), 1);
        for flood in [
            hints.repeat(11),
            "HTTP/1.1 102 Processing\r\n\r\n".repeat(5000),
        ] {
            assert_eq!(reason(flood + last).await, "more than ten interim answers");
        }
    });
}

#[test]
fn j7_a_switch_of_protocols_that_was_not_asked_for_is_refused() {
    local(async {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nGET / ";
        let reason = reason(switch).await;
        assert_eq!(reason, "it switches to a protocol that was not asked for");

        for (offered, taken) in [
            ("websocket", "h2c"),
            ("h2c", "websocket"),
            ("websocket", ""),
        ] {
            let answer = format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: {taken}\r\n\r\n");
            let server = TestUpstream::raw(answer);
            let mut request = get("/");
            request
                .headers_mut()
                .insert("upgrade", offered.parse().unwrap());
            let answer = Fixture::to(&server).send(request).await;
            assert!(
                matches!(answer, Err(SendError::Invalid { .. })),
                "{offered} {taken}"
            );
        }
    });
}

#[test]
fn j7_a_switch_that_was_asked_for_gives_the_connection() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await.unwrap();
            c.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\r\nhello")
                .await;
            let said = c.read_exactly(4).await.unwrap();
            c.write(&said).await;
        });
        let fixture = Fixture::to(&server);
        let mut request = get("/");
        request
            .headers_mut()
            .insert("connection", "upgrade".parse().unwrap());
        request
            .headers_mut()
            .insert("upgrade", "websocket".parse().unwrap());
        let answer = fixture.send(request).await.unwrap();
        assert_eq!(answer.response.status(), 101);
        let mut tunnel = answer.tunnel.unwrap();
        tunnel.write_all(b"ping").await.unwrap();
        let mut heard = String::new();
        tunnel.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "helloping");
    });
}

#[test]
fn j7_an_ordinary_answer_to_an_upgrade_is_an_ordinary_answer() {
    local(async {
        let server = TestUpstream::raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
        let fixture = Fixture::to(&server);
        let mut request = get("/");
        request
            .headers_mut()
            .insert("upgrade", "websocket".parse().unwrap());
        let answer = fixture.send(request).await.unwrap();
        assert_eq!(whole(answer.response).await.body(), "no");
        fixture.get().await.unwrap();
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn j8_heads_that_are_no_heads_are_refused() {
    local(async {
        let line = "HTTP/1.1 200 OK\r\n";
        let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
        let long = "a".repeat(500 * 1024);
        assert_eq!(
            reason(format!("{line}{many}\r\n")).await,
            "its head is too large"
        );
        assert_eq!(
            reason(format!("{line}x: {long}\r\n\r\n")).await,
            "its head is too large"
        );
        for bad in [
            format!("{line}x: a\rb\r\n\r\n"),
            format!("{line}x: a\r\n b\r\n\r\n"),
            format!("{line}: a\r\n\r\n"),
            format!("{line}x : a\r\n\r\n"),
            "garbage\r\n\r\n".to_owned(),
            "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(),
            "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
            "HTTP/1.1 99 Low\r\n\r\n".to_owned(),
            "HTTP/1.1 099 Low\r\n\r\n".to_owned(),
        ] {
            assert_eq!(reason(bad).await, "its head is malformed");
        }
    });
}

#[test]
fn j8_a_head_that_ends_early_is_refused() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(b"HTTP/1.1 200 OK\r\nconte").await;
        });
        let error = Fixture::to(&server).get().await.unwrap_err();
        assert!(matches!(
            error,
            SendError::Invalid {
                reason: "it ends within its head",
                ..
            }
        ));
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn j9_a_status_outside_of_http_is_refused() {
    local(async {
        for status in [600, 700, 999] {
            let answer = format!("HTTP/1.1 {status} High\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(reason(answer).await, "its status is not one of HTTP");
        }
    });
}

#[test]
fn j10_an_answer_of_http_1_0_becomes_ours_and_its_connection_is_not_used_again() {
    local(async {
        let server = TestUpstream::raw(
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
        );
        let fixture = Fixture::to(&server);
        for _ in 0..2 {
            let response = fixture.get().await.unwrap();
            assert_eq!(response.version(), http::Version::HTTP_11);
            assert_eq!(response.body(), "ok");
        }
        assert_eq!(server.connections(), 2);
        assert!(
            server
                .requests()
                .iter()
                .all(|seen| seen.raw.starts_with(b"GET / HTTP/1.1\r\n"))
        );
    });
}
