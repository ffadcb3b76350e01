//! Ids given to requests: random, so that they tell nothing, and drawn without a lock.

use std::cell::RefCell;

use bytes::{Buf as _, Bytes};
use http::HeaderValue;
use http::header::HeaderMap;
use rand::RngCore;
use rand::rngs::StdRng;

use crate::decide::Present;
use crate::decide::rewrite::{self, RequestIds, SpanId, TraceId};

/// A data-plane thread's source of ids.
#[derive(Debug)]
pub(super) struct IdSource(RefCell<Batch>);

/// Ids drawn in advance, in one piece of memory that those which were given away share: a request costs no allocation. What lasts for
/// hours holds on to the whole piece, which is why it is small.
#[derive(Debug)]
struct Batch {
    rng: StdRng,
    /// For each request a span and a trace in hexadecimal digits.
    left: Bytes,
}

/// Requests that one batch serves.
const REQUESTS: usize = 16;
/// Hexadecimal digits of a span's id.
const SPAN: usize = size_of::<SpanId>();
/// Hexadecimal digits of a trace's id, which is the request's id, too.
const TRACE: usize = size_of::<TraceId>();

impl IdSource {
    pub(super) fn new(rng: StdRng) -> Self {
        let left = Bytes::new();
        Self(RefCell::new(Batch { rng, left }))
    }

    /// The ids of a request, whose head has `present`: a trusted proxy's request id is kept, a valid trace is continued.
    pub(super) fn draw(&self, headers: &HeaderMap, present: Present, trusted: bool) -> RequestIds {
        let (span, id) = self.0.borrow_mut().next();
        let mut trace: TraceId = [0; TRACE];
        trace.copy_from_slice(&id);
        let drawn = HeaderValue::from_maybe_shared(id).unwrap_or(HeaderValue::from_static("0"));
        let mut ids = rewrite::ids(headers, present, trusted, drawn, &trace, &span);
        // No other answer has it: HTTP/2 would push what recurs out of its table for it, and look through all earlier ones each time.
        ids.request.set_sensitive(true);
        ids
    }
}

impl Batch {
    fn next(&mut self) -> (SpanId, Bytes) {
        if self.left.is_empty() {
            self.left = self.filled();
        }
        let mut span = [0; SPAN];
        self.left.copy_to_slice(&mut span);
        (span, self.left.split_to(TRACE))
    }

    fn filled(&mut self) -> Bytes {
        let mut random = [0; REQUESTS * (SPAN + TRACE) / 2];
        self.rng.fill_bytes(&mut random);
        let hex: Vec<[u8; 2]> = random.iter().map(|byte| HEX[usize::from(*byte)]).collect();
        hex.into_flattened().into()
    }
}

/// Every byte in hexadecimal digits.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < hex.len() {
        hex[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    hex
};

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn every_request_has_ids_of_its_own() {
        let source = IdSource::new(StdRng::from_seed([7; 32]));
        let mut seen = HashSet::new();
        for _ in 0..3 * REQUESTS {
            let ids = source.draw(&HeaderMap::new(), Present::default(), false);
            let parent = std::str::from_utf8(ids.trace_parent.as_bytes()).unwrap();
            let parts: Vec<&str> = parent.split('-').collect();
            let [version, trace, span, flags] = parts[..] else {
                panic!("{parent}");
            };
            assert_eq!(
                (version, trace.len(), span.len(), flags),
                ("00", TRACE, SPAN, "00")
            );
            assert_eq!(ids.request, trace);
            for id in [trace, span] {
                assert!(
                    id.bytes()
                        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
                );
                assert!(seen.insert(id.to_owned()), "{id} came twice");
            }
        }
    }

    /// With a place in HTTP/2's table of fields each id would push out what recurs, and be looked through with all the others for every
    /// later answer.
    #[test]
    fn an_id_gets_no_place_in_a_table_of_fields() {
        let source = IdSource::new(StdRng::from_seed([7; 32]));
        let draw = |headers: &HeaderMap, trusted| {
            let ids = source.draw(headers, Present::of(headers), trusted);
            ids.request
        };
        let mut headers = HeaderMap::new();
        assert!(draw(&headers, false).is_sensitive());
        let given = HeaderValue::from_static("0af7651916cd43dd8448eb211c80319c");
        headers.insert(&rewrite::REQUEST_ID, given.clone());
        let kept = draw(&headers, true);
        assert_eq!(kept, given);
        assert!(kept.is_sensitive());
    }
}
