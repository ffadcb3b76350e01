//! Every wait has an end, and only the one who is waited for is blamed.

use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::io::AsyncWriteExt;
use vestibule::upstream::BodyError;

use super::*;

const SHORT: Duration = Duration::from_millis(60);

#[test]
fn j14_an_upstream_that_never_answers_is_given_up() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.read_to_end().await;
        });
        let fixture = Fixture::with(&[server.address], |config| config.timeouts.response = SHORT);
        for body in [none(), full("x")] {
            let error = fixture.send(request("POST", "/", body)).await.unwrap_err();
            assert!(matches!(error, SendError::ResponseTimeout(_)));
            server.until_open(0).await;
        }
    });
}

#[test]
fn j14_a_head_that_drips_is_given_up() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(b"HTTP/1.1 200").await;
            c.read_to_end().await;
        });
        let fixture = Fixture::with(&[server.address], |config| config.timeouts.response = SHORT);
        let error = fixture.get().await.unwrap_err();
        assert!(matches!(error, SendError::ResponseTimeout(_)));
        server.until_open(0).await;
    });
}

#[test]
fn j14_an_answer_that_stalls_in_its_body_is_given_up() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .await;
            c.read_to_end().await;
        });
        let fixture = Fixture::with(&[server.address], |config| config.timeouts.idle = SHORT);
        let answer = fixture.send(get("/")).await.unwrap();
        let error = answer.response.into_body().collect().await.unwrap_err();
        assert!(matches!(error, BodyError::Idle(_)));
        server.until_open(0).await;
    });
}

#[test]
fn an_upstream_that_stops_reading_is_given_up() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_head().await;
            c.signal().await;
        });
        let fixture = Fixture::with(&[server.address], |config| config.timeouts.idle = SHORT);
        let frames = stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![0; 64 << 10]))));
        let body = StreamBody::new(frames).boxed_unsync();
        let error = fixture.send(request("POST", "/", body)).await.unwrap_err();
        assert!(matches!(error, SendError::ResponseTimeout(_)));
    });
}

#[test]
fn a_visitor_who_takes_long_to_upload_does_not_make_the_upstream_late() {
    local(async {
        let server = TestUpstream::echo();
        let fixture = Fixture::with(&[server.address], |config| {
            config.timeouts.response = SHORT;
            config.timeouts.idle = SHORT;
        });
        // The pauses are what is tested: each is longer than the upstream may take.
        let frames = stream::unfold(0, |count| async move {
            tokio::time::sleep(SHORT * 3).await;
            let frame = Frame::data(Bytes::from_static(b"x"));
            (count < 2).then_some((Ok(frame), count + 1))
        });
        let body = StreamBody::new(frames).boxed_unsync();
        let answer = fixture.send(request("POST", "/", body)).await.unwrap();
        assert_eq!(answer.response.status(), 200);
        assert_eq!(server.seen().await.body, b"xx");
    });
}

#[test]
fn j13_a_handshake_that_never_ends_is_given_up() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_to_end().await;
        });
        let fixture = Fixture::with(&[server.address], |config| {
            config.timeouts.connect = SHORT;
            config.endpoints[0].tls = true;
        });
        let error = fixture.get().await.unwrap_err();
        assert!(matches!(error, SendError::ConnectTimeout(_)), "{error:?}");
        assert_eq!(error.code().status(), 504);
    });
}

#[test]
fn a_tunnel_is_not_bound_by_the_times_of_an_answer() {
    local(async {
        let server = TestUpstream::script(|mut c| async move {
            c.read_request().await;
            c.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n")
                .await;
            assert_eq!(c.read_exactly(2).await.unwrap(), b"hi");
        });
        let fixture = Fixture::with(&[server.address], |config| {
            config.timeouts.response = SHORT;
            config.timeouts.idle = SHORT;
            config.timeouts.keep_alive = SHORT;
        });
        let mut request = get("/");
        request
            .headers_mut()
            .insert("upgrade", "websocket".parse().unwrap());
        let answer = fixture.send(request).await.unwrap();
        tokio::time::sleep(SHORT * 2).await;
        let mut tunnel = answer.tunnel.unwrap();
        tunnel.write_all(b"hi").await.unwrap();
        server.until_open(0).await;
    });
}
