//! A WebSocket (RFC 6455) that sends back what it is sent, frame by frame.

use std::io;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::received::text;
use crate::shutdown::{Phase, Stopping};

/// Where it answers.
pub(super) const PATH: &str = "/echo";

/// Answers the handshake and goes on as a WebSocket until the visitor closes it or `stopping`.
pub(super) fn upgrade(
    request: &mut Request<Incoming>,
    stopping: Stopping,
) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let wanted = text(headers, UPGRADE.as_str())
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"));
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| wanted);
    let Some(key) = key.filter(|_| text(headers, SEC_WEBSOCKET_VERSION.as_str()) == Some("13"))
    else {
        return upgrade_required();
    };
    let Ok(accept) = HeaderValue::from_str(&accept(key.as_bytes())) else {
        return upgrade_required();
    };
    let upgrading = hyper::upgrade::on(request);
    tokio::spawn(async move {
        // A connection that broke has nobody left to be told.
        let Ok(upgraded) = upgrading.await else {
            return;
        };
        let mut stream = TokioIo::new(upgraded);
        tokio::select! {
            _ = talk(&mut stream) => {}
            () = stopping.reached(Phase::Draining) => {
                let _ = close(&mut stream, GOING_AWAY).await;
            }
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn upgrade_required() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("This is a WebSocket, version 13.\n"));
    *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 section 4.2.2).
fn accept(key: &[u8]) -> String {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(context.finish())
}

/// Reads frames and answers each: data as it came (so fragments stay what they are), a ping with a pong, a close with a close.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    loop {
        let [first, second] = read(stream).await?;
        let (opcode, masked) = (first & 0x0f, second & 0x80 != 0);
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(read(stream).await?)),
            127 => u64::from_be_bytes(read(stream).await?),
            short => u64::from(short),
        };
        let control = opcode >= 8;
        let known = matches!(opcode, 0..=2 | 8..=10) && first & 0x70 == 0;
        // Visitors mask (section 5.1); a control frame is short and whole (section 5.5).
        if !masked || !known || control && (length > 125 || first & 0x80 == 0) {
            return close(stream, PROTOCOL_ERROR).await;
        }
        let Some(length) = usize::try_from(length).ok().filter(|n| *n <= LONGEST) else {
            return close(stream, TOO_BIG).await;
        };
        let mask: [u8; 4] = read(stream).await?;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        match opcode {
            8 => return send(stream, first, &payload).await,
            9 => send(stream, 0x8a, &payload).await?,
            10 => {}
            _ => send(stream, first, &payload).await?,
        }
    }
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn close<S: AsyncWrite + Unpin>(stream: &mut S, code: u16) -> io::Result<()> {
    send(stream, 0x88, &code.to_be_bytes()).await
}

/// Writes one unmasked frame whose first byte is `first`.
async fn send<S: AsyncWrite + Unpin>(stream: &mut S, first: u8, payload: &[u8]) -> io::Result<()> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(first);
    // At most `LONGEST`, so two of the three forms of a length are enough.
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => frame.push(short as u8),
        Ok(length) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
    }
    frame.extend(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Longest frame in bytes.
const LONGEST: usize = 60_000;
/// Codes of a close frame (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const TOO_BIG: u16 = 1009;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_the_one_of_the_standard() {
        let answer = accept(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(answer, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    /// What comes back for `frame`, until the application closes or has no more to say.
    async fn answer(frame: &[u8]) -> Vec<u8> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        ours.write_all(frame).await.unwrap();
        ours.shutdown().await.unwrap();
        let _ = talk(&mut theirs).await;
        drop(theirs);
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn frames_come_back_and_faults_close() {
        let hello = [0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2];
        assert_eq!(answer(&hello).await, [0x81, 2, b'h', b'i']);
        let ping = [0x89, 0x81, 0, 0, 0, 0, b'x'];
        assert_eq!(answer(&ping).await, [0x8a, 1, b'x']);
        let long = [&[0x82, 0xfe, 0x01, 0x00, 0, 0, 0, 0][..], &[7; 256]].concat();
        let expected = [&[0x82, 126, 0x01, 0x00][..], &[7; 256]].concat();
        assert_eq!(answer(&long).await, expected);
        let closing = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        assert_eq!(answer(&closing).await, [0x88, 2, 0x03, 0xe8]);
        let protocol_error = [0x88, 2, 0x03, 0xea];
        for fault in [
            &[0x81, 0x02, b'h', b'i'][..],
            &[0xc1, 0x80, 0, 0, 0, 0],
            &[0x83, 0x80, 0, 0, 0, 0],
            &[0x09, 0x80, 0, 0, 0, 0],
        ] {
            assert_eq!(answer(fault).await, protocol_error);
        }
        let huge = [0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(answer(&huge).await, [0x88, 2, 0x03, 0xf1]);
    }
}
