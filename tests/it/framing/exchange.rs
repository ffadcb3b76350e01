//! Requests and answers on one connection: pipelining, `Expect`, HTTP/1.0, answers without a body, early answers.

use http::Request;

use super::{echo, post, the_only};
use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::http2::{Http2, read};
use crate::harness::upstream::{Reply, TestUpstream};

#[tokio::test]
async fn a16_pipelined_requests_are_answered_in_order_and_each_to_its_tenant() {
    let (upstream, edge) = echo().await;
    let slug = |number: usize| {
        if number.is_multiple_of(2) {
            "acme"
        } else {
            "globex"
        }
    };
    let requests = (0..100).map(|number| {
        get(
            &format!("{}.localhost", slug(number)),
            &format!("/{number}"),
            &[],
        )
    });
    let mut visitor = edge.visit().await;
    visitor.write(requests.collect::<Vec<_>>().concat()).await;
    for number in 0..100 {
        let answer = visitor.reply().await.json();
        assert_eq!(answer["target"], format!("/{number}"));
        let seen = upstream.seen().await;
        assert_eq!(
            (seen.target.as_str(), seen.header("x-tenant-slug")),
            (&*format!("/{number}"), Some(slug(number)))
        );
    }
}

const EXPECT: &str = "Expect: 100-continue";

#[tokio::test]
async fn a17_who_expects_100_gets_one_of_ours() {
    let (upstream, edge) = echo().await;
    let mut visitor = edge.visit().await;
    visitor
        .write(post(&[EXPECT, "Content-Length: 3"], ""))
        .await;
    assert_eq!(visitor.status_line().await, Some(100));
    visitor.write("abc").await;
    // The next head is that of the answer.
    assert_eq!(visitor.status_line().await, Some(200));
    let seen = the_only(&upstream);
    assert_eq!(
        (seen.header("expect"), seen.body.as_slice()),
        (None, b"abc".as_slice())
    );
}

#[tokio::test]
async fn a17_the_upstreams_100_is_not_a_second_one() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while connection.read_head().await.is_some() {
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            connection.read_exactly(3).await;
            connection
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await;
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    visitor
        .write(post(&[EXPECT, "Content-Length: 3"], ""))
        .await;
    assert_eq!(visitor.status_line().await, Some(100));
    visitor.write("abc").await;
    assert_eq!(visitor.status_line().await, Some(200));
    visitor.write(post(&["Content-Length: 3"], "abc")).await;
    assert_eq!(visitor.status_line().await, Some(200));
}

#[tokio::test]
async fn a17_a_refusal_comes_instead_of_100() {
    let (upstream, edge) = echo().await;
    let mut visitor = edge.visit().await;
    visitor
        .write(request(
            "POST",
            "nobody.localhost",
            "/",
            &[EXPECT, "Content-Length: 3"],
            b"",
        ))
        .await;
    assert_eq!(visitor.status_line().await, Some(404));
    // Nobody can tell a body that comes now from a request: the connection ends.
    visitor.ended().await;
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a17_other_expectations_go_no_further() {
    let (upstream, edge) = echo().await;
    let answer = edge
        .visit()
        .await
        .ask(post(&["Expect: foo", "Content-Length: 3"], "abc"))
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(the_only(&upstream).header("expect"), None);
}

#[tokio::test]
async fn a17_a19_an_answer_to_the_head_alone_ends_both_connections() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_head().await.unwrap();
        connection
            .write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
            .await;
        // The edge closes: nothing that the visitor sends later belongs to another request.
        connection.read_to_end().await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for lines in [
        &["Content-Length: 1000"][..],
        &[EXPECT, "Content-Length: 1000"],
        &["Transfer-Encoding: chunked"],
    ] {
        let mut visitor = edge.visit().await;
        let answer = visitor.ask(post(lines, "")).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
        upstream.until_open(0).await;
        visitor.write(super::SMUGGLED).await;
        assert_eq!(visitor.rest().await, b"");
    }
    assert_eq!(upstream.connections(), 3);
}

