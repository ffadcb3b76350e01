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
        rewrite::ids(headers, trusted, drawn, as_text(trace), as_text(span))
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
