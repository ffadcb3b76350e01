//! Heads (RFC 9112 sections 3 to 5): of answers as upstreams send them, of requests as upstreams get them.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

/// Most fields in a head.
pub(super) const MAX_FIELDS: usize = 100;
/// What most heads have at most: room for more is made only where it is needed.
pub(super) const USUAL_FIELDS: usize = 24;

/// The head of an answer as it came; nothing is checked but its form.
#[derive(Debug)]
pub struct AnswerHead {
    /// 1.0 or 1.1
    pub version: Version,
    /// 100 to 999
    pub status: StatusCode,
    /// In the order in which they came.
    pub headers: HeaderMap,
}

/// Why bytes are no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadFault {
    /// Longer than it may be, or with more than 100 fields.
    #[error("the head is too large")]
    TooLarge,
    /// RFC 9112 sections 4 and 5
    #[error("the head is malformed ({0})")]
    Malformed(httparse::Error),
    /// The first line alone is longer than a head may be, or its target than the type can hold.
    #[error("the request's target is too long")]
    UriTooLong,
    /// The status line's code is no status.
    #[error("the status is not one of HTTP")]
    Status,
}

impl From<httparse::Error> for HeadFault {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooLarge,
            error => Self::Malformed(error),
        }
    }
}

/// Where something stands in the bytes of a head: the offset of its first byte and of the byte behind it.
#[derive(Clone, Copy)]
pub(super) struct Span(u32, u32);

impl Span {
    /// `part` must lie within `head`, which is shorter than 4 GiB; an empty one may lie anywhere.
    pub(super) fn of(head: &[u8], part: &[u8]) -> Self {
        if part.is_empty() {
            return Self(0, 0);
        }
        let start = part.as_ptr() as usize - head.as_ptr() as usize;
        Self(start as u32, (start + part.len()) as u32)
    }

    pub(super) fn range(self) -> Range<usize> {
        self.0 as usize..self.1 as usize
    }
}

/// Where a field stands.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) name: Span,
    pub(super) value: Span,
}

impl Place {
    pub(super) const NOWHERE: Self = Self {
        name: Span(0, 0),
        value: Span(0, 0),
    };

    pub(super) fn of(head: &[u8], field: &httparse::Header<'_>) -> Self {
        Self {
            name: Span::of(head, field.name.as_bytes()),
            value: Span::of(head, field.value),
        }
    }
}

