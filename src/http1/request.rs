//! Heads of requests as visitors send them, and what their framing says. Strict: what two readers could read differently is a fault.

use bytes::{Buf as _, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::body::BodyDecoder;
use super::head::{HeadFault, MAX_FIELDS, Place, Span, USUAL_FIELDS, fields};

/// Takes the head of a request out of `buffer`; `None` where it has not all come. It may have `most` bytes. Empty lines before it are
/// skipped (RFC 9112 section 2.2). The head is boxed, because it is handed on often.
///
/// # Errors
/// The bytes are no request; the connection can carry nothing more.
pub fn request_head(buffer: &mut BytesMut, most: usize) -> Result<Option<Box<Parts>>, HeadFault> {
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    // Room for all the fields that there may be costs more to make than most heads to read.
    match read::<USUAL_FIELDS>(buffer, most) {
        Err(HeadFault::TooLarge) => read::<MAX_FIELDS>(buffer, most),
        read => read,
    }
}

fn read<const FIELDS: usize>(
    buffer: &mut BytesMut,
    most: usize,
) -> Result<Option<Box<Parts>>, HeadFault> {
    let mut places = [Place::NOWHERE; FIELDS];
    let Some(line) = places_of(buffer, &mut places)? else {
        return match buffer.len() {
            length if length < most => Ok(None),
            _ if buffer.contains(&b'\n') => Err(HeadFault::TooLarge),
            // Still in its first line.
            _ => Err(HeadFault::UriTooLong),
        };
    };
    if line.length > most {
        return Err(HeadFault::TooLarge);
    }
    let bytes = buffer.split_to(line.length).freeze();
    let method = Method::from_bytes(&bytes[line.method.range()])
        .map_err(|_| HeadFault::Malformed(httparse::Error::Token))?;
    let target = bytes.slice(line.target.range());
    // As many as a `Uri` can hold.
    if target.len() >= usize::from(u16::MAX) {
        return Err(HeadFault::UriTooLong);
    }
    let uri =
        Uri::from_maybe_shared(target).map_err(|_| HeadFault::Malformed(httparse::Error::Token))?;
    let headers = fields(&bytes, &places[..line.fields])?;
    let mut head = Box::new(Request::new(()).into_parts().0);
    head.method = method;
    head.uri = uri;
    head.version = match line.minor {
        0 => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    head.headers = headers;
    Ok(Some(head))
}

/// What stands where.
struct Line {
    length: usize,
    method: Span,
    target: Span,
    minor: u8,
    fields: usize,
}

fn places_of<const FIELDS: usize>(
    buffer: &[u8],
    places: &mut [Place; FIELDS],
) -> Result<Option<Line>, HeadFault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    // The parser skips a bare line feed too.
    if let Some(b'\n') = buffer.first() {
        return Err(HeadFault::Malformed(httparse::Error::NewLine));
    }
    let httparse::Status::Complete(length) = request.parse(buffer)? else {
        return Ok(None);
    };
    if u32::try_from(length).is_err() {
        return Err(HeadFault::TooLarge);
    }
    for (field, place) in request.headers.iter().zip(places.iter_mut()) {
        *place = Place::of(buffer, field);
    }
    let count = request.headers.len();
    if !ends_lines_whole(&buffer[..length], &places[..count]) {
        return Err(HeadFault::Malformed(httparse::Error::NewLine));
    }
    Ok(Some(Line {
        length,
        method: Span::of(buffer, request.method.unwrap_or_default().as_bytes()),
        target: Span::of(buffer, request.path.unwrap_or_default().as_bytes()),
        minor: request.version.unwrap_or(1),
        fields: count,
    }))
}

/// Whether each line ends in CRLF: with a bare LF another reader may see one line where this one sees two (RFC 9112 section 2.2).
/// Lines are not folded, so that a field's name stands right behind the end of the line before it.
fn ends_lines_whole(head: &[u8], places: &[Place]) -> bool {
    let line_end_before = |place: &Place| {
        let name = place.name.range().start;
        name >= 2 && head[name - 2..name] == *b"\r\n"
    };
    head.ends_with(b"\r\n\r\n") && places.iter().all(line_end_before)
}

/// Why nobody can say where a request's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramingFault {
    /// RFC 9112 section 6.1, CVE-2021-21299: only exactly `chunked`, once.
    Coding,
    /// RFC 9112 section 6.1
    Version,
    /// RFC 9112 section 6.1: whoever sends both may want two readers to disagree.
    Both,
    /// RFC 9112 section 6.3
    Length,
}

impl FramingFault {
    /// For the visitor.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Coding => "The transfer coding is not supported.",
            Self::Version => "HTTP/1.0 has no transfer codings.",
            Self::Both => "The request has both a length and a transfer coding.",
            Self::Length => "The length is not one number.",
        }
    }
}

impl std::fmt::Display for FramingFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for FramingFault {}

/// How long a request's body is (RFC 9112 section 6.3).
///
/// # Errors
/// Readers could disagree; the connection can carry nothing more.
pub fn request_body(head: &Parts) -> Result<BodyDecoder, FramingFault> {
    let headers = &head.headers;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(match announced_length(headers)? {
            Some(length) => BodyDecoder::of_length(length),
            None => BodyDecoder::none(),
        });
    };
    if head.version < Version::HTTP_11 {
        return Err(FramingFault::Version);
    }
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(FramingFault::Both);
    }
    let only = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    only.then(BodyDecoder::strictly_chunked)
        .ok_or(FramingFault::Coding)
}

/// The same length may be said twice, in two lines.
fn announced_length(headers: &HeaderMap) -> Result<Option<u64>, FramingFault> {
    let mut length = None;
    for line in headers.get_all(CONTENT_LENGTH) {
        let digits = line.as_bytes();
        let number = std::str::from_utf8(digits)
            .ok()
            .filter(|_| digits.iter().all(u8::is_ascii_digit))
            .and_then(|digits| digits.parse::<u64>().ok())
            .ok_or(FramingFault::Length)?;
        if length.is_some_and(|length| length != number) {
            return Err(FramingFault::Length);
        }
        length = Some(number);
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
