//! What the test upstream saw, and what it answers.

use std::fmt::Write;

/// One request as it arrived.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    /// In order, with the names as they were spelled.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Every byte of it.
    pub(crate) raw: Vec<u8>,
}

impl Seen {
    pub(super) fn from_head(raw: Vec<u8>, connection: usize) -> Self {
        let lines = lines(&raw);
        let mut start = lines[0].split(' ');
        let mut next = || start.next().unwrap_or_default().to_owned();
        Self {
            connection,
            method: next(),
            target: next(),
            headers: pairs(&lines[1..]),
            raw,
            ..Self::default()
        }
    }

    /// The value of the field, which may stand there only once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} came {} times: {all:?}", all.len());
        all.first().copied()
    }

    /// Every value of the field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The request described in JSON.
    pub(super) fn echoed(&self) -> Reply {
        let json = serde_json::json!({
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body": String::from_utf8_lossy(&self.body),
            "trailers": self.trailers,
        });
        Reply::text(&json.to_string()).header("content-type", "application/json")
    }
}

/// An answer that keeps to the protocol. For any other, write bytes.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
    trailers: Vec<(String, String)>,
}

impl Reply {
    /// A status without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
            trailers: Vec::new(),
        }
    }

    /// 200 with this body.
    pub(crate) fn text(body: &str) -> Self {
        let mut reply = Self::status(200);
        reply.body = body.into();
        reply
    }

    /// The same with one more field.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with the body in chunks of one byte each, and these trailers.
    pub(crate) fn chunked(mut self, trailers: &[(&str, &str)]) -> Self {
        self.chunked = true;
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.trailers = trailers.iter().map(owned).collect();
        self
    }

    pub(super) fn bytes(&self, method: &str) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n").unwrap();
        }
        if self.chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        } else if !matches!(self.status, 204 | 304) {
            write!(head, "content-length: {}\r\n", self.body.len()).unwrap();
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            return bytes;
        }
        if !self.chunked {
            bytes.extend_from_slice(&self.body);
            return bytes;
        }
        for byte in &self.body {
            bytes.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
        }
        let mut end = String::from("0\r\n");
        for (name, value) in &self.trailers {
            write!(end, "{name}: {value}\r\n").unwrap();
        }
        end.push_str("\r\n");
        bytes.extend_from_slice(end.as_bytes());
        bytes
    }
}

/// Lines without their ends; bytes above 127 are read as Latin-1, so that nothing is lost.
pub(super) fn lines(bytes: &[u8]) -> Vec<String> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    text.split_terminator("\r\n").map(str::to_owned).collect()
}

pub(super) fn pairs(lines: &[String]) -> Vec<(String, String)> {
    let fields = lines.iter().filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}
