//! Bodies in both directions: streamed, framed, and never made to look complete.

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use vestibule::upstream::BodyError;

use super::*;
use crate::harness::upstream::Reply;

/// A body of unknown length that ends when the sender is dropped.
fn channel() -> (mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    (sender, StreamBody::new(frames).boxed_unsync())
}

fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[test]
fn j2_an_answer_that_dies_in_its_body_is_never_a_clean_end() {
    local(async {
        for (head, part) in [
            ("content-length: 9", "hell"),
            ("transfer-encoding: chunked", "5\r\nhello\r\n"),
            ("transfer-encoding: chunked", "5\r\nhe"),
        ] {
            for end in ["close", "half", "reset"] {
                let server = TestUpstream::script(move |mut c| async move {
                    c.read_request().await;
                    c.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{part}").as_bytes())
                        .await;
                    c.signal().await;
                    match end {
                        "reset" => c.reset().await,
                        "half" => {
                            c.finish().await;
                            c.read_to_end().await;
                        }
                        _ => {}
                    }
                });
                let answer = Fixture::to(&server).send(get("/")).await.unwrap();
                server.signal();
                let error = answer.response.into_body().collect().await.unwrap_err();
                let early = matches!(error, BodyError::Broken(_) | BodyError::Incomplete(_));
                assert!(early, "{head} {end}");
            }
        }
    });
}

#[test]
fn j11_trailers_of_an_answer_are_passed_on() {
    local(async {
        let server =
            TestUpstream::answering(|_| Reply::text("hello").chunked(&[("grpc-status", "0")]));
        let fixture = Fixture::to(&server);
        for _ in 0..2 {
            let answer = fixture.send(get("/")).await.unwrap();
            let body = answer.response.into_body().collect().await.unwrap();
            assert_eq!(body.trailers().unwrap()["grpc-status"], "0");
            assert_eq!(body.to_bytes(), "hello");
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn the_length_of_what_came_with_the_head_counts() {
    local(async {
        let server = TestUpstream::answering(|_| Reply::text("hello"));
        let answer = Fixture::to(&server).send(get("/")).await.unwrap();
        assert_eq!(
            http_body::Body::size_hint(answer.response.body()).exact(),
            Some(5)
        );
    });
}

#[test]
fn a_body_of_unknown_length_goes_in_chunks_whatever_the_method() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::to(&server);
        for method in ["GET", "HEAD", "DELETE", "POST"] {
            let (sender, body) = channel();
            let feed = async move {
                sender.send(data("he")).await.unwrap();
                sender.send(data("llo")).await.unwrap();
            };
            let request = request(method, "/", body);
            let (answer, ()) = tokio::join!(fixture.send(request), feed);
            whole(answer.unwrap().response).await;
            let seen = server.seen().await;
            assert_eq!(seen.header("transfer-encoding"), Some("chunked"));
            assert_eq!(seen.body, b"hello", "{method}");
        }
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_body_of_known_length_keeps_it_and_an_empty_post_says_so() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::to(&server);
        for (method, body, length) in [
            ("GET", full("hello"), Some("5")),
            ("POST", full("hello"), Some("5")),
            ("POST", none(), Some("0")),
            ("GET", none(), None),
            ("DELETE", none(), None),
        ] {
            let answer = fixture.send(request(method, "/", body)).await.unwrap();
            whole(answer.response).await;
            let seen = server.seen().await;
            assert_eq!(seen.header("content-length"), length, "{method}");
            assert_eq!(seen.header("transfer-encoding"), None);
        }
    });
}

#[test]
fn trailers_of_a_request_are_dropped() {
    local(async {
        let server = TestUpstream::echo();
        let (sender, body) = channel();
        let feed = async move {
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-tenant-id", "evil".parse().unwrap());
            sender.send(data("hello")).await.unwrap();
            sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
        };
        let mut request = request("POST", "/", body);
        request
            .headers_mut()
            .insert("trailer", "x-tenant-id".parse().unwrap());
        let fixture = Fixture::to(&server);
        let (answer, ()) = tokio::join!(fixture.send(request), feed);
        answer.unwrap();
        let seen = server.seen().await;
        assert!(seen.trailers.is_empty());
        assert_eq!(seen.body, b"hello");
    });
}

#[test]
fn a_visitor_who_breaks_off_is_not_the_upstreams_fault() {
    local(async {
        let server = TestUpstream::echo();
        let (sender, body) = channel();
        let feed = async move {
            sender.send(data("hel")).await.unwrap();
            let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            sender.send(Err(gone)).await.unwrap();
        };
        let fixture = Fixture::to(&server);
        let (answer, ()) = tokio::join!(fixture.send(request("POST", "/", body)), feed);
        let error = answer.unwrap_err();
        assert!(matches!(error, SendError::RequestBody(_)));
        let cause = error.cause::<std::io::Error>().unwrap();
        assert_eq!(cause.kind(), std::io::ErrorKind::ConnectionReset);
        server.until_open(0).await;
        assert!(server.requests().is_empty());
        assert!(
            fixture
                .counted()
                .contains(r#"result="request_body",upstream="app"} 1"#)
        );
    });
}

#[test]
fn an_answer_before_the_end_of_the_upload_ends_the_upload() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_head().await;
            c.write(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno")
                .await;
            c.read_to_end().await;
        });
        let fixture = Fixture::to(&server);
        let (sender, body) = channel();
        sender.send(data("hello")).await.unwrap();
        let answer = fixture.send(request("POST", "/", body)).await.unwrap();
        assert_eq!(whole(answer.response).await.body(), "no");
        sender.closed().await;
        server.until_open(0).await;
    });
}