/// An application server that refuses a long upload closes without reading it, which breaks what the edge is still writing.
#[tokio::test]
async fn a19_an_answer_before_the_end_of_an_upload_is_delivered() {
    let upstream = TestUpstream::script(|mut connection| async move {
        let seen = connection.read_head().await.unwrap();
        if seen.target == "/refused" {
            let answer =
                "HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno";
            connection.write(answer.as_bytes()).await;
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let body = "a".repeat(4 * 1024 * 1024);
    let length = format!("Content-Length: {}", body.len());
    let upload = |path| request("POST", "acme.localhost", path, &[&length], body.as_bytes());
    // Many, because bytes and end of a connection may come in any order.
    for _ in 0..20 {
        let answer = edge.visit().await.ask(upload("/refused")).await;
        assert_eq!((answer.status, answer.text().as_str()), (413, "no"));
    }
    let answer = edge.visit().await.ask(upload("/closed")).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_unreachable")
    );
    upstream.until_open(0).await;
}

#[tokio::test]
async fn a19_an_answer_to_the_head_alone_ends_the_stream() {
    let upstream = TestUpstream::script(|mut connection| async move {
        connection.read_head().await.unwrap();
        connection
            .write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
            .await;
        connection.read_to_end().await;
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    for _ in 0..2 {
        let request = Request::post("http://acme.localhost/").body(()).unwrap();
        let (answer, sending) = visitor.open(request, false).await;
        let answer = read(answer.await.unwrap()).await;
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
        upstream.until_open(0).await;
        drop(sending);
    }
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn http_1_0_is_served_in_its_own_terms() {
    let upstream = TestUpstream::answering(|seen| match seen.target.as_str() {
        "/chunked" => Reply::text("abc").chunked(&[("x-end", "1")]),
        _ => Reply::text("abc"),
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    for path in ["/", "/chunked"] {
        let mut visitor = edge.visit().await;
        let answer = visitor
            .ask(format!(
                "GET {path} HTTP/1.0\r\nHost: acme.localhost\r\n\r\n"
            ))
            .await;
        assert_eq!(
            (
                answer.status,
                answer.version.as_str(),
                answer.text().as_str()
            ),
            (200, "HTTP/1.0", "abc")
        );
        assert_eq!(answer.header("transfer-encoding"), None);
        visitor.ended().await;
        let seen = upstream.seen().await;
        assert!(
            seen.raw
                .starts_with(format!("GET {path} HTTP/1.1\r\n").as_bytes())
        );
        assert_eq!(seen.header("via"), Some("1.0 test-node"));
    }
    let mut visitor = edge.visit().await;
    for _ in 0..2 {
        let answer = visitor
            .ask("GET / HTTP/1.0\r\nHost: acme.localhost\r\nConnection: keep-alive\r\n\r\n")
            .await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "abc"));
    }
    let answer = edge.visit().await.ask("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "bad_request")
    );
}

#[tokio::test]
async fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            let answer: &[u8] = match seen.target.as_str() {
                "/204" => b"HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n",
                "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: \"x\"\r\n\r\n",
                _ if seen.method == "HEAD" => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            };
            connection.write(answer).await;
        }
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let asked = [
        ("HEAD", "/", 200, Some("5")),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("5")),
        ("HEAD", "/204", 204, None),
    ];
    for (method, path, status, length) in asked {
        visitor
            .write(request(method, "acme.localhost", path, &[], b""))
            .await;
        let answer = visitor.reply_to(method).await.unwrap();
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (status, length),
            "{method} {path}"
        );
        assert_eq!(answer.header("transfer-encoding"), None);
        // If a byte of a body had come, this would not be the next answer.
        assert_eq!(
            visitor.ask(get("acme.localhost", "/", &[])).await.text(),
            "hello"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_refused_head_has_no_body_and_the_connection_goes_on() {
    let (_upstream, edge) = echo().await;
    let mut visitor = edge.visit().await;
    visitor
        .write(request("HEAD", "nobody.localhost", "/", &[], b""))
        .await;
    let refused = visitor.reply_to("HEAD").await.unwrap();
    assert_eq!(refused.status, 404);
    let asked = visitor.ask(get("nobody.localhost", "/", &[])).await;
    assert_eq!(
        (asked.status, refused.header("content-length")),
        (404, asked.header("content-length"))
    );
    assert_eq!(
        visitor.ask(get("acme.localhost", "/", &[])).await.status,
        200
    );
}

#[tokio::test]
async fn trailers_of_an_answer_go_to_those_who_can_take_them() {
    let upstream = TestUpstream::answering(|_| {
        let trailers = [
            ("x-end", "1"),
            ("x-tenant-id", "evil"),
            ("connection", "evil"),
        ];
        Reply::text("abc")
            .header("trailer", "x-end, X-Tenant-Id")
            .chunked(&trailers)
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let asked = visitor
        .ask(get(
            "acme.localhost",
            "/",
            &["TE: trailers", "Connection: TE"],
        ))
        .await;
    assert_eq!(asked.trailers, [("x-end".to_owned(), "1".to_owned())]);
    assert_eq!(asked.header("trailer"), Some("x-end"));
    assert_eq!(upstream.seen().await.header("te"), Some("trailers"));
    let not_asked = visitor.ask(get("acme.localhost", "/", &[])).await;
    assert!(not_asked.trailers.is_empty() && not_asked.complete);
    assert_eq!(
        (not_asked.header("trailer"), not_asked.text().as_str()),
        (None, "abc")
    );
    let mut visitor = Http2::over(edge.visit().await.into_inner()).await;
    let streamed = visitor
        .ask(Request::get("http://acme.localhost/").body(()).unwrap())
        .await;
    assert_eq!(streamed.trailers, [("x-end".to_owned(), "1".to_owned())]);
}

#[tokio::test]
async fn j11_trailers_need_no_announcement() {
    let upstream = TestUpstream::answering(|_| {
        Reply::text("abc").chunked(&[("grpc-status", "0"), ("x-tenant-id", "evil")])
    });
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let asked = ["TE: trailers", "Connection: TE"];
    for (lines, trailers) in [(&asked[..], 1), (&[], 0), (&asked, 1)] {
        let answer = visitor.ask(get("acme.localhost", "/", lines)).await;
        assert_eq!((answer.text().as_str(), answer.complete), ("abc", true));
        assert_eq!(answer.trailers.len(), trailers, "{:?}", answer.trailers);
        let status = ("grpc-status".to_owned(), "0".to_owned());
        assert!(answer.trailers.iter().all(|trailer| *trailer == status));
    }
}
