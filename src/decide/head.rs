//! Rules for every head, the same over HTTP/1.1 and HTTP/2: sizes, counts, framing.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Version};

use crate::model::{Code, Refusal};

/// Longest request target in bytes (nginx's buffer for one line).
const MAX_TARGET: usize = 8 * 1024;
/// Most fields in one head (Envoy's default).
const MAX_FIELDS: usize = 100;
/// Longest single field in bytes.
const MAX_FIELD: usize = 16 * 1024;

/// Refuses a head that is too long (414, 431) or framed in a way that two readers could read differently (400).
///
/// Says which of the fields are there that a decision asks for.
pub(super) fn check(head: &Parts, limit: usize) -> Result<Present, Refusal> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Err(Refusal::new(
            Code::UriTooLong,
            "The address has more than 8 KiB.",
        ));
    }
    // A method may be any word, and as long as the codec takes.
    let line = target + head.method.as_str().len();
    let present = check_size(&head.headers, limit.saturating_sub(line))?;
    if present.has(Present::TRANSFER_ENCODING) {
        check_transfer_encoding(head)?;
    }
    if head.version == Version::HTTP_2 {
        check_http2(&head.headers)?;
    }
    Ok(present)
}

/// Which of the fields are there that somebody asks for before the head is written anew. Most requests have none of them, and each would have to be looked up: one
/// pass over all names costs less.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Present(u16);

impl Present {
    pub(super) const AUTHORIZATION: Self = Self(1);
    pub(super) const CONTENT_LENGTH: Self = Self(1 << 1);
    pub(super) const TRANSFER_ENCODING: Self = Self(1 << 2);
    pub(super) const UPGRADE: Self = Self(1 << 3);
    pub(super) const VIA: Self = Self(1 << 4);
    /// `Accept`
    pub const ACCEPT: Self = Self(1 << 5);
    /// `Origin`
    pub const ORIGIN: Self = Self(1 << 6);
    /// `TE`
    pub const TE: Self = Self(1 << 7);
    pub(super) const TRACE_PARENT: Self = Self(1 << 8);
    pub(super) const REQUEST_ID: Self = Self(1 << 9);
    /// What says that a body follows: [`announces_body`].
    pub const BODY: Self = Self(Self::CONTENT_LENGTH.0 | Self::TRANSFER_ENCODING.0);

    /// Those of `headers`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        headers.keys().for_each(|name| present.note(name.as_str()));
        present
    }

    /// Whether any of these is there.
    pub fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    fn note(&mut self, name: &str) {
        let field = match name {
            "authorization" => Self::AUTHORIZATION,
            "content-length" => Self::CONTENT_LENGTH,
            "transfer-encoding" => Self::TRANSFER_ENCODING,
            "upgrade" => Self::UPGRADE,
            "via" => Self::VIA,
            "accept" => Self::ACCEPT,
            "origin" => Self::ORIGIN,
            "te" => Self::TE,
            "traceparent" => Self::TRACE_PARENT,
            "x-request-id" => Self::REQUEST_ID,
            _ => return,
        };
        self.0 |= field.0;
    }
}

fn check_size(headers: &HeaderMap, limit: usize) -> Result<Present, Refusal> {
    let too_large = |detail| Err(Refusal::new(Code::HeadersTooLarge, detail));
    if headers.len() > MAX_FIELDS {
        return too_large("The request has more than 100 header fields.");
    }
    let mut total = 0;
    let mut present = Present::default();
    for (name, value) in headers {
        let name = name.as_str();
        present.note(name);
        // Name, colon, space, value, line end: the size on an HTTP/1.1 wire, whatever the visitor speaks.
        let size = name.len() + value.len() + 4;
        if size > MAX_FIELD {
            return too_large("A header field has more than 16 KiB.");
        }
        total += size;
    }
    if total > limit {
        too_large("The request's header fields are too large in all.")
    } else {
        Ok(present)
    }
}

/// Only exactly `chunked` is taken (RFC 9112 section 6.1, CVE-2021-21299). The connection looks too, before it reads on; here it is part
/// of what a head is judged by wherever it comes from.
fn check_transfer_encoding(head: &Parts) -> Result<(), Refusal> {
    let mut values = head.headers.get_all(TRANSFER_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    let only_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked") && values.next().is_none();
    if only_chunked {
        Ok(())
    } else {
        Err(Refusal::bad_request(
            "The transfer coding is not supported.",
        ))
    }
}

/// What h2 lets through and nobody could send over HTTP/1.
fn check_http2(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.values().any(has_outer_space) {
        return Err(Refusal::bad_request(
            "A field value starts or ends with a space.",
        ));
    }
    // Twice the same would go on as two lines, which some take for smuggling and refuse (RFC 9110 section 8.6).
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::bad_request("The length is said twice."));
    }
    Ok(())
}

/// RFC 9113 section 8.2.1
fn has_outer_space(value: &HeaderValue) -> bool {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_space(value.as_bytes().first()) || is_space(value.as_bytes().last())
}

/// Whether a list field, over all its lines, has the member `wanted` in any case.
pub fn lists(headers: &HeaderMap, name: &http::HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .any(|value| members(value).any(|member| member.eq_ignore_ascii_case(wanted)))
}

/// The members of a list field's line. One that is not ASCII stands for itself as an unreadable one: it must not hide the others.
pub(super) fn members(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .map(|member| std::str::from_utf8(member.trim_ascii()).unwrap_or("\u{fffd}"))
        .filter(|member| !member.is_empty())
}

/// Whether a body follows the head.
pub fn announces_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
}

/// Whether the visitor can take trailers (`TE: trailers`, RFC 9110 section 10.1.4).
pub fn wants_trailers(headers: &HeaderMap) -> bool {
    lists(headers, &http::header::TE, "trailers")
}
