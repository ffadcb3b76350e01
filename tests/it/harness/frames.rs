//! HTTP/2 as bytes: a visitor that sends whatever frames it is told to, and one that keeps to the protocol.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::net::SocketAddr;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::client::{Answer, PATIENCE};
use super::http2::Http2;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// On DATA and HEADERS: the last frame of the request.
pub(crate) const END_STREAM: u8 = 1;
/// On HEADERS: no CONTINUATION follows.
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 section 7).
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// One frame as it came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().unwrap()))
    }
}

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A field that is not kept in the HPACK table (RFC 7541 section 6.2.2), without Huffman coding.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.extend(prefixed_length(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// RFC 7541 section 5.1 with a prefix of seven bits.
fn prefixed_length(length: usize) -> Vec<u8> {
    let Some(mut rest) = length.checked_sub(127) else {
        return vec![u8::try_from(length).unwrap()];
    };
    let mut bytes = vec![127];
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

/// A header block: the pseudo fields and nothing else.
pub(crate) fn block(method: &str, host: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", host),
        field(":path", path),
    ]
    .concat()
}

/// HEADERS of a GET that is complete.
pub(crate) fn get_frame(stream: u32, host: &str, path: &str) -> Vec<u8> {
    let flags = END_STREAM | END_HEADERS;
    frame(HEADERS, flags, stream, &block("GET", host, path))
}

/// HEADERS of a POST whose body follows.
pub(crate) fn post_frame(stream: u32, host: &str, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block("POST", host, path))
}

/// The code of the last GOAWAY among `frames`.
pub(crate) fn goaway(frames: &[Frame]) -> Option<u32> {
    let last = frames.iter().rfind(|frame| frame.kind == GOAWAY)?;
    last.code()
}

/// A connection on which frames are written by hand. What comes back is read all the time, so that the edge never waits for us.
pub(crate) struct Frames {
    writing: OwnedWriteHalf,
    received: mpsc::UnboundedReceiver<Frame>,
}

impl Frames {
    /// Says the preface and empty settings.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &[]).await
    }

    /// The same with this payload in the settings.
    pub(crate) async fn open_with(address: SocketAddr, settings: &[u8]) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        let (reading, writing) = socket.into_split();
        let (sender, received) = mpsc::unbounded_channel();
        tokio::spawn(read_frames(reading, sender));
        let mut frames = Self { writing, received };
        let settings = frame(SETTINGS, 0, 0, settings);
        frames.send([PREFACE, &settings].concat()).await;
        frames
    }

    /// Writes these bytes; false once the edge has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let written = timeout(PATIENCE, self.writing.write_all(bytes.as_ref())).await;
        written.expect("the edge reads or closes").is_ok()
    }

    /// Writes `bytes` over and over until the edge has closed, `most` times at the most; says how often.
    pub(crate) async fn flood(&mut self, bytes: &[u8], most: usize) -> usize {
        for count in 0..most {
            if !self.send(bytes).await {
                return count;
            }
        }
        most
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let next = timeout(PATIENCE, self.received.recv()).await;
        next.expect("a frame, or the end, in time")
    }

    /// The next frame of this kind.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection goes on");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// All that comes until the connection ends.
    pub(crate) async fn rest(mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

async fn read_frames(mut reading: OwnedReadHalf, sender: mpsc::UnboundedSender<Frame>) {
    loop {
        let mut head = [0; 9];
        if reading.read_exact(&mut head).await.is_err() {
            return;
        }
        let [a, b, c, kind, _flags, s @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if reading.read_exact(&mut payload).await.is_err() {
            return;
        }
        let stream = u32::from_be_bytes(s) & 0x7fff_ffff;
        let frame = Frame {
            kind,
            stream,
            payload,
        };
        if sender.send(frame).is_err() {
            return;
        }
    }
}

/// One request over HTTP/2 on a connection of its own, by a client that keeps to the protocol.
pub(crate) async fn ask_h2(
    address: SocketAddr,
    request: Request<()>,
    body: &'static [u8],
) -> Answer {
    let socket = TcpStream::connect(address).await.unwrap();
    let body = (!body.is_empty()).then_some(body);
    Http2::over(socket).await.send(request, body, None).await
}
