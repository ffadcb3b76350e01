//! Text as the inside of a JSON string that is also safe to show on a terminal.

use crate::model::eights::{self, are, each};

/// Appends `text` to `out`. Quotes, backslashes and everything that is not shown as itself are escaped: the control characters of
/// ASCII and Latin-1 (a terminal obeys U+009B as it does ESC `[`), DEL, line and paragraph separators, and the marks that
/// turn the direction of writing. What is not UTF-8 becomes `\ufffd`.
pub(super) fn write(out: &mut Vec<u8>, text: &[u8]) {
    if are_plain(text) {
        out.extend_from_slice(text);
    } else {
        write_with_care(out, text);
    }
}

fn write_with_care(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            write_char(out, character);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(br"\ufffd");
        }
    }
}

/// Whether all bytes are of the kind that nearly all are: printable ASCII, neither quote nor backslash.
fn are_plain(text: &[u8]) -> bool {
    !eights::any(text, b' ', |word| {
        // Beyond ASCII, below the space, and DEL.
        let hidden = word | word.wrapping_sub(each(b' ')) | word.wrapping_add(each(1));
        hidden | are(word, b'"') | are(word, b'\\')
    })
}

fn write_char(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        hidden if is_hidden(hidden) => write_unit(out, u32::from(hidden)),
        shown => out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// All of these lie in the basic plane, so that one `\u` is enough.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn write_unit(out: &mut Vec<u8>, unit: u32) {
    out.extend_from_slice(br"\u");
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[(unit >> shift & 0xf) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_acts_on_a_terminal_or_ends_the_line() {
        for (text, expected) in [
            (&b"plain /path"[..], "plain /path"),
            (b"a\"b\\c", r#"a\"b\\c"#),
            (b"\r\n\t\0", r"\r\n\t\u0000"),
            (b"\x1b[31mred\x7f", r"\u001b[31mred\u007f"),
            ("\u{9b}31m".as_bytes(), r"\u009b31m"),
            (
                "a\u{2028}b\u{202e}c\u{feff}".as_bytes(),
                r"a\u2028b\u202ec\ufeff",
            ),
            ("größe 日本 🦀".as_bytes(), "größe 日本 🦀"),
            (b"\xff\xfea", r"\ufffd\ufffda"),
            (b"cut \xf0\x9f\xa6", r"cut \ufffd"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn a_byte_that_is_not_plain_is_found_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let plain = matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            for place in 0..17 {
                let mut text = *b"a plain beginning";
                text[place] = byte;
                assert_eq!(are_plain(&text), plain, "{byte} at {place}");
                assert_eq!(are_plain(&text[place..=place]), plain, "{byte} alone");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_make_one_json_string(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            let json = format!("\"{}\"", escaped(&text));
            prop_assert!(!json.chars().any(char::is_control));
            let read: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&text));
        }
    }
}
