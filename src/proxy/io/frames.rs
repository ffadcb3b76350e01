//! Where HTTP/2 frames begin and end (RFC 9113 section 4.1), byte by byte and without keeping any payload.

use super::sniff::PREFACE;

/// The nine bytes before every payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Bytes of payload.
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// Frame types (RFC 9113 section 6).
pub(super) mod kind {
    pub(in super::super) const DATA: u8 = 0;
    pub(in super::super) const HEADERS: u8 = 1;
    pub(in super::super) const PRIORITY: u8 = 2;
    pub(in super::super) const RST_STREAM: u8 = 3;
    pub(in super::super) const SETTINGS: u8 = 4;
    pub(in super::super) const PUSH_PROMISE: u8 = 5;
    pub(in super::super) const PING: u8 = 6;
    pub(in super::super) const GOAWAY: u8 = 7;
    pub(in super::super) const WINDOW_UPDATE: u8 = 8;
    pub(in super::super) const CONTINUATION: u8 = 9;
}

/// On HEADERS and CONTINUATION: the header block ends here.
pub(super) const END_HEADERS: u8 = 0x4;
const HEAD: usize = 9;

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct FrameParser {
    head: [u8; HEAD],
    have: usize,
    /// Bytes to come that are no frame head: the preface, a payload.
    skip: usize,
    /// Of the frame whose payload is being skipped.
    kind: Option<u8>,
}

impl FrameParser {
    /// What a client sends: the preface, then frames.
    pub(super) fn of_client() -> Self {
        Self {
            skip: PREFACE.len(),
            ..Self::of_server()
        }
    }

    /// What a server sends: frames.
    pub(super) fn of_server() -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            skip: 0,
            kind: None,
        }
    }

    /// Takes the next bytes and calls `frame` for each frame whose head is complete with them.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut frame: impl FnMut(FrameHead)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes = &bytes[n..];
                continue;
            }
            let n = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEAD {
                let head = read_head(self.head);
                self.have = 0;
                self.skip = head.length as usize;
                self.kind = Some(head.kind);
                frame(head);
            }
        }
    }

    /// Whether the bytes so far end with a whole frame.
    pub(super) fn at_boundary(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    /// Whether the bytes so far end inside the payload of a DATA frame.
    pub(super) fn inside_data(&self) -> bool {
        self.skip > 0 && self.kind == Some(kind::DATA)
    }
}

fn read_head(bytes: [u8; HEAD]) -> FrameHead {
    let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = bytes;
    FrameHead {
        length: u32::from_be_bytes([0, l0, l1, l2]),
        kind,
        flags,
        stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(frames: &[FrameHead], preface: bool) -> Vec<u8> {
        let mut bytes = if preface {
            PREFACE.to_vec()
        } else {
            Vec::new()
        };
        for frame in frames {
            bytes.extend(&frame.length.to_be_bytes()[1..]);
            bytes.extend([frame.kind, frame.flags]);
            bytes.extend(frame.stream.to_be_bytes());
            // A payload that looks like frame heads must not be taken for them.
            bytes.extend(std::iter::repeat_n(1, frame.length as usize));
        }
        bytes
    }

    fn frame() -> impl Strategy<Value = FrameHead> {
        (0u32..300, 0u8..12, any::<u8>(), 0u32..0x7fff_ffff).prop_map(
            |(length, kind, flags, stream)| FrameHead {
                length,
                kind,
                flags,
                stream,
            },
        )
    }

    proptest! {
        #[test]
        fn any_split_finds_the_same_frames(
            frames in proptest::collection::vec(frame(), 0..20),
            preface: bool,
            cuts in proptest::collection::vec(1usize..40, 1..200),
        ) {
            let bytes = wire(&frames, preface);
            let mut parser = if preface { FrameParser::of_client() } else { FrameParser::of_server() };
            let mut found = Vec::new();
            let (mut rest, mut cuts) = (&bytes[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                parser.feed(piece, |head| found.push(head));
                rest = later;
            }
            prop_assert_eq!(found, frames);
            prop_assert!(parser.at_boundary());
        }

        #[test]
        fn any_bytes_do_no_harm(bytes: Vec<u8>) {
            let mut parser = FrameParser::of_client();
            let mut payload = 0u64;
            parser.feed(&bytes, |head| payload += u64::from(head.length));
            prop_assert!(!(parser.at_boundary() && parser.inside_data()));
        }

        #[test]
        fn a_cut_anywhere_in_a_frame_is_no_boundary(head in frame(), at in 1usize..309) {
            let bytes = wire(&[head], false);
            prop_assume!(at < bytes.len());
            let mut parser = FrameParser::of_server();
            parser.feed(&bytes[..at], |_| ());
            prop_assert!(!parser.at_boundary());
            prop_assert_eq!(parser.inside_data(), at >= HEAD && head.kind == kind::DATA);
        }
    }
}
