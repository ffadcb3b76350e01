//! What stands in a line. Never a header field, never a query: that is where secrets are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::decide;
use crate::model::eights::{self, are};
use crate::model::{Code, Sources, TenantId};

use super::escape;

/// A member's name as it stands in the line.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// As [`name!`], with the quote before a value that is a text.
macro_rules! text {
    ($name:literal) => {
        concat!(",\"", $name, "\":\"")
    };
}

/// One request, borrowed from whoever answered it.
#[derive(Debug, Clone, Copy)]
pub struct AccessRecord<'a> {
    /// When the head arrived.
    pub time: Timestamp,
    /// This node's name.
    pub node: &'a str,
    /// The listener's address as configured.
    pub listener: &'a str,
    /// As in `HTTP/1.1`.
    pub protocol: &'a str,
    /// The TLS version, as in `1.3`; `None` on plain listeners.
    pub tls: Option<&'a str>,
    /// The visitor's address, behind trusted proxies.
    pub visitor: IpAddr,
    /// The method as sent; its first 32 bytes are kept.
    pub method: &'a str,
    /// The host as sent; userinfo is cut off, 255 bytes are kept.
    pub host: &'a [u8],
    /// The path as sent; anything from `?` on is cut off, 2048 bytes are kept.
    pub path: &'a [u8],
    /// The status that the visitor was sent.
    pub status: u16,
    /// The refusal, if it was one.
    pub refusal: Option<Code>,
    /// The refusal's reason for the operator; 1024 bytes are kept.
    pub reason: Option<&'a str>,
    /// Whose request it was.
    pub tenant: Option<TenantId>,
    /// That tenant's slug.
    pub slug: Option<&'a str>,
    /// The sources that named it: the first is `via`, all are `agree`.
    pub sources: Sources,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// The address that the request was sent to.
    pub endpoint: Option<SocketAddr>,
    /// From sending on to the answer's head.
    pub upstream_time: Option<Duration>,
    /// Time inside this process.
    pub edge_time: Duration,
    /// From the head's arrival to the answer's last byte.
    pub total_time: Duration,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The request's number.
    pub request_id: &'a [u8],
    /// The trace it belongs to, 32 hexadecimal digits.
    pub trace_id: Option<&'a [u8]>,
    /// Whether it was sent a second time.
    pub retried: bool,
    /// Whether the whole answer was handed over.
    pub complete: bool,
}

impl AccessRecord<'_> {
    /// Appends the line with its end. What is `None` is left out; times are in milliseconds or, inside, in microseconds.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.reserve(USUAL);
        let mut line = Object::begin(out);
        line.plain("{\"ts\":\"", &self.time.rfc3339());
        line.text(text!("node"), self.node);
        line.text(text!("listener"), self.listener);
        line.text(text!("proto"), self.protocol);
        line.maybe(text!("tls"), self.tls);
        line.address(text!("visitor"), self.visitor, None);
        line.bytes(text!("method"), first(self.method.as_bytes(), MAX_METHOD));
        line.bytes(text!("host"), first(without_userinfo(self.host), MAX_HOST));
        line.bytes(text!("path"), first(without_query(self.path), MAX_PATH));
        line.number(name!("status"), self.status.into());
        line.maybe(text!("refusal"), self.refusal.map(Code::as_str));
        if let Some(reason) = self.reason {
            line.bytes(text!("reason"), first(reason.as_bytes(), MAX_REASON));
        }
        self.write_tenant(&mut line);
        self.write_upstream(&mut line);
        line.number(name!("edge_us"), micros(self.edge_time));
        line.millis(name!("total_ms"), self.total_time);
        line.number(name!("bytes_in"), self.bytes_in);
        line.number(name!("bytes_out"), self.bytes_out);
        line.flag(name!("complete"), self.complete);
        line.bytes(text!("request_id"), self.request_id);
        if let Some(trace) = self.trace_id {
            line.bytes(text!("trace_id"), trace);
        }
        line.end();
    }

    fn write_tenant(&self, line: &mut Object<'_>) {
        if let Some(tenant) = self.tenant {
            let id = tenant.0.hyphenated();
            line.plain(text!("tenant"), id.encode_lower(&mut [0; 36]).as_bytes());
        }
        line.maybe(text!("slug"), self.slug);
        line.plain(text!("via"), self.sources.via_str().as_bytes());
        let names = self.sources.iter().map(|source| source.as_str());
        line.list(name!("agree"), names);
    }

    fn write_upstream(&self, line: &mut Object<'_>) {
        line.maybe(text!("upstream"), self.upstream);
        if let Some(endpoint) = self.endpoint {
            line.address(text!("endpoint"), endpoint.ip(), Some(endpoint.port()));
        }
        if let Some(time) = self.upstream_time {
            line.millis(name!("upstream_ms"), time);
        }
        line.flag(name!("retried"), self.retried);
    }
}

