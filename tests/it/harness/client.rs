//! A visitor that sends exactly the bytes it is told to, and reads answers to the letter.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for anything at all: a bound for a test that hangs, never what a test measures.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection of a visitor's.
pub struct Visitor<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Trailers of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The body ended as its framing says (not by a broken connection).
    pub complete: bool,
}

impl Answer {
    /// The one value of `name`; fails where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(
            values.next().is_none(),
            "{name} stands twice in {:?}",
            self.headers
        );
        value
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The `code` of a refusal.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Visitor<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Visitor<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// The same, after these bytes of an answer have been read.
    pub fn with_read(stream: S, buffer: Vec<u8>) -> Self {
        Self { stream, buffer }
    }

    /// Writes these bytes; a connection that is closed already is no failure, the answer tells.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .expect("the edge reads");
        let _ = self.stream.flush().await;
        self
    }

    /// Writes a request and reads its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.write(request).await;
        self.reply().await
    }

    /// Reads one answer to a request other than HEAD.
    pub async fn reply(&mut self) -> Answer {
        self.reply_to("GET")
            .await
            .expect("an answer before the end of the connection")
    }

    /// Reads one answer, `None` where the connection ends before it begins. Interim answers (1xx but 101) are skipped.
    pub async fn reply_to(&mut self, method: &str) -> Option<Answer> {
        loop {
            let (version, status, headers) = self.head().await?;
            if (100..200).contains(&status) && status != 101 {
                continue;
            }
            let mut reply = Answer {
                status,
                version,
                headers,
                body: Vec::new(),
                trailers: Vec::new(),
                complete: true,
            };
            if method == "HEAD" || matches!(status, 101 | 204 | 304) {
                return Some(reply);
            }
            if reply
                .header("transfer-encoding")
                .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
            {
                self.chunks(&mut reply).await;
            } else if let Some(length) = reply
                .header("content-length")
                .map(|length| length.parse::<usize>().unwrap())
            {
                reply.complete = self.at_least(length).await;
                let length = length.min(self.buffer.len());
                reply.body = self.buffer.drain(..length).collect();
            } else {
                reply.body = self.rest().await;
            }
            return Some(reply);
        }
    }

    /// The interim answers and the final head's status, for tests of `Expect`.
    pub async fn status_line(&mut self) -> Option<u16> {
        self.head().await.map(|(_, status, _)| status)
    }

    async fn head(&mut self) -> Option<(String, u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(at) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break at;
            }
            if !self.more().await {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().splitn(3, ' ');
        let version = first.next().unwrap().to_owned();
        let status = first
            .next()
            .unwrap()
            .parse()
            .unwrap_or_else(|_| panic!("no status line: {head}"));
        let fields = lines.map(|line| {
            line.split_once(':')
                .unwrap_or_else(|| panic!("no field: {line}"))
        });
        let headers = fields
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        Some((version, status, headers))
    }

    async fn chunks(&mut self, reply: &mut Answer) {
        loop {
            let Some(line) = self.line().await else {
                reply.complete = false;
                return;
            };
            let size = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16)
                .unwrap_or_else(|_| panic!("no chunk size: {line}"));
            if size == 0 {
                while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
                    let (name, value) = line.split_once(':').unwrap();
                    reply
                        .trailers
                        .push((name.to_owned(), value.trim().to_owned()));
                }
                return;
            }
            if !self.at_least(size + 2).await {
                reply.complete = false;
                reply.body.append(&mut self.buffer);
                return;
            }
            reply.body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Waits for this many bytes; false where the connection ends before.
    pub async fn at_least(&mut self, length: usize) -> bool {
        while self.buffer.len() < length {
            if !self.more().await {
                return false;
            }
        }
        true
    }

    /// Takes exactly this many raw bytes, as in a tunnel.
    pub async fn take(&mut self, length: usize) -> Vec<u8> {
        assert!(self.at_least(length).await, "the connection ended");
        self.buffer.drain(..length).collect()
    }

    /// Everything until the connection ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Waits for the end of the connection; what still comes is thrown away.
    pub async fn ended(&mut self) {
        self.rest().await;
    }

    /// Whether the connection is still open for another request.
    pub async fn answers(&mut self, request: &[u8]) -> bool {
        self.write(request).await;
        self.reply_to("GET").await.is_some()
    }

    pub fn into_inner(self) -> S {
        self.stream
    }

    /// Reads something more; false at the end (a reset counts as one).
    async fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk))
            .await
            .expect("something from the edge in time");
        let read = read.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..read]);
        read > 0
    }
}

/// A GET with a host and these further lines.
pub fn get(host: &str, path: &str, lines: &[&str]) -> Vec<u8> {
    request("GET", host, path, lines, b"")
}

/// A request with a host, these further lines, and a body behind them (whose framing is among the lines).
pub fn request(method: &str, host: &str, path: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    for line in lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
