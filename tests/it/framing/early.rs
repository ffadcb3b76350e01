//! Answers that come before the request has been read to its end, and what the connection is good for then.

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::{SMUGGLED, echo, only_answer, post};
use crate::harness::client::{get, request};
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

async fn scripted(upstream: &TestUpstream) -> Edge {
    let plan = Edge::with(upstream.address).tenants(&["acme"]);
    plan.start().await
}

/// Answers before the body has ended, and ends its answer when told to.
#[tokio::test]
async fn a12_a_broken_end_of_a_body_behind_an_early_answer_is_no_request() {
    let ending = std::sync::Arc::new(tokio::sync::Notify::new());
    let told = std::sync::Arc::clone(&ending);
    let upstream = TestUpstream::script(move |mut connection| {
        let told = std::sync::Arc::clone(&told);
        async move {
            connection.read_head().await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nA\r\n";
            connection.write(head).await;
            told.notified().await;
            connection.write(b"0\r\n\r\n").await;
            connection.read_exactly(100_000).await;
        }
    });
    let edge = scripted(&upstream).await;
    let mut visitor = edge.visit().await;
    let chunked = &["Transfer-Encoding: chunked"];
    visitor.write(post(chunked, "3\r\nabc\r\n")).await;
    assert_eq!(visitor.status_line().await, Some(200));
    assert_eq!(visitor.take(6).await, b"1\r\nA\r\n");
    let smuggled = format!("0\r\nbad trailer\r\n\r\n\r\n{SMUGGLED}");
    visitor.write(smuggled).await;
    ending.notify_one();
    let rest = visitor.rest().await;
    let rest = String::from_utf8_lossy(&rest);
    assert!(matches!(&*rest, "" | "0\r\n\r\n"), "{rest}");
    assert_eq!(upstream.connections(), 1);
}

/// What is answered without being read either has come, and is skipped, or the answer says that the connection ends.
#[tokio::test]
async fn a15_an_answer_that_no_other_can_follow_says_so() {
    let (upstream, edge) = echo().await;
    let keys = "/.well-known/vestibule/jwks.json";
    for (method, path, status) in [("GET", keys, 200), ("OPTIONS", "*", 204)] {
        let mut visitor = edge.visit().await;
        let whole = request(
            method,
            "acme.localhost",
            path,
            &["Content-Length: 3"],
            b"abc",
        );
        let answer = visitor.ask(&whole).await;
        assert_eq!((answer.status, answer.header("connection")), (status, None));
        let half = request(
            method,
            "acme.localhost",
            path,
            &["Content-Length: 3"],
            b"ab",
        );
        let answer = visitor.ask(&half).await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (status, Some("close"))
        );
        visitor.write(SMUGGLED).await;
        assert_eq!(visitor.rest().await, b"");
    }
    assert_eq!(upstream.connections(), 0);
}

/// Behind it comes what is meant for somebody else.
#[tokio::test]
async fn nothing_behind_a_refused_connect_is_a_request() {
    let (upstream, edge) = echo().await;
    let head = "CONNECT acme.localhost:443 HTTP/1.1\r\nHost: acme.localhost:443\r\n\r\n";
    let answer = only_answer(&edge, format!("{head}{SMUGGLED}").as_bytes()).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (405, Some("close"))
    );
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn an_answer_of_nothing_but_trailers_has_them() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while connection.read_request().await.is_some() {
            let answer =
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\ngrpc-status: 0\r\n\r\n";
            connection.write(answer).await;
        }
    });
    let edge = scripted(&upstream).await;
    let asked = get("acme.localhost", "/", &["TE: trailers", "Connection: TE"]);
    let answer = edge.visit().await.ask(asked).await;
    let status = ("grpc-status".to_owned(), "0".to_owned());
    assert_eq!((answer.body.len(), answer.trailers), (0, vec![status]));
}

/// Whoever merges trailers into the head would act on them (RFC 9110 section 6.5.1).
#[tokio::test]
async fn trailers_say_nothing_that_belongs_into_a_head() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while connection.read_request().await.is_some() {
            let fields = "Content-Length: 5\r\nSet-Cookie: a=b\r\nCache-Control: public\r\n\
                          Content-Type: text/html\r\nLocation: /\r\nX-End: 1\r\n";
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            let answer = format!("{head}1\r\na\r\n0\r\n{fields}\r\n");
            connection.write(answer.as_bytes()).await;
        }
    });
    let edge = scripted(&upstream).await;
    let asked = get("acme.localhost", "/", &["TE: trailers", "Connection: TE"]);
    let answer = edge.visit().await.ask(asked).await;
    assert_eq!(answer.trailers, [("x-end".to_owned(), "1".to_owned())]);
}

/// A visitor who sends all of its request before it reads anything of an answer that is too long to wait on the way.
#[tokio::test]
async fn an_upload_goes_on_while_its_answer_is_not_taken() {
    const LENGTH: usize = 16 * 1024 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (connection, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = connection.into_split();
        let answering = async {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
            write.write_all(head.as_bytes()).await.unwrap();
            write.write_all(&vec![b'x'; LENGTH]).await.unwrap();
        };
        let mut sink = tokio::io::sink();
        let reading = tokio::io::copy(&mut read, &mut sink);
        let _ = tokio::join!(answering, reading);
    });
    let edge = Edge::with(address).tenants(&["acme"]).start().await;
    let mut visitor = edge.visit().await;
    let length = format!("Content-Length: {LENGTH}");
    visitor.write(post(&[&length], "")).await;
    visitor.write(vec![b'x'; LENGTH]).await;
    assert_eq!(visitor.status_line().await, Some(200));
    assert_eq!(visitor.take(LENGTH).await.len(), LENGTH);
}
