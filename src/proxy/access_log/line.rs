//! What stands in a line. Never a header field, never a query: that is where secrets are.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::decide;
use crate::model::{Code, Sources, TenantId};

use super::escape;

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
    pub request_id: &'a str,
    /// The trace it belongs to, 32 hexadecimal digits.
    pub trace_id: Option<&'a str>,
    /// Whether it was sent a second time.
    pub retried: bool,
    /// Whether the whole answer was handed over.
    pub complete: bool,
}

impl AccessRecord<'_> {
    /// Appends the line with its end. What is `None` is left out; times are in milliseconds or, inside, in microseconds.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut line = Object::begin(out);
        line.bytes("ts", &self.time.rfc3339());
        line.text("node", self.node);
        line.text("listener", self.listener);
        line.text("proto", self.protocol);
        line.maybe("tls", self.tls);
        line.address("visitor", self.visitor, None);
        line.bytes("method", first(self.method.as_bytes(), MAX_METHOD));
        line.bytes("host", first(without_userinfo(self.host), MAX_HOST));
        line.bytes("path", first(without_query(self.path), MAX_PATH));
        line.number("status", self.status.into());
        line.maybe("refusal", self.refusal.map(Code::as_str));
        if let Some(reason) = self.reason {
            line.bytes("reason", first(reason.as_bytes(), MAX_REASON));
        }
        self.write_tenant(&mut line);
        self.write_upstream(&mut line);
        line.number("edge_us", micros(self.edge_time));
        line.millis("total_ms", self.total_time);
        line.number("bytes_in", self.bytes_in);
        line.number("bytes_out", self.bytes_out);
        line.flag("complete", self.complete);
        line.text("request_id", self.request_id);
        line.maybe("trace_id", self.trace_id);
        line.end();
    }

    fn write_tenant(&self, line: &mut Object<'_>) {
        if let Some(tenant) = self.tenant {
            line.bytes(
                "tenant",
                tenant.0.hyphenated().encode_lower(&mut [0; 36]).as_bytes(),
            );
        }
        line.maybe("slug", self.slug);
        line.text("via", self.sources.via_str());
        let names = self.sources.iter().map(|source| source.as_str());
        line.list("agree", names);
    }

    fn write_upstream(&self, line: &mut Object<'_>) {
        line.maybe("upstream", self.upstream);
        if let Some(endpoint) = self.endpoint {
            line.address("endpoint", endpoint.ip(), Some(endpoint.port()));
        }
        if let Some(time) = self.upstream_time {
            line.millis("upstream_ms", time);
        }
        line.flag("retried", self.retried);
    }
}

/// A path may come with its query by mistake; a secret must not get here even so.
fn without_query(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    &path[..end.unwrap_or(path.len())]
}

/// `user:password@host` is refused, but logged all the same.
fn without_userinfo(host: &[u8]) -> &[u8] {
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
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A JSON object being written. Names are ours and need no escaping.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    next: u8,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        Self { out, next: b'{' }
    }

    fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &str) {
        self.out.push(std::mem::replace(&mut self.next, b','));
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        escape::write(self.out, value);
        self.out.push(b'"');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    fn maybe(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// Addresses, whose text needs no escaping; with a port an IPv6 one stands in brackets.
    fn address(&mut self, name: &str, ip: IpAddr, port: Option<u16>) {
        self.name(name);
        self.out.push(b'"');
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

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.digits(value);
    }

    fn digits(&mut self, value: u64) {
        self.out
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Milliseconds with three decimals.
    fn millis(&mut self, name: &str, value: Duration) {
        let micros = micros(value);
        self.number(name, micros / 1000);
        let rest = micros % 1000;
        self.out.push(b'.');
        for divisor in [100, 10, 1] {
            self.out.push(b"0123456789"[(rest / divisor % 10) as usize]);
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn list(&mut self, name: &str, values: impl Iterator<Item = &'static str>) {
        self.name(name);
        self.out.push(b'[');
        for (index, value) in values.enumerate() {
            self.out
                .extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
            self.out.extend_from_slice(value.as_bytes());
            self.out.push(b'"');
        }
        self.out.push(b']');
    }
}

const MAX_METHOD: usize = 32;
const MAX_HOST: usize = 255;
const MAX_PATH: usize = 2048;
const MAX_REASON: usize = 1024;
