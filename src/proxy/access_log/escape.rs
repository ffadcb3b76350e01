//! Text as the inside of a JSON string that is also safe to show on a terminal.

/// Appends `text` to `out`. Quotes, backslashes and everything that is not shown as itself are escaped: the control characters of
/// ASCII and Latin-1 (a terminal obeys U+009B as it does ESC `[`), DEL, line and paragraph separators, and the marks that
/// turn the direction of writing. What is not UTF-8 becomes `\ufffd`.
pub(super) fn write(out: &mut Vec<u8>, text: &[u8]) {
    let plain = text
        .iter()
        .position(|byte| !is_plain(*byte))
        .unwrap_or(text.len());
    out.extend_from_slice(&text[..plain]);
    for chunk in text[plain..].utf8_chunks() {
        for character in chunk.valid().chars() {
            write_char(out, character);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(br"\ufffd");
        }
    }
}

/// Almost every byte there is: needs no second look.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
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
