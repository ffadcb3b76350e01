//! Connections to an upstream that fail, break, or never say anything.

use std::net::TcpListener;

use super::*;
use crate::harness::identity::TestIdentity;

/// Answers the first request of a connection; reads the second and closes without a word.
fn forgetful() -> TestUpstream {
    TestUpstream::script(|mut connection| async move {
        connection.read_request().await;
        connection.write(WELL).await;
        connection.read_request().await;
    })
}

#[tokio::test]
async fn j12_what_is_safe_to_repeat_is_repeated_once_and_nothing_else() {
    for (method, lines, status, sent) in [
        ("GET", &[][..], 200, 2),
        ("PUT", &["Content-Length: 0"], 200, 2),
        ("DELETE", &[], 200, 2),
        ("POST", &["Content-Length: 0"], 502, 1),
        ("PATCH", &["Content-Length: 0"], 502, 1),
        ("PUT", &["Content-Length: 2"], 502, 1),
    ] {
        let upstream = forgetful();
        let edge = Edge::with(upstream.address)
            .tenants(&["acme"])
            .start()
            .await;
        let mut visitor = edge.visit().await;
        assert_eq!(
            visitor
                .ask(get("acme.localhost", "/first", &[]))
                .await
                .status,
            200
        );
        let body = if lines == ["Content-Length: 2"] {
            &b"hi"[..]
        } else {
            b""
        };
        let answer = visitor
            .ask(request(method, "acme.localhost", "/again", lines, body))
            .await;
        assert_eq!(answer.status, status, "{method} {lines:?}");
        if status != 200 {
            assert_eq!(
                refused(&answer, method),
                (502, "upstream_unreachable".into())
            );
        }
        let again = upstream
            .requests()
            .into_iter()
            .filter(|seen| seen.target == "/again");
        assert_eq!(again.count(), sent, "{method} {lines:?}");
        assert_eq!(
            edge.metric("vestibule_retries_total").await,
            (sent - 1) as f64
        );
        let line = edge.access_lines(2).await.remove(1);
        assert_eq!(
            (&line["status"], &line["retried"]),
            (&status.into(), &(sent == 2).into()),
            "{line}"
        );
    }
}

#[tokio::test]
async fn j12_over_http2_as_well_a_post_goes_out_once() {
    let upstream = forgetful();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    assert_eq!(visitor.ask(url("/first")).await.status, 200);
    let post = Request::post("http://acme.localhost/again")
        .body(())
        .unwrap();
    let answer = visitor.send(post, Some(b"hi"), None).await;
    assert_eq!(
        refused(&answer, "POST"),
        (502, "upstream_unreachable".into())
    );
    let again = upstream
        .requests()
        .into_iter()
        .filter(|seen| seen.target == "/again");
    assert_eq!(again.count(), 1);
}

#[tokio::test]
async fn j13_nobody_there_is_502() {
    let address = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .unwrap();
    let edge = Edge::with(address).tenants(&["acme"]).start().await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(refused(&answer, "h1"), (502, "upstream_unreachable".into()));
    let mut second = Http2::over(edge.visit().await.into_inner()).await;
    assert_eq!(
        refused(&second.ask(url("/")).await, "h2"),
        (502, "upstream_unreachable".into())
    );
    assert!(
        !answer.text().contains(&address.port().to_string()),
        "{}",
        answer.text()
    );
}

/// Toml for an upstream over TLS.
fn secure(address: std::net::SocketAddr, identity: &TestIdentity, more: &str) -> Plan {
    let plan = Edge::with(address).tenants(&["acme"]);
    plan.config_behind(&format!("ca_file = {:?}\n{more}", identity.ca_file()))
        .over_tls()
}

#[tokio::test]
async fn an_upstream_over_tls_proves_its_name_by_a_ca_of_its_own() {
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let upstream = TestUpstream::answering_tls(&identity.server, |seen| Reply::text(&seen.target));
    let edge = secure(upstream.address, &identity, "").start().await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/x", &[]))
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "/x"));
    let seen = upstream.seen().await;
    assert_eq!(
        (seen.header("host"), seen.header("x-tenant-slug")),
        (Some("acme.localhost"), Some("acme"))
    );
}

