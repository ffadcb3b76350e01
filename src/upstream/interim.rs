//! Counts the interim answers (1xx) before the answer proper.
//!
//! hyper drops them without a bound, and its callback for them costs an allocation on every request; an answer that is no interim
//! one is recognised here by its twelfth byte.

/// How many interim answers may come before the answer (RFC 9110 section 15.2 has no number; nobody needs more).
const MAX_INTERIM: u8 = 10;

/// Where in an answer's heads the bytes have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heads {
    at: At,
    interim: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a status line, before the end of its status: bytes seen, and the digits among them.
    Status { seen: u8, digits: [u8; 3] },
    /// In the rest of an interim head.
    Rest { line_start: bool },
    /// The answer proper has begun.
    Answer,
}

/// More interim answers came than anybody needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flood;

impl Heads {
    /// Nothing has come yet.
    pub(super) fn new() -> Self {
        Self {
            at: At::BEGIN,
            interim: 0,
        }
    }

    /// Looks at the bytes that came next.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), Flood> {
        for byte in bytes {
            self.at = match self.at {
                At::Answer => return Ok(()),
                At::Status { seen, digits } => self.status(seen, digits, *byte)?,
                At::Rest { line_start: true } if *byte == b'\n' => At::BEGIN,
                At::Rest { line_start } => At::Rest {
                    line_start: *byte == b'\n' || (line_start && *byte == b'\r'),
                },
            };
        }
        Ok(())
    }

    /// `HTTP/1.1 nnn`: the digits are the bytes 9 to 11. Empty lines before it are skipped, as the parser does.
    fn status(&mut self, seen: u8, mut digits: [u8; 3], byte: u8) -> Result<At, Flood> {
        if seen == 0 && matches!(byte, b'\r' | b'\n') {
            return Ok(At::BEGIN);
        }
        if let Some(digit) = digits.get_mut(usize::from(seen).wrapping_sub(9)) {
            *digit = byte;
        }
        if seen < 11 {
            return Ok(At::Status {
                seen: seen + 1,
                digits,
            });
        }
        if digits[0] != b'1' || &digits == b"101" {
            return Ok(At::Answer);
        }
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(Flood);
        }
        Ok(At::Rest { line_start: false })
    }
}

impl At {
    const BEGIN: At = At::Status {
        seen: 0,
        digits: [0; 3],
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(interim: usize) -> Vec<u8> {
        let mut bytes = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(interim);
        bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        bytes
    }

    #[test]
    fn what_comes_after_the_answer_began_is_not_looked_at() {
        let mut heads = Heads::new();
        heads.feed(&answer(0)).unwrap();
        heads.feed(&answer(20)).unwrap();
        assert_eq!(heads.at, At::Answer);
        let mut heads = Heads::new();
        heads.feed(b"HTTP/1.1 101 Switching Protocols\r\n").unwrap();
        assert_eq!(heads.at, At::Answer);
    }

    proptest! {
        #[test]
        fn ten_pass_and_eleven_do_not_however_they_are_cut(interim in 0_usize..14, cut in 1_usize..60) {
            let mut heads = Heads::new();
            let all = answer(interim).chunks(cut).try_for_each(|bytes| heads.feed(bytes));
            prop_assert_eq!(all.is_ok(), interim <= usize::from(MAX_INTERIM));
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Heads::new().feed(&bytes);
        }
    }
}
