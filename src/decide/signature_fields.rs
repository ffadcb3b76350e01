//! Inbound `Signature` and `Signature-Input` (RFC 9421): only the member that is ours to write is taken out.

use http::header::{HeaderMap, HeaderName};

use crate::http1::RequestHead;

/// The label of our own signature.
const LABEL: &str = "vestibule";

static FIELDS: [HeaderName; 2] = [
    HeaderName::from_static("signature"),
    HeaderName::from_static("signature-input"),
];

/// Writes both fields without the member `vestibule`, where `goes` says that they may go on. A field that is no dictionary (RFC 8941
/// section 3.2) is dropped whole, because the application might read one out of it where we see none.
pub(super) fn write(head: &mut RequestHead, headers: &HeaderMap, goes: impl Fn(&str) -> bool) {
    for name in &FIELDS {
        if !headers.contains_key(name) || !goes(name.as_str()) {
            continue;
        }
        let lines: Option<Vec<&str>> = headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().ok())
            .collect();
        let kept = lines.and_then(|lines| without_ours(&lines.join(",")));
        if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
            head.field(name.as_str(), kept.as_bytes());
        }
    }
}

/// The dictionary without our member, `None` where the text is no dictionary.
fn without_ours(text: &str) -> Option<String> {
    let mut kept = Vec::new();
    let mut rest = text.trim_matches([' ', '\t']);
    while !rest.is_empty() {
        let (member, after) = split_member(rest)?;
        let key = key_of(member)?;
        if key != LABEL {
            kept.push(member.trim_matches([' ', '\t']));
        }
        rest = after.trim_start_matches([' ', '\t']);
    }
    Some(kept.join(", "))
}

/// The text up to the next comma outside of strings, byte sequences and inner lists, and what follows the comma.
fn split_member(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_u32;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => skip_string(&mut chars)?,
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                let after = &text[at + 1..];
                // A trailing comma is no dictionary (RFC 8941 section 4.2.2).
                return (!after.trim().is_empty()).then_some((&text[..at], after));
            }
            ' '..='~' | '\t' => {}
            _ => return None,
        }
    }
    (depth == 0).then_some((text, ""))
}

fn skip_string(chars: &mut std::str::CharIndices<'_>) -> Option<()> {
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return Some(()),
            '\\' => {
                chars
                    .next()
                    .filter(|(_, escaped)| matches!(escaped, '"' | '\\'))?;
            }
            ' '..='~' => {}
            _ => return None,
        }
    }
    None
}

/// A member's key: `lcalpha` or `*` first, then also digits, `_`, `-`, `.` (RFC 8941 section 3.1.2).
fn key_of(member: &str) -> Option<&str> {
    let member = member.trim_matches([' ', '\t']);
    let end = member
        .find(|c: char| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '-' | '.' | '*'))
        .unwrap_or(member.len());
    let (key, rest) = member.split_at(end);
    let starts_well = key.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
    (starts_well && (rest.is_empty() || rest.starts_with(['=', ';']))).then_some(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::without_ours;

    #[test]
    fn only_our_member_goes() {
        assert_eq!(
            without_ours("sig1=:YQ==:, vestibule=:Yg==:").as_deref(),
            Some("sig1=:YQ==:")
        );
        assert_eq!(
            without_ours("vestibule=(\"@method\" \"a,b\");created=1;tag=\"x\", b=(\"c\")")
                .as_deref(),
            Some("b=(\"c\")")
        );
        assert_eq!(
            without_ours("vestibules=:YQ==:").as_deref(),
            Some("vestibules=:YQ==:")
        );
        assert_eq!(without_ours("vestibule").as_deref(), Some(""));
    }

    #[test]
    fn what_is_no_dictionary_is_dropped() {
        for bad in [
            "=x",
            "a=\"b",
            "a=(b",
            "a)",
            "A=1",
            "a=1,",
            "a=1,,b=2",
            "a=1 , vestibule\u{e9}",
        ] {
            assert_eq!(without_ours(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_never_holds_our_label_as_a_key(text in "[a-z=:\"(),; \\\\]{0,20}(vestibule)?[a-z=:\"(),; ]{0,20}") {
            if let Some(kept) = without_ours(&text) {
                prop_assert_eq!(without_ours(&kept), Some(kept.clone()), "{}", text);
            }
        }
    }
}
