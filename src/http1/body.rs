//! Bodies by their framing (RFC 9112 sections 6 and 7). Strict: what two readers could read differently is a fault.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest line with a chunk's size, its extensions included, in bytes.
const MAX_LINE: usize = 4 * 1024;
/// Most bytes of chunk extensions in one body (CVE-2023-39326: they carry nothing and cost as much as a body).
const MAX_EXTENSIONS: usize = 16 * 1024;
/// Longest trailer section in bytes, and most fields in it.
const MAX_TRAILERS: usize = 16 * 1024;
const MAX_TRAILER_FIELDS: usize = 64;

/// Takes a body out of a connection's bytes.
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    state: State,
    /// Whether a chunk's size may have spaces behind it, as some old servers pad it.
    strict: bool,
}

#[derive(Debug, Clone)]
enum State {
    Over,
    Length(u64),
    UntilClose,
    /// Before the line with a chunk's size; bytes of extensions so far.
    Size(usize),
    /// Within a chunk; bytes left of it, never 0.
    Chunk {
        left: u64,
        extensions: usize,
    },
    /// Before the line end that closes a chunk.
    ChunkEnd(usize),
    Trailers,
    /// Nothing behind a fault has any meaning: it is one for ever.
    Faulty(BodyFault),
}

/// What comes next in a body.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of the body, never none.
    Data(Bytes),
    /// The fields behind the last chunk, at least one: nothing comes after them.
    Trailers(HeaderMap),
    /// The body has ended.
    End,
    /// More has to be read to know.
    Wanting,
}

/// Why bytes are no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// RFC 9112 section 7.1
    #[error("a chunk's size is malformed")]
    Size,
    /// RFC 9112 section 7.1.1
    #[error("the chunk extensions are too long")]
    Extensions,
    /// The line end behind a chunk is missing.
    #[error("a chunk is longer than its size")]
    ChunkEnd,
    /// RFC 9112 section 7.1.2
    #[error("the trailer section is malformed")]
    Trailers,
    /// More than 64 fields, or than 16 KiB.
    #[error("the trailer section is too long")]
    LongTrailers,
    /// The connection ended first.
    #[error("the connection ended within the body")]
    Ended,
}

impl BodyDecoder {
    /// No body.
    pub fn none() -> Self {
        Self::of(State::Over)
    }

    /// A body of `length` bytes.
    pub fn of_length(length: u64) -> Self {
        Self::of(match length {
            0 => State::Over,
            length => State::Length(length),
        })
    }

    /// A body in chunks.
    pub fn chunked() -> Self {
        Self::of(State::Size(0))
    }

    /// A body in chunks whose sizes nothing but an extension may follow: some old servers pad them with spaces, no visitor does.
    pub fn strictly_chunked() -> Self {
        Self {
            state: State::Size(0),
            strict: true,
        }
    }

    /// A body that ends with the connection.
    pub fn until_close() -> Self {
        Self::of(State::UntilClose)
    }

    fn of(state: State) -> Self {
        Self {
            state,
            strict: false,
        }
    }

    /// Whether the body has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the end of the connection ends the body.
    pub fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// How many bytes are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Over => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Takes what comes next out of `buffer`.
    ///
    /// # Errors
    /// The bytes have no meaning; the connection can carry nothing more.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, BodyFault> {
        self.advance(buffer)
            .inspect_err(|fault| self.state = State::Faulty(*fault))
    }

    fn advance(&mut self, buffer: &mut BytesMut) -> Result<Piece, BodyFault> {
        loop {
            match self.state {
                State::Faulty(fault) => return Err(fault),
                State::Over => return Ok(Piece::End),
                State::Length(left) => return Ok(self.data(buffer, left, 0)),
                State::Chunk { left, extensions } => {
                    return Ok(self.data(buffer, left, extensions));
                }
                State::UntilClose if buffer.is_empty() => return Ok(Piece::Wanting),
                State::UntilClose => return Ok(Piece::Data(buffer.split().freeze())),
                State::Size(extensions) => match take_size(buffer, extensions, self.strict)? {
                    None => return Ok(Piece::Wanting),
                    Some((0, _)) => self.state = State::Trailers,
                    Some((left, extensions)) => self.state = State::Chunk { left, extensions },
                },
                State::ChunkEnd(extensions) => match take_line_end(buffer)? {
                    false => return Ok(Piece::Wanting),
                    true => self.state = State::Size(extensions),
                },
                State::Trailers => match take_trailers(buffer)? {
                    None => return Ok(Piece::Wanting),
                    Some(trailers) => {
                        self.state = State::Over;
                        if !trailers.is_empty() {
                            return Ok(Piece::Trailers(trailers));
                        }
                    }
                },
            }
        }
    }

    /// The connection has ended: so has the body, if this is how it ends.
    ///
    /// # Errors
    /// There should have been more.
    pub fn closed(&mut self) -> Result<(), BodyFault> {
        match self.state {
            State::Over | State::UntilClose => {
                self.state = State::Over;
                Ok(())
            }
            State::Faulty(fault) => Err(fault),
            _ => Err(BodyFault::Ended),
        }
    }

    fn data(&mut self, buffer: &mut BytesMut, left: u64, extensions: usize) -> Piece {
        if buffer.is_empty() {
            return Piece::Wanting;
        }
        let take = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let data = buffer.split_to(take).freeze();
        let left = left - take as u64;
        self.state = match (&self.state, left) {
            (State::Length(_), 0) => State::Over,
            (State::Length(_), left) => State::Length(left),
            (_, 0) if buffer.starts_with(CHUNK_END_AND_LAST) => {
                // Mostly the end has come with the last bytes: seen now, it can leave with them too.
                buffer.advance(CHUNK_END_AND_LAST.len());
                State::Over
            }
            (_, 0) => State::ChunkEnd(extensions),
            (_, left) => State::Chunk { left, extensions },
        };
        Piece::Data(data)
    }
}

