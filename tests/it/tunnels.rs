//! WebSocket tunnels: what opens one, what does not, and what ends one.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::harness::assertion::Assertion;
use crate::harness::client::{Answer, Visitor, get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::{Connection, TestUpstream};

mod endings;
mod newcomers;

/// RFC 6455 section 1.2
const HANDSHAKE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Tenant-Id: evil\r\n\r\n";

/// Opens a tunnel for whoever asks for one, and sends every byte back; anything else is answered 200.
fn echoing() -> TestUpstream {
    TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            if seen.header("upgrade").is_none() {
                connection
                    .write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nordinary")
                    .await;
                continue;
            }
            connection.write(SWITCH).await;
            echo(&mut connection).await;
            return;
        }
    })
}

async fn echo(connection: &mut Connection) {
    while let Some(byte) = connection.read_exactly(1).await {
        connection.write(&byte).await;
    }
}

/// A visitor with a tunnel to the upstream of `host`.
async fn tunnel(edge: &Edge, host: &str) -> Visitor {
    let mut visitor = edge.visit().await;
    let answer = visitor.ask(get(host, "/socket", &HANDSHAKE)).await;
    assert_eq!(answer.status, 101, "{host}: {answer:?}");
    visitor
}

async fn passes<S: AsyncRead + AsyncWrite + Unpin>(visitor: &mut Visitor<S>) -> bool {
    visitor.write(b"ping").await;
    visitor.take(4).await == b"ping"
}

#[tokio::test]
async fn a_handshake_goes_on_with_the_identity() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let more = ["Sec-WebSocket-Protocol: chat", "Cookie: a=b"];
    let lines = [&HANDSHAKE[..], &more].concat();
    let request = get("acme.localhost", "/socket?x", &lines);
    let answer = edge.visit().await.ask(request).await;
    assert_eq!((answer.status, answer.version.as_str()), (101, "HTTP/1.1"));
    for (name, value) in [
        ("connection", Some("upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("x-tenant-id", None),
    ] {
        assert_eq!(answer.header(name), value);
    }
    assert!(answer.header("x-request-id").is_some());

    let seen = upstream.seen().await;
    assert_eq!(seen.target, "/socket?x");
    assert_eq!(Assertion::of(&seen).claims["slug"], "acme");
    for (name, value) in [
        ("host", "acme.localhost"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "chat"),
        ("cookie", "a=b"),
        ("x-tenant-slug", "acme"),
    ] {
        assert_eq!(seen.header(name), Some(value));
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_and_each_side_ends_for_itself() {
    const MANY: usize = 1 << 20;
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_request().await.unwrap();
        connection.write(SWITCH).await;
        assert_eq!(connection.read_exactly(1).await.unwrap(), b"v");
        connection.write(&vec![b'u'; MANY]).await;
        let rest = connection.read_exactly(MANY - 1).await.unwrap();
        assert!(rest.iter().all(|byte| *byte == b'v'));
        connection.write(b"!").await;
        assert_eq!(connection.read_to_end().await, b"bye");
        connection.write(b"bye yourself").await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut stream = tunnel(&edge, "acme.localhost").await.into_inner();
    let (reading, writing) = stream.split();
    let mut writing = Visitor::over(tokio::io::join(tokio::io::empty(), writing));
    let mut reading = Visitor::over(tokio::io::join(reading, tokio::io::sink()));
    let (_, received) = tokio::join!(writing.write(vec![b'v'; MANY]), reading.take(MANY + 1));
    let (last, all) = received.split_last().unwrap();
    assert!(all.iter().all(|byte| *byte == b'u') && *last == b'!');
    writing.write("bye").await;
    stream.shutdown().await.unwrap();
    assert_eq!(Visitor::over(stream).rest().await, b"bye yourself");

    let line = edge.access_lines(1).await.remove(0);
    assert_eq!(line["status"], 101, "{line}");
    let labels = "listener=\"http\",refusal=\"\",status_class=\"1xx\",via=\"subdomain\"";
    let series = format!("vestibule_http_requests_total{{{labels}}}");
    assert_eq!(edge.metric(&series).await, 1.0);
}

#[tokio::test]
async fn j7_what_comes_behind_a_handshake_waits_for_the_answer_to_it() {
    let upstream = TestUpstream::script(|mut connection| async move {
        let handshake = connection.read_request().await.unwrap();
        assert!(handshake.raw.ends_with(b"\r\n\r\n"));
        match handshake.target.as_str() {
            "/opened" => {
                connection.write(SWITCH).await;
                assert_eq!(connection.read_exactly(5).await.unwrap(), b"early");
                connection.write(b"late").await;
            }
            _ => {
                connection
                    .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno")
                    .await;
                // Had it been sent on early it would stand here without an identity, or with a false one.
                while let Some(next) = connection.read_request().await {
                    assert_eq!(next.header("x-tenant-slug"), Some("globex"));
                    connection
                        .write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nown")
                        .await;
                }
            }
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let mut early = get("acme.localhost", "/opened", &HANDSHAKE);
    early.extend_from_slice(b"early");
    assert_eq!(visitor.ask(early).await.status, 101);
    assert_eq!(visitor.take(4).await, b"late");

    // An upstream that stays with HTTP: what follows is a request of its own, for whomever it names.
    let mut visitor = edge.visit().await;
    let mut early = get("acme.localhost", "/refused", &HANDSHAKE);
    early.extend(request(
        "GET",
        "globex.localhost",
        "/x",
        &["X-Tenant-Slug: acme"],
        b"",
    ));
    let answer = visitor.ask(early).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "no"));
    let answer = visitor.reply().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "own"));
}

#[tokio::test]
async fn j7_nobody_is_switched_who_did_not_ask_for_it() {
    let switch = |fields: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
    let websocket = switch("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    let cases: [(&[&str], String); 6] = [
        (&[], websocket.clone()),
        (&["Connection: Upgrade", "Upgrade: h2c"], websocket),
        (&[], switch("")),
        (&HANDSHAKE, switch("")),
        (
            &HANDSHAKE,
            switch("Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        ),
        (
            &HANDSHAKE,
            switch("Connection: Upgrade\r\nUpgrade: websocket2\r\n"),
        ),
    ];
    for (lines, answer) in cases {
        let upstream = TestUpstream::raw(answer.clone() + "smuggled");
        let edge = Edge::with(upstream.address)
            .tenants(&["acme"])
            .start()
            .await;
        let answered = edge
            .visit()
            .await
            .ask(get("acme.localhost", "/", lines))
            .await;
        let code = (answered.status, answered.code());
        assert_eq!(code, (502, "upstream_invalid".into()), "{lines:?} {answer}");
        assert!(!answered.text().contains("smuggled"));
        upstream.until_open(0).await;
    }
}

#[tokio::test]
async fn j17_anything_less_than_a_handshake_is_an_ordinary_request() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let [connection, upgrade, version, key] = HANDSHAKE;
    let cases: [&[&str]; 11] = [
        &[connection, upgrade, "Sec-WebSocket-Version: 12", key],
        &[connection, upgrade, "Sec-WebSocket-Version: 13, 12", key],
        &[connection, upgrade, key],
        &[connection, upgrade, version],
        &["Connection: keep-alive", upgrade, version, key],
        &[upgrade, version, key],
        &[connection, version, key],
        &[connection, "Upgrade: h2c", version, key],
        &[connection, "Upgrade: websockets", version, key],
        &[connection, "Upgrade: h2c, websocket", version, key],
        &[
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ],
    ];
    let mut visitor = edge.visit().await;
    for lines in cases {
        ordinary(
            &upstream,
            visitor.ask(get("acme.localhost", "/", lines)).await,
            lines,
        )
        .await;
    }
    let lines = [&HANDSHAKE[..], &["Content-Length: 0"]].concat();
    let post = request("POST", "acme.localhost", "/", &lines, b"");
    ordinary(&upstream, visitor.ask(post).await, &["POST"]).await;
    let lines = [&HANDSHAKE[..], &["Content-Length: 3"]].concat();
    let with_body = request("GET", "acme.localhost", "/", &lines, b"GET");
    ordinary(&upstream, visitor.ask(with_body).await, &["a body"]).await;
    let mut old = b"GET / HTTP/1.0\r\nHost: acme.localhost\r\n".to_vec();
    old.extend_from_slice((HANDSHAKE.join("\r\n") + "\r\n\r\n").as_bytes());
    ordinary(&upstream, edge.visit().await.ask(old).await, &["HTTP/1.0"]).await;
}

async fn ordinary(upstream: &TestUpstream, answer: Answer, what: &[&str]) {
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "ordinary"),
        "{what:?}"
    );
    let seen = upstream.seen().await;
    for name in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(seen.header(name), None, "{what:?}");
    }
}