/// A path may come with its query by mistake; a secret must not get here even so.
fn without_query(path: &[u8]) -> &[u8] {
    if !eights::any(path, b'/', |word| are(word, b'?') | are(word, b'#')) {
        return path;
    }
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    &path[..end.unwrap_or(path.len())]
}

/// `user:password@host` is refused, but logged all the same.
fn without_userinfo(host: &[u8]) -> &[u8] {
    if !eights::any(host, b'.', |word| are(word, b'@')) {
        return host;
    }
    let start = host
        .iter()
        .rposition(|byte| *byte == b'@')
        .map_or(0, |at| at + 1);
    &host[start..]
}

/// The first `most` bytes, not cutting a character in two.
fn first(text: &[u8], most: usize) -> &[u8] {
    if text.len() <= most {
        return text;
    }
    let continues = |at: &usize| text[*at] & 0xc0 == 0x80;
    let end = (most.saturating_sub(3)..=most)
        .rev()
        .find(|at| !continues(at));
    &text[..end.unwrap_or(most)]
}

fn micros(time: Duration) -> u64 {
    // Not `as_micros`, which multiplies in 128 bits.
    let seconds = time.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(time.subsec_micros().into())
}

/// A JSON object being written. Names are ours and need no escaping: each is one text with what stands around it, from [`name!`]
/// or [`text!`].
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn bytes(&mut self, name: &'static str, value: &[u8]) {
        self.put(name);
        escape::write(self.out, value);
        self.out.push(b'"');
    }

    /// A text that needs no escaping.
    fn plain(&mut self, name: &'static str, value: &[u8]) {
        self.put(name);
        self.out.extend_from_slice(value);
        self.out.push(b'"');
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn maybe(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Addresses, whose text needs no escaping; with a port an IPv6 one stands in brackets.
    fn address(&mut self, name: &'static str, ip: IpAddr, port: Option<u16>) {
        self.put(name);
        let bracketed = ip.is_ipv6() && port.is_some();
        if bracketed {
            self.out.push(b'[');
        }
        decide::write_address(self.out, ip);
        if bracketed {
            self.out.push(b']');
        }
        if let Some(port) = port {
            self.out.push(b':');
            self.digits(port.into());
        }
        self.out.push(b'"');
    }

    fn number(&mut self, name: &'static str, value: u64) {
        self.put(name);
        self.digits(value);
    }

    fn digits(&mut self, value: u64) {
        self.put(itoa::Buffer::new().format(value));
    }

    /// Milliseconds with three decimals.
    fn millis(&mut self, name: &'static str, value: Duration) {
        let micros = micros(value);
        self.number(name, micros / 1000);
        let rest = (micros % 1000) as u16;
        let digit = |value: u16| b'0' + (value % 10) as u8;
        let decimals = [b'.', digit(rest / 100), digit(rest / 10), digit(rest)];
        self.out.extend_from_slice(&decimals);
    }

    fn flag(&mut self, name: &'static str, value: bool) {
        self.put(name);
        self.put(if value { "true" } else { "false" });
    }

    fn list(&mut self, name: &'static str, values: impl Iterator<Item = &'static str>) {
        self.put(name);
        let mut before = "[\"";
        for value in values {
            self.put(before);
            self.put(value);
            before = "\",\"";
        }
        self.put(if before == "[\"" { "[]" } else { "\"]" });
    }

    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

/// Bytes of most lines, with some to spare.
const USUAL: usize = 1024;
const MAX_METHOD: usize = 32;
const MAX_HOST: usize = 255;
const MAX_PATH: usize = 2048;
const MAX_REASON: usize = 1024;