/// What closes a chunk.
pub(super) const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk, without trailers.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Both, one behind the other.
pub(super) const CHUNK_END_AND_LAST: &[u8] = b"\r\n0\r\n\r\n";

/// The line before a chunk of `size` bytes.
pub(super) fn chunk_head(size: usize, line: &mut [u8; 18]) -> &[u8] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    line[16..].copy_from_slice(b"\r\n");
    let mut at = 16;
    let mut left = size;
    loop {
        at -= 1;
        line[at] = DIGITS[left & 15];
        left >>= 4;
        if left == 0 {
            return &line[at..];
        }
    }
}

/// A line up to its CRLF, which is taken too; `None` where it has not all come.
fn take_size(
    buffer: &mut BytesMut,
    extensions: usize,
    strict: bool,
) -> Result<Option<(u64, usize)>, BodyFault> {
    let Some(end) = buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
        // What cannot become a size is refused as soon as it shows: an upstream that goes on would not.
        let digits = leading_digits(buffer);
        let wrong = match buffer.get(digits) {
            Some(byte) => digits == 0 || !matches!(byte, b';' | b'\r' | b' ' | b'\t'),
            None => digits > 16,
        };
        return match buffer.len() {
            _ if wrong => Err(BodyFault::Size),
            MAX_LINE.. => Err(BodyFault::Extensions),
            _ => Ok(None),
        };
    };
    let line = buffer[..end].strip_suffix(b"\r").ok_or(BodyFault::Size)?;
    let digits = leading_digits(line);
    if digits == 0 || digits > 16 || line.contains(&b'\r') {
        return Err(BodyFault::Size);
    }
    let size = line[..digits]
        .iter()
        .fold(0, |size, digit| size << 4 | u64::from(hex(*digit)));
    let extension = &line[digits..];
    let extensions = extensions + extension.len();
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    match extension.iter().find(|byte| !blank(byte)) {
        None if strict && !extension.is_empty() => return Err(BodyFault::Size),
        None | Some(b';') if extensions <= MAX_EXTENSIONS => {}
        None | Some(b';') => return Err(BodyFault::Extensions),
        Some(_) => return Err(BodyFault::Size),
    }
    buffer.advance(end + 1);
    Ok(Some((size, extensions)))
}

fn leading_digits(line: &[u8]) -> usize {
    line.iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        digit => (digit | 0x20) - b'a' + 10,
    }
}

/// Whether the line end was there.
fn take_line_end(buffer: &mut BytesMut) -> Result<bool, BodyFault> {
    match &buffer[..buffer.len().min(2)] {
        b"\r\n" => {
            buffer.advance(2);
            Ok(true)
        }
        b"\r" | b"" => Ok(false),
        _ => Err(BodyFault::ChunkEnd),
    }
}

/// The trailer section and the empty line behind it; `None` where it has not all come.
fn take_trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, BodyFault> {
    let mut start = 0;
    loop {
        let line = buffer[start..].iter().position(|byte| *byte == b'\n');
        let Some(line) = line.map(|length| &buffer[start..start + length]) else {
            return match buffer.len() {
                MAX_TRAILERS.. => Err(BodyFault::LongTrailers),
                _ => Ok(None),
            };
        };
        // A bare LF is no line end: with it another reader finds the end of the section somewhere else.
        let line = line.strip_suffix(b"\r").ok_or(BodyFault::Trailers)?;
        start += line.len() + 2;
        if start > MAX_TRAILERS {
            return Err(BodyFault::LongTrailers);
        }
        if line.is_empty() {
            break;
        }
    }
    let section = buffer.split_to(start);
    let mut fields = [httparse::EMPTY_HEADER; MAX_TRAILER_FIELDS];
    let fields = match httparse::parse_headers(&section, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) => fields,
        Err(httparse::Error::TooManyHeaders) => return Err(BodyFault::LongTrailers),
        Ok(httparse::Status::Partial) | Err(_) => return Err(BodyFault::Trailers),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_bytes(field.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(BodyFault::Trailers);
        };
        trailers.append(name, value);
    }
    Ok(Some(trailers))
}

#[cfg(test)]
mod tests;