/// The fields that stand in these places; their values share the memory of the head.
pub(super) fn fields(head: &Bytes, places: &[Place]) -> Result<HeaderMap, HeadFault> {
    // Whoever passes a head on adds a field or two.
    let mut headers = HeaderMap::with_capacity(places.len() + 3);
    for Place { name, value } in places {
        let name = HeaderName::from_bytes(&head[name.range()])
            .map_err(|_| HeadFault::Malformed(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_maybe_shared(head.slice(value.range()))
            .map_err(|_| HeadFault::Malformed(httparse::Error::HeaderValue))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Takes the head of an answer out of `buffer`; `None` where it has not all come. It may have `most` bytes.
///
/// # Errors
/// The bytes are no answer; the connection can carry nothing more.
pub fn answer_head(buffer: &mut BytesMut, most: usize) -> Result<Option<AnswerHead>, HeadFault> {
    // Room for all the fields that there may be costs more to make than most heads to read.
    match read_answer::<USUAL_FIELDS>(buffer, most) {
        Err(HeadFault::TooLarge) => read_answer::<MAX_FIELDS>(buffer, most),
        read => read,
    }
}

fn read_answer<const FIELDS: usize>(
    buffer: &mut BytesMut,
    most: usize,
) -> Result<Option<AnswerHead>, HeadFault> {
    let mut places = [Place::NOWHERE; FIELDS];
    let Some(parsed) = answer_places(buffer, &mut places)? else {
        return if buffer.len() >= most {
            Err(HeadFault::TooLarge)
        } else {
            Ok(None)
        };
    };
    if parsed.length > most {
        return Err(HeadFault::TooLarge);
    }
    let bytes = buffer.split_to(parsed.length).freeze();
    let headers = fields(&bytes, &places[..parsed.fields])?;
    Ok(Some(AnswerHead {
        version: match parsed.minor {
            0 => Version::HTTP_10,
            _ => Version::HTTP_11,
        },
        status: StatusCode::from_u16(parsed.status).map_err(|_| HeadFault::Status)?,
        headers,
    }))
}

struct Parsed {
    length: usize,
    minor: u8,
    status: u16,
    fields: usize,
}

fn answer_places<const FIELDS: usize>(
    buffer: &[u8],
    places: &mut [Place; FIELDS],
) -> Result<Option<Parsed>, HeadFault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = answer.parse(buffer)? else {
        return Ok(None);
    };
    if u32::try_from(length).is_err() {
        return Err(HeadFault::TooLarge);
    }
    for (field, place) in answer.headers.iter().zip(places.iter_mut()) {
        *place = Place::of(buffer, field);
    }
    Ok(Some(Parsed {
        length,
        minor: answer.version.unwrap_or(1),
        status: answer.code.unwrap_or(0),
        fields: answer.headers.len(),
    }))
}

/// The head of a request while it is written, and then as it is sent.
#[derive(Debug, Default)]
pub struct RequestHead {
    bytes: Vec<u8>,
    /// Where the host stands.
    host: Range<usize>,
}

impl RequestHead {
    /// Begins with the request line (`target` in origin form) and `Host`, which RFC 9110 section 7.2 wants first. `memory` is
    /// written over.
    pub fn begin(
        memory: Vec<u8>,
        method: &Method,
        target: &str,
        write_host: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        let mut bytes = memory;
        bytes.clear();
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        if !target.starts_with('/') {
            // `http://host?query` in absolute form (RFC 9112 section 3.2.1: an empty path is sent as a slash).
            bytes.push(b'/');
        }
        bytes.extend_from_slice(target.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        let start = bytes.len();
        write_host(&mut bytes);
        let host = start..bytes.len();
        bytes.extend_from_slice(b"\r\n");
        Self { bytes, host }
    }

    /// Adds a field. Neither part may hold a line end.
    pub fn field(&mut self, name: &str, value: &[u8]) {
        self.bytes.reserve(name.len() + value.len() + 4);
        self.field_with(name, |bytes| bytes.extend_from_slice(value));
    }

    /// Adds a field whose value `write` appends.
    pub fn field_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        write(&mut self.bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Puts another host in the place of the one that is there.
    pub fn replace_host(&mut self, host: &[u8]) {
        if self.bytes[self.host.clone()] == *host {
            return;
        }
        let start = self.host.start;
        self.bytes
            .splice(self.host.clone(), host.iter().copied())
            .for_each(drop);
        self.host = start..start + host.len();
    }

    /// Adds the empty line: nothing comes after it.
    pub fn end(&mut self) {
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// What is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory, for the next head.
    pub fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    /// The target of the request line.
    pub fn target(&self) -> &str {
        let line = self.lines().next().unwrap_or_default();
        let target = line.split(|byte| *byte == b' ').nth(1);
        target
            .and_then(|target| std::str::from_utf8(target).ok())
            .unwrap_or_default()
    }

    /// Names and values, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines().skip(1).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name, &line[colon + 2..]))
        })
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }
}

impl AsRef<[u8]> for RequestHead {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Option<AnswerHead>, HeadFault> {
        answer_head(&mut BytesMut::from(text), 1000)
    }

    #[test]
    fn a_head_is_taken_and_the_rest_left() {
        let mut buffer = BytesMut::from(
            "HTTP/1.1 200 OK\r\nA: b\r\nEmpty:\r\nSet-Cookie: x\r\nset-cookie: y \r\n\r\nbody",
        );
        let head = answer_head(&mut buffer, 1000).unwrap().unwrap();
        assert_eq!(
            (head.version, head.status.as_u16()),
            (Version::HTTP_11, 200)
        );
        assert_eq!(
            (&head.headers["a"], &head.headers["empty"]),
            (
                &HeaderValue::from_static("b"),
                &HeaderValue::from_static("")
            )
        );
        let cookies: Vec<_> = head.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["x", "y"]);
        assert_eq!(&buffer[..], b"body");
        assert!(read("HTTP/1.1 200 OK\r\nA: b\r\n").unwrap().is_none());
        assert_eq!(
            read("HTTP/1.0 204\r\n\r\n").unwrap().unwrap().version,
            Version::HTTP_10
        );
    }

    #[test]
    fn j8_what_is_too_large_or_no_head_is_a_fault() {
        let fields = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert!(read(&fields(100)).unwrap().is_some());
        assert_eq!(read(&fields(101)).unwrap_err(), HeadFault::TooLarge);
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(1000));
        assert_eq!(read(&long).unwrap_err(), HeadFault::TooLarge);
        assert_eq!(
            read(&format!("{long}\r\n\r\n")).unwrap_err(),
            HeadFault::TooLarge
        );
        for text in [
            "SSH-2.0-x\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 2000 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        ] {
            assert!(
                matches!(read(text), Err(HeadFault::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_request_is_written_with_its_host_first_which_can_be_replaced() {
        let write_host = |bytes: &mut Vec<u8>| bytes.extend_from_slice(b"acme.test");
        let mut head = RequestHead::begin(b"old".to_vec(), &Method::GET, "/x?y", write_host);
        head.field("a", b"b");
        head.field_with("c", |bytes| bytes.extend_from_slice(b"d: e"));
        head.end();
        let sent = |head: &RequestHead| String::from_utf8(head.as_bytes().to_vec()).unwrap();
        assert_eq!(
            sent(&head),
            "GET /x?y HTTP/1.1\r\nhost: acme.test\r\na: b\r\nc: d: e\r\n\r\n"
        );
        for host in ["other.test:8080", "x", "acme.test"] {
            head.replace_host(host.as_bytes());
            let expected = format!("GET /x?y HTTP/1.1\r\nhost: {host}\r\na: b\r\nc: d: e\r\n\r\n");
            assert_eq!(sent(&head), expected);
        }
        assert_eq!(head.target(), "/x?y");
        let bare = RequestHead::begin(Vec::new(), &Method::GET, "?x", |_| {});
        assert_eq!(bare.target(), "/?x");
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(
            fields,
            [("host", &b"acme.test"[..]), ("a", b"b"), ("c", b"d: e")]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = answer_head(&mut BytesMut::from(&bytes[..]), 200);
        }
    }
}
