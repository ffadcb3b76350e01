//! One line for each request, whichever way it ends.

use http::{Method, Uri};
use serde_json::Value;
use vestibule::cli::ExplainArguments;

use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::frames::{CANCEL, Frames, RST_STREAM, frame, get_frame};
use crate::harness::issuer::Issuer;
use crate::harness::upstream::{Connection, TestUpstream};

/// Does what the path says.
async fn by_path(mut connection: Connection) {
    while let Some(seen) = connection.read_request().await {
        match seen.target.as_str() {
            "/never" => return drop(connection.read_to_end().await),
            "/half" => {
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf!";
                connection.write(half).await;
                return drop(connection.read_to_end().await);
            }
            "/tunnel" => {
                let switched =
                    b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                connection.write(switched).await;
                connection.read_exactly(5).await;
                connection.write(b"seven !").await;
                return drop(connection.read_to_end().await);
            }
            _ => {
                let ok = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
                connection.write(ok).await;
            }
        }
    }
}

async fn edge(upstream: &TestUpstream) -> Edge {
    let plan = Edge::with(upstream.address);
    plan.tenants(&["acme"])
        .domain("acme", "shop.example")
        .start()
        .await
}

/// Checks members of a line.
fn check(line: &Value, wanted: &[(&str, Value)]) {
    for (name, value) in wanted {
        assert_eq!(&line[*name], value, "{name} in {line}");
    }
}

fn check_times(line: &Value, had_upstream: bool) {
    let total = line["total_ms"].as_f64().unwrap();
    let edge = line["edge_us"].as_f64().unwrap() / 1000.0;
    assert!(edge <= total + 0.001, "{line}");
    let upstream = line["upstream_ms"].as_f64();
    assert_eq!(upstream.is_some(), had_upstream, "{line}");
    assert!(upstream.unwrap_or(0.0) <= total, "{line}");
}

#[tokio::test]
async fn a_forwarded_request_is_told_in_full() {
    let upstream = TestUpstream::script(by_path);
    let edge = edge(&upstream).await;
    let lines = &["Content-Length: 4", "User-Agent: not/logged"];
    let asked = request(
        "POST",
        "Shop.Example.:8080",
        "/made?secret=1",
        lines,
        b"body",
    );
    let answer = edge.visit().await.ask(asked).await;
    let line = &edge.access_lines(1).await[0];
    let tenant = edge.store.tenant(&"acme".parse().unwrap()).await.unwrap();
    check(
        line,
        &[
            ("node", "test-node".into()),
            ("listener", edge.http().to_string().into()),
            ("proto", "HTTP/1.1".into()),
            ("visitor", "127.0.0.1".into()),
            ("method", "POST".into()),
            ("host", "shop.example".into()),
            ("path", "/made".into()),
            ("status", 201.into()),
            ("refusal", Value::Null),
            ("tenant", tenant.id.to_string().into()),
            ("slug", "acme".into()),
            ("via", "domain".into()),
            ("agree", ["domain"].as_slice().into()),
            ("upstream", "default".into()),
            ("endpoint", upstream.address.to_string().into()),
            ("retried", false.into()),
            ("bytes_in", 4.into()),
            ("bytes_out", 2.into()),
            ("complete", true.into()),
            ("request_id", answer.header("x-request-id").unwrap().into()),
        ],
    );
    let seen = upstream.seen().await;
    let trace = seen.header("traceparent").unwrap();
    assert_eq!(line["trace_id"], trace[3..35], "{line}");
    assert_eq!(line["request_id"].as_str(), seen.header("x-request-id"));
    check_times(line, true);
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[tokio::test]
async fn a_refused_request_says_why_and_whose_it_was() {
    let upstream = TestUpstream::script(by_path);
    let edge = edge(&upstream).await;
    edge.store
        .suspend_tenant(&"acme".parse().unwrap())
        .await
        .unwrap();
    while edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await
        .status
        != 403
    {}
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    let id = answer.header("x-request-id").unwrap();
    let lines = edge.access_lines(2).await;
    let line = lines.iter().find(|line| line["request_id"] == id).unwrap();
    check(
        line,
        &[
            ("status", 403.into()),
            ("refusal", "tenant_suspended".into()),
            ("slug", "acme".into()),
            ("via", "subdomain".into()),
            ("upstream", Value::Null),
            ("bytes_out", answer.body.len().into()),
            ("complete", true.into()),
        ],
    );
    check_times(line, false);
}

#[tokio::test]
async fn a_conflict_says_who_named_whom_and_explain_says_the_same() {
    let upstream = TestUpstream::script(by_path);
    let issuer = Issuer::with_secret();
    let plan = issuer.believed_by(Edge::with(upstream.address));
    let edge = plan.tenants(&["acme", "globex"]).start().await;
    let mut ids = Vec::new();
    for slug in ["acme", "globex"] {
        let tenant = edge.store.tenant(&slug.parse().unwrap()).await.unwrap();
        ids.push(tenant.id.to_string());
    }
    let (globex, nobody) = (issuer.names("globex"), issuer.names("hooli"));
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let asked = [
        (bearer(&globex), format!("bearer names {}", ids[1])),
        (
            format!("Cookie: session={globex}"),
            format!("cookie names {}", ids[1]),
        ),
        (bearer(&nobody), "bearer names nobody".to_owned()),
    ];
    for (count, (field, said)) in asked.iter().enumerate() {
        let asked = get("acme.localhost", "/", &[field]);
        let answer = edge.visit().await.ask(asked).await;
        assert_eq!(answer.status, 403);
        // The visitor is not told whom the token names.
        assert!(!answer.text().contains(&ids[1]), "{}", answer.text());
        let line = &edge.access_lines(count + 1).await[count];
        let reason = format!("subdomain names {}, {said}", ids[0]);
        check(
            line,
            &[
                ("refusal", "tenant_conflict".into()),
                ("reason", reason.clone().into()),
            ],
        );
        for secret in [&*globex, &nobody, "hooli"] {
            assert!(!line.to_string().contains(secret), "{line}");
        }
        let explained = explained(&edge, field).await;
        assert_eq!(explained["reason"], reason, "{explained}");
    }
}

/// What `explain` says of a request for acme with this field.
async fn explained(edge: &Edge, field: &str) -> Value {
    let (name, value) = field.split_once(": ").unwrap();
    let headers = vec![(name.parse().unwrap(), value.parse().unwrap())];
    let url = Uri::from_static("http://acme.localhost/");
    let asked = ExplainArguments::new(Method::GET, url, headers);
    let explanation = asked.explanation(&edge.config, &edge.store).await;
    serde_json::to_value(explanation.unwrap()).unwrap()
}

#[tokio::test]
async fn a_visitor_who_leaves_is_told_of_too() {
    let upstream = TestUpstream::script(by_path);
    let edge = edge(&upstream).await;
    let mut visitor = edge.visit().await;
    visitor.write(get("acme.localhost", "/never", &[])).await;
    upstream.seen().await;
    drop(visitor);
    // Before the answer there was no status: 499 is what nginx says.
    let gone = [
        ("status", 499.into()),
        ("complete", false.into()),
        ("slug", "acme".into()),
    ];
    let line = &edge.access_lines(1).await[0];
    check(line, &gone);
    check(
        line,
        &[("upstream", "default".into()), ("path", "/never".into())],
    );

    let mut visitor = Frames::open(edge.http()).await;
    visitor.send(get_frame(1, "acme.localhost", "/never")).await;
    upstream.seen().await;
    visitor
        .send(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()))
        .await;
    check(&edge.access_lines(2).await[1], &gone);

    let mut visitor = edge.visit().await;
    visitor.write(get("acme.localhost", "/half", &[])).await;
    upstream.seen().await;
    assert_eq!(visitor.status_line().await, Some(200));
    drop(visitor);
    let line = &edge.access_lines(3).await[2];
    check(line, &[("status", 200.into()), ("complete", false.into())]);
    edge.until_metric("vestibule_http_requests_total", 3.0)
        .await;
}