#[tokio::test]
async fn j13_a_wrong_name_or_an_unknown_ca_is_502_and_nothing_is_sent() {
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let (elsewhere, stranger) = (
        TestIdentity::of(&["other.internal"]),
        TestIdentity::of(&["127.0.0.1"]),
    );
    for (server, trusted) in [(&elsewhere, &elsewhere), (&stranger, &identity)] {
        let upstream = TestUpstream::answering_tls(&server.server, |_| Reply::text("no"));
        let edge = secure(upstream.address, trusted, "").start().await;
        let answer = edge
            .visit()
            .await
            .ask(get("acme.localhost", "/", &[]))
            .await;
        assert_eq!(refused(&answer, "h1"), (502, "upstream_unreachable".into()));
        let mut second = Http2::over(edge.visit().await.into_inner()).await;
        assert_eq!(
            refused(&second.ask(url("/")).await, "h2"),
            (502, "upstream_unreachable".into())
        );
        assert!(upstream.requests().is_empty());
        let failed = "vestibule_upstream_requests_total{result=\"tls\",upstream=\"default\"}";
        assert_eq!(edge.metric(failed).await, 2.0);
        let reason = edge.access_lines(1).await.remove(0)["reason"].to_string();
        assert!(reason.contains("certificate"), "{reason}");
    }
}

#[tokio::test]
async fn j13_a_handshake_that_never_ends_is_504() {
    let silent = TestUpstream::script(|mut connection| async move {
        connection.read_to_end().await;
    });
    let identity = TestIdentity::of(&["127.0.0.1"]);
    let timeouts = "[upstream.timeouts]\nconnect = \"200ms\"";
    let edge = secure(silent.address, &identity, timeouts).start().await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(refused(&answer, "h1"), (504, "upstream_timeout".into()));
    silent.until_open(0).await;
}

#[tokio::test]
async fn j14_who_never_answers_is_given_up() {
    let timeouts = |plan: Plan| plan.config_behind("[upstream.timeouts]\nresponse = \"200ms\"");
    let drip = b"HTTP/1.1 200 OK\r\nx-slow".to_vec();
    let bench = Bench::with(
        vec![(Vec::new(), Then::Waits), (drip, Then::Waits)],
        timeouts,
    )
    .await;
    for case in 0..2 {
        for answer in bench.both(case).await {
            assert_eq!(
                refused(&answer, "silence"),
                (504, "upstream_timeout".into()),
                "{case}"
            );
        }
    }
    let timed_out =
        "vestibule_upstream_requests_total{result=\"response_timeout\",upstream=\"default\"}";
    assert_eq!(bench.edge.metric(timed_out).await, 4.0);
}

#[tokio::test]
async fn j14_a_body_that_stalls_is_cut() {
    let timeouts = |plan: Plan| plan.config_behind("[upstream.timeouts]\nidle = \"200ms\"");
    let stalled = |fields: &str, body: &str| {
        (
            format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}").into_bytes(),
            Then::Waits,
        )
    };
    let cases = vec![
        stalled("Content-Length: 100", "half"),
        stalled("Transfer-Encoding: chunked", "4\r\nhalf\r\n"),
    ];
    let bench = Bench::with(cases, timeouts).await;
    for case in 0..2 {
        for answer in bench.both(case).await {
            assert_eq!((answer.status, answer.complete), (200, false), "{case}");
            assert!(answer.text().contains("half"));
        }
    }
}

#[tokio::test]
async fn an_answer_goes_to_its_own_request_whoever_was_there_before() {
    // A visitor leaves in the middle of an answer; the next one gets his own.
    let upstream = TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            let name = seen.header("x-name").unwrap().to_owned();
            if name == "leaver" {
                connection
                    .write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nleaver")
                    .await;
                connection.signal().await;
                connection.write(b"late").await;
                continue;
            }
            connection
                .write(
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
                        name.len()
                    )
                    .as_bytes(),
                )
                .await;
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut leaver = edge.visit().await;
    leaver
        .write(get("acme.localhost", "/", &["X-Name: leaver"]))
        .await;
    assert_eq!(leaver.status_line().await, Some(200));
    drop(leaver);
    upstream.until_open(1).await;
    upstream.signal();
    for name in ["one", "two"] {
        let answer = edge
            .visit()
            .await
            .ask(get("acme.localhost", "/", &[&format!("X-Name: {name}")]))
            .await;
        assert_eq!(answer.text(), name);
    }
}
