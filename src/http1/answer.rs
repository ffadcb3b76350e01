//! Heads of answers as visitors get them. Whatever an answer's fields say of its length and of the connection, only this writes it.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode, Version};

/// How an answer's body is framed (RFC 9112 section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// None follows; the head may say how long another answer's would be (RFC 9110 section 8.6: to HEAD, and in a 304).
    Bodiless(Option<u64>),
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// To the end of the connection.
    UntilClose,
}

/// What becomes of the connection behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// It goes on.
    Open,
    /// It ends.
    Closed,
    /// It is another protocol's.
    Upgraded,
}

/// Appends an answer's head without the empty line at its end. `asked` is the request's version: who speaks 1.0 is told so.
pub fn write_answer(
    bytes: &mut Vec<u8>,
    asked: Version,
    status: StatusCode,
    headers: &HeaderMap,
    framing: Framing,
    afterwards: Afterwards,
) {
    let old = asked < Version::HTTP_11;
    bytes.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    bytes.extend_from_slice(status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING && *name != CONNECTION {
            add_field(bytes, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        Framing::Bodiless(Some(length)) | Framing::Length(length) => add_field(
            bytes,
            "content-length",
            itoa::Buffer::new().format(length).as_bytes(),
        ),
        Framing::Chunked => add_field(bytes, "transfer-encoding", b"chunked"),
        Framing::Bodiless(None) | Framing::UntilClose => {}
    }
    match afterwards {
        // What each version does without being told (RFC 9112 section 9.3).
        Afterwards::Open if old => add_field(bytes, "connection", b"keep-alive"),
        Afterwards::Open => {}
        Afterwards::Closed => add_field(bytes, "connection", b"close"),
        Afterwards::Upgraded => add_field(bytes, "connection", b"upgrade"),
    }
}

/// Appends a field. Neither part may hold a line end.
pub fn add_field(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    let name = name.as_bytes();
    bytes.reserve(name.len() + value.len() + 4);
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(asked: Version, status: u16, framing: Framing, afterwards: Afterwards) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-length", "7"),
            ("a", "b"),
            ("connection", "x"),
            ("transfer-encoding", "y"),
            ("a", "c"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let mut bytes = Vec::new();
        let status = StatusCode::from_u16(status).unwrap();
        write_answer(&mut bytes, asked, status, &headers, framing, afterwards);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn length_and_connection_are_said_once_and_by_nobody_else() {
        let new = Version::HTTP_11;
        assert_eq!(
            written(new, 200, Framing::Length(3), Afterwards::Open),
            "HTTP/1.1 200 OK\r\na: b\r\na: c\r\ncontent-length: 3\r\n"
        );
        assert_eq!(
            written(new, 404, Framing::Chunked, Afterwards::Closed),
            "HTTP/1.1 404 Not Found\r\na: b\r\na: c\r\ntransfer-encoding: chunked\r\nconnection: close\r\n"
        );
        assert_eq!(
            written(new, 101, Framing::Bodiless(None), Afterwards::Upgraded),
            "HTTP/1.1 101 Switching Protocols\r\na: b\r\na: c\r\nconnection: upgrade\r\n"
        );
        assert_eq!(
            written(new, 599, Framing::Bodiless(Some(7)), Afterwards::Open),
            "HTTP/1.1 599 \r\na: b\r\na: c\r\ncontent-length: 7\r\n"
        );
        assert_eq!(
            written(
                Version::HTTP_10,
                200,
                Framing::UntilClose,
                Afterwards::Closed
            ),
            "HTTP/1.0 200 OK\r\na: b\r\na: c\r\nconnection: close\r\n"
        );
        assert_eq!(
            written(Version::HTTP_10, 200, Framing::Length(0), Afterwards::Open),
            "HTTP/1.0 200 OK\r\na: b\r\na: c\r\ncontent-length: 0\r\nconnection: keep-alive\r\n"
        );
    }
}