#[tokio::test]
async fn what_an_upstream_says_instead_of_101_is_an_answer_like_any_other() {
    let upstream = TestUpstream::raw(
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Version: 8\r\nContent-Length: 3\r\n\r\nno.",
    );
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    for _ in 0..2 {
        let answer = visitor.ask(get("acme.localhost", "/", &HANDSHAKE)).await;
        assert_eq!((answer.status, answer.text().as_str()), (426, "no."));
        assert_eq!(answer.header("sec-websocket-version"), Some("8"));
        assert_eq!(
            (answer.header("upgrade"), answer.header("connection")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn refusals_come_before_the_handshake_goes_on() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .tenant_in("closed", vestibule::model::TenantState::Suspended)
        .start()
        .await;
    for (host, code) in [
        ("closed.localhost", "tenant_suspended"),
        ("nobody.localhost", "unknown_tenant"),
    ] {
        let answer = edge.visit().await.ask(get(host, "/", &HANDSHAKE)).await;
        assert_eq!(answer.code(), code);
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_old_slug_is_served_rather_than_redirected_which_no_websocket_follows() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let apex = vestibule::model::Slug::parse("apex").unwrap();
    edge.store
        .rename_tenant(&"acme".parse().unwrap(), &apex)
        .await
        .unwrap();
    edge.comes_to("apex.localhost", 200).await;
    let mut visitor = tunnel(&edge, "acme.localhost").await;
    assert!(passes(&mut visitor).await);
}

#[tokio::test]
async fn a_tunnel_is_one_of_the_requests_that_a_tenant_may_have_at_once() {
    let upstream = echoing();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nin_flight = 1")
        .tenants(&["acme", "globex"])
        .start()
        .await;
    let mut first = tunnel(&edge, "acme.localhost").await;
    let refused = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &HANDSHAKE))
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "too_many_in_flight")
    );
    assert!(passes(&mut first).await && passes(&mut tunnel(&edge, "globex.localhost").await).await);
    drop(first);
    edge.comes_to("acme.localhost", 200).await;
}