#[tokio::test]
async fn a_tunnel_is_told_of_when_it_ends() {
    let upstream = TestUpstream::script(by_path);
    let edge = edge(&upstream).await;
    let mut visitor = edge.visit().await;
    let upgrade = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ];
    let answer = visitor
        .ask(get("acme.localhost", "/tunnel", &upgrade))
        .await;
    assert_eq!(answer.status, 101);
    visitor.write(b"hello").await;
    assert_eq!(visitor.take(7).await, b"seven !");
    drop(visitor);
    let line = &edge.access_lines(1).await[0];
    check(
        line,
        &[
            ("status", 101.into()),
            ("slug", "acme".into()),
            ("bytes_in", 5.into()),
            ("bytes_out", 7.into()),
            ("request_id", answer.header("x-request-id").unwrap().into()),
        ],
    );
    check_times(line, true);
}

#[tokio::test]
async fn a_probe_is_answered_before_everything_and_logged() {
    let upstream = TestUpstream::script(by_path);
    let edge = Edge::with(upstream.address)
        .config("[edge]\nprobe_path = \"/-/healthy\"")
        .start()
        .await;
    let answer = edge
        .visit()
        .await
        .ask(get("10.1.2.3", "/-/healthy", &[]))
        .await;
    assert_eq!(answer.status, 200);
    let line = &edge.access_lines(1).await[0];
    check(
        line,
        &[
            ("status", 200.into()),
            ("path", "/-/healthy".into()),
            ("request_id", answer.header("x-request-id").unwrap().into()),
        ],
    );
}

#[tokio::test]
async fn i9_nothing_that_a_visitor_writes_breaks_out_of_its_line() {
    let upstream = TestUpstream::script(by_path);
    let edge = edge(&upstream).await;
    let hosts: [&[u8]; 4] = [
        b"evil\"},{\"tenant\":\"acme",
        b"back\\slash\\",
        b"\xc2\x9b31mred",
        b"\xff\xfe\xe2\x80\xa8",
    ];
    let mut count = 0;
    for host in hosts {
        let asked = [
            b"GET /%0a%1b[31m HTTP/1.1\r\nHost: ",
            host,
            b"\r\nUser-Agent: \xc2\x9b\"\r\n\r\n",
        ];
        let answer = edge.visit().await.ask(asked.concat()).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.text().contains("evil"), "{}", answer.text());
        count += 1;
    }
    for method in ["GET\"", "X'|~!"] {
        let asked = format!("{method} /a\"b\\c HTTP/1.1\r\nHost: acme.localhost\r\n\r\n");
        let answer = edge.visit().await.ask(asked).await;
        // What the codec cannot parse gets a bare status and has no line.
        count += i32::from(answer.header("x-request-id").is_some());
    }
    edge.until_metric("vestibule_http_requests_total", f64::from(count))
        .await;
    edge.access_lines(usize::try_from(count).unwrap()).await;
    let text = std::fs::read_to_string(edge.folder().join("access.log")).unwrap();
    for line in text.lines() {
        assert!(!line.chars().any(char::is_control), "{line:?}");
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["node"], "test-node");
        assert_ne!(line["tenant"], "acme");
    }
    assert_eq!(text.lines().count(), usize::try_from(count).unwrap());
}
