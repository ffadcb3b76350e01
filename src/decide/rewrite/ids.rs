//! The names that one request is given: its id, and its place in a trace.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::decide::Present;

/// Carries the visitor's id of the request.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Carries the trace that the request belongs to.
pub static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Names and values given to one request.
#[derive(Clone, Debug)]
pub struct RequestIds {
    /// `X-Request-Id`
    pub request: HeaderValue,
    /// `traceparent` (W3C Trace Context)
    pub trace_parent: TraceParent,
    /// Whether it continues the visitor's trace.
    pub continued: bool,
}

/// A trace's id in lower-case hexadecimal digits.
pub type TraceId = [u8; 32];
/// A span's id in lower-case hexadecimal digits.
pub type SpanId = [u8; 16];

/// The value of a `traceparent`: version 00, the trace, the caller's span, flags (W3C Trace Context section 3.2). Short enough to be
/// copied, so that no request has memory allocated for it.
#[derive(Clone, Copy, Debug)]
pub struct TraceParent([u8; 55]);

impl TraceParent {
    fn new(trace: &TraceId, span: &SpanId, flags: [u8; 2]) -> Self {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        text[3..35].copy_from_slice(trace);
        text[36..52].copy_from_slice(span);
        text[53..].copy_from_slice(&flags);
        Self(text)
    }

    /// The whole value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The trace alone.
    pub fn trace_id(&self) -> &[u8] {
        &self.0[3..35]
    }
}

/// Names given to the request of `headers`, in which `present` are: its id is `drawn` unless a trusted proxy gave it one; a visitor's
/// trace is continued with `span` as the caller's id, else one is begun with `trace`.
///
/// W3C Trace Context section 3.2: version 00, 32 hex digits, 16 hex digits, flags; all-zero ids are invalid. A `tracestate`
/// without a valid parent is dropped.
pub fn ids(
    headers: &HeaderMap,
    present: Present,
    trusted: bool,
    drawn: HeaderValue,
    trace: &TraceId,
    span: &SpanId,
) -> RequestIds {
    let continued = if present.has(Present::TRACE_PARENT) {
        parent(headers)
    } else {
        None
    };
    let given = if trusted && present.has(Present::REQUEST_ID) {
        headers.get(&REQUEST_ID)
    } else {
        None
    };
    let (trace, flags) = continued.unwrap_or((trace, *b"00"));
    RequestIds {
        request: given
            .filter(|id| is_sound(id.as_bytes()))
            .cloned()
            .unwrap_or(drawn),
        trace_parent: TraceParent::new(trace, span, flags),
        continued: continued.is_some(),
    }
}

/// Whether an id that a trusted proxy gave a request is kept.
fn is_sound(id: &[u8]) -> bool {
    /// In bytes; a longer one is replaced.
    const LONGEST: usize = 128;
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(u8::is_ascii_graphic)
}

/// The visitor's trace and its flags, where exactly one field says so.
fn parent(headers: &HeaderMap) -> Option<(&TraceId, [u8; 2])> {
    let mut fields = headers.get_all(&TRACE_PARENT).iter();
    match (fields.next(), fields.next()) {
        (Some(only), None) => only.to_str().ok().and_then(parse_parent),
        _ => None,
    }
}

fn parse_parent(text: &str) -> Option<(&TraceId, [u8; 2])> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, len: usize| is_hex(text, len) && text.bytes().any(|b| b != b'0');
    let known =
        is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    if !(known && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)) {
        return None;
    }
    let flags = flags.as_bytes().try_into().ok()?;
    Some((trace.as_bytes().try_into().ok()?, flags))
}
