//! Visitors that speak HTTP/2: [`Http2`] keeps to the protocol, [`Frames`] sends whatever it is told to.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::client::{Answer, PATIENCE};

/// A visitor that keeps to the protocol.
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
}

impl Http2 {
    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::with(h2::client::Builder::new(), stream).await
    }

    /// A visitor whose every stream begins with a window of `bytes`.
    pub(crate) async fn with_window<S>(stream: S, bytes: u32) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(bytes);
        Self::with(builder, stream).await
    }

    async fn with<S>(builder: h2::client::Builder, stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // Ends with the test's runtime, or says through each request why it ended.
            let _ = connection.await;
        });
        Self { requests }
    }

    /// Sends a request without a body and reads its answer.
    pub(crate) async fn ask(&mut self, request: Request<()>) -> Answer {
        self.send(request, None, None).await
    }

    /// Sends a request with this body and these trailers, and reads its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<()>,
        body: Option<&'static [u8]>,
        trailers: Option<HeaderMap>,
    ) -> Answer {
        let (answer, mut stream) = self
            .open(request, body.is_none() && trailers.is_none())
            .await;
        let last = trailers.is_none();
        // A refusal may have come, and the stream be closed, before all was said.
        if let Some(body) = body {
            let _ = stream.send_data(Bytes::from_static(body), last);
        }
        if let Some(trailers) = trailers {
            let _ = stream.send_trailers(trailers);
        }
        let answer = timeout(PATIENCE, answer)
            .await
            .expect("an answer in time")
            .unwrap();
        read(answer).await
    }

    /// Sends a request without a body, where stream or connection may be turned away.
    pub(crate) async fn try_ask(&mut self, request: Request<()>) -> Result<Answer, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (answer, _) = requests.send_request(request, true)?;
        let answer = timeout(PATIENCE, answer).await;
        Ok(read(answer.expect("an answer in time")?).await)
    }

    /// Begins a request; `bare` where no body follows.
    pub(crate) async fn open(
        &mut self,
        request: Request<()>,
        bare: bool,
    ) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request, bare).unwrap()
    }
}

/// The answer with its body read to the end.
pub(crate) async fn read(answer: http::Response<h2::RecvStream>) -> Answer {
    let (head, mut stream) = answer.into_parts();
    let mut read = Answer {
        status: head.status.as_u16(),
        version: "HTTP/2".to_owned(),
        headers: pairs(&head.headers),
        body: Vec::new(),
        trailers: Vec::new(),
        complete: true,
    };
    while let Some(data) = timeout(PATIENCE, stream.data())
        .await
        .expect("more of the body in time")
    {
        let Ok(data) = data else {
            read.complete = false;
            return read;
        };
        let _ = stream.flow_control().release_capacity(data.len());
        read.body.extend_from_slice(&data);
    }
    if let Ok(Some(trailers)) = timeout(PATIENCE, stream.trailers())
        .await
        .expect("the end in time")
    {
        read.trailers = pairs(&trailers);
    }
    read
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect()
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// On DATA and HEADERS: the last frame of the request.
pub(crate) const END_STREAM: u8 = 1;
/// On HEADERS: no CONTINUATION follows.
pub(crate) const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer, read to its end.
    Answer { status: u16, body: Vec<u8> },
    /// RST_STREAM with this code before an answer was complete.
    Reset(u32),
    /// GOAWAY with this code: the connection is over.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

impl Outcome {
    /// Whether the request was refused by the protocol itself, as malformed.
    pub(crate) fn is_protocol_error(&self) -> bool {
        matches!(self, Self::Reset(1) | Self::GoAway(1))
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A connection on which frames are written by hand.
pub(crate) struct Frames<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Sends the preface and empty settings.
    pub(crate) async fn open(stream: S) -> Self {
        let mut frames = Self { stream };
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.frame(SETTINGS, 0, 0, &[]).await;
        frames
    }

    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.write(&bytes).await;
    }

    /// A request without a body, of these fields (pseudo-fields among them) in this order, on stream 1; and what became of it.
    pub(crate) async fn request(&mut self, fields: &[(&str, &str)]) -> Outcome {
        self.frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))
            .await;
        self.outcome(1).await
    }

    /// Reads until something has become of the stream.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let Some((kind, flags, id, payload)) = self.next().await else {
                return Outcome::Closed;
            };
            match kind {
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]).await,
                GOAWAY => return Outcome::GoAway(number(&payload[4..8])),
                RST_STREAM if id == stream => return Outcome::Reset(number(&payload[..4])),
                HEADERS if id == stream => status = first_status(&payload),
                DATA if id == stream => body.extend_from_slice(&payload),
                _ => continue,
            }
            if id == stream && flags & END_STREAM != 0 && matches!(kind, HEADERS | DATA) {
                return Outcome::Answer { status, body };
            }
        }
    }

    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let reading = async {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; number(&[0, head[0], head[1], head[2]]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            Some((head[3], head[4], number(&head[5..9]), payload))
        };
        timeout(PATIENCE, reading).await.expect("a frame in time")
    }

    async fn write(&mut self, bytes: &[u8]) {
        // A connection that the other side has closed tells so when it is read.
        let _ = timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .expect("the edge reads");
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Fields as literals without a name from any table and without Huffman coding (RFC 7541 section 6.2.2): every byte as it is given.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(length: usize, block: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        block.push(u8::try_from(length).unwrap());
        return;
    };
    block.push(127);
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}

/// The status at the start of the first answer's head on a connection: from the static table, or a literal with its name from there
/// and Huffman-coded digits (RFC 7541 appendices A and B).
fn first_status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    if let Some(status) = block[0]
        .checked_sub(0x88)
        .and_then(|at| INDEXED.get(usize::from(at)))
    {
        return *status;
    }
    assert_eq!(block[0] & 0x3f, 8, "no status at the start of {block:x?}");
    let bits = number(&block[2..5]);
    let mut at = 24;
    let mut take = |count: u32| {
        at -= count;
        bits >> at & ((1 << count) - 1)
    };
    (0..3).fold(0, |status, _| {
        let digit = match take(5) {
            small @ 0..=2 => small,
            high => (high << 1 | take(1)) - 0b01_1001 + 3,
        };
        status * 10 + u16::try_from(digit).unwrap()
    })
}
