//! Bytes looked at eight at a time, where every request has texts in which something rare must be found.
//!
//! A question about a byte is asked of all eight at once, and its answer stands in the uppermost bit of each byte's place. A byte that
//! says yes may disturb the answers above it, so that only whether any of them does can be read.

/// Bytes in a word.
const WORD: usize = size_of::<u64>();
/// The bits in which answers stand.
const ANSWERS: u64 = each(0x80);

/// A word with `byte` in all places.
pub(crate) const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; WORD])
}

/// Asks whether a byte is `wanted`.
#[inline]
pub(crate) const fn are(word: u64, wanted: u8) -> u64 {
    let word = word ^ each(wanted);
    word.wrapping_sub(each(1)) & !word
}

/// Whether `question` says yes to any byte of `text`. To `filler` it says no: a text that is shorter than a word is filled up with it.
#[inline]
pub(crate) fn any(text: &[u8], filler: u8, question: impl Fn(u64) -> u64) -> bool {
    let (words, rest) = text.as_chunks::<WORD>();
    let mut answers = 0;
    for word in words {
        answers |= question(u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        // The last word overlaps the one before.
        let last = text.last_chunk().copied().unwrap_or_else(|| {
            let mut word = [filler; WORD];
            word[..rest.len()].copy_from_slice(rest);
            word
        });
        answers |= question(u64::from_le_bytes(last));
    }
    answers & ANSWERS != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{WORD, are};
    use crate::model::eights;

    #[test]
    fn every_byte_is_found_in_every_place() {
        for wanted in 0..=u8::MAX {
            let other = wanted.wrapping_add(1);
            for length in 1..=3 * WORD {
                let mut text = vec![other; length];
                assert!(!eights::any(&text, other, |word| are(word, wanted)));
                for place in 0..length {
                    text[place] = wanted;
                    assert!(
                        eights::any(&text, other, |word| are(word, wanted)),
                        "{wanted} at {place}"
                    );
                    text[place] = other;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_there(text in proptest::collection::vec(any::<u8>(), 0..40), wanted: u8) {
            let filler = wanted.wrapping_add(1);
            let found = eights::any(&text, filler, |word| are(word, wanted));
            prop_assert_eq!(found, text.contains(&wanted));
        }
    }
}
