//! Ids given to requests: random, so that they tell nothing, and drawn without a lock.

use std::cell::RefCell;

use http::HeaderValue;
use http::header::HeaderMap;
use rand::RngCore;
use rand::rngs::StdRng;

use crate::decide::rewrite::{self, RequestIds};

/// A data-plane thread's source of ids.
#[derive(Debug)]
pub(super) struct IdSource(RefCell<StdRng>);

impl IdSource {
    pub(super) fn new(rng: StdRng) -> Self {
        Self(RefCell::new(rng))
    }

    /// The ids of a request: a trusted proxy's request id is kept, a valid trace is continued.
    pub(super) fn draw(&self, headers: &HeaderMap, trusted: bool) -> RequestIds {
        let mut bytes = [0; 24];
        self.0.borrow_mut().fill_bytes(&mut bytes);
        let mut hex = [0; 48];
        encode_hex(&bytes, &mut hex);
        let (trace, span) = hex.split_at(32);
        let drawn = HeaderValue::from_bytes(trace).unwrap_or(HeaderValue::from_static("0"));
        let mut ids = rewrite::ids(headers, trusted, drawn, as_text(trace), as_text(span));
        // No other answer has it: HTTP/2 would push what recurs out of its table for it, and look through all earlier ones each time.
        ids.request.set_sensitive(true);
        ids
    }
}

fn encode_hex(bytes: &[u8], hex: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(hex.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn as_text(hex: &[u8]) -> &str {
    std::str::from_utf8(hex).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    /// With a place in HTTP/2's table of fields each id would push out what recurs, and be looked through with all the others for every
    /// later answer.
    #[test]
    fn an_id_gets_no_place_in_a_table_of_fields() {
        let source = IdSource::new(StdRng::from_seed([7; 32]));
        let mut headers = HeaderMap::new();
        assert!(source.draw(&headers, false).request.is_sensitive());
        let given = HeaderValue::from_static("0af7651916cd43dd8448eb211c80319c");
        headers.insert(&rewrite::REQUEST_ID, given.clone());
        let kept = source.draw(&headers, true).request;
        assert_eq!(kept, given);
        assert!(kept.is_sensitive());
    }
}
