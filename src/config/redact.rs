//! Masking what must not be shown when a line of the configuration is shown.
//!
//! It works on the text, not on parsed values: the line that is shown is often one that could not be parsed. It rather masks
//! too much. Lengths stay as they are, so that carets still stand under the right place.

/// Keys whose value is an address that may hold a password.
const ADDRESSES: [&str; 3] = ["url", "owner_url", "listen_url"];
/// Words in a key that make its value a secret, unless it names a file.
const SECRET_WORDS: [&str; 6] = [
    "secret",
    "password",
    "passwd",
    "hmac",
    "private",
    "credential",
];

/// The text with secrets replaced by as many bytes of `*`.
pub(super) fn redact(text: &str) -> String {
    let mut shown = text.to_owned();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        for (start, end) in in_line(line) {
            mask(&mut shown, at + start, at + end);
        }
        at += line.len();
    }
    for (start, end) in in_long_strings(text) {
        mask(&mut shown, start, end);
    }
    shown
}

/// What to mask in one line.
fn in_line(line: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = line
        .match_indices('=')
        .filter(|(at, _)| is_secret_key(key_before(line, *at), &line[at + 1..]))
        .map(|(at, _)| (at + 1, line.len()))
        .collect();
    for (at, _) in line.match_indices("://") {
        let start = at + 3;
        let end = line[start..]
            .find(['"', '\''])
            .map_or(line.len(), |length| start + length);
        if line[..at].ends_with("postgres") || line[..at].ends_with("postgresql") {
            found.push((start, end));
            continue;
        }
        let address = &line[start..end];
        found.extend(address.rfind('@').map(|length| (start, start + length)));
        // A key for a program stands in the query as often as before the host.
        found.extend(address.find('?').map(|before| (start + before + 1, end)));
    }
    found
}

/// A secret key whose value starts a string of several lines: mask to where the string ends.
fn in_long_strings(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for quotes in ["\"\"\"", "'''"] {
        for (at, _) in text.match_indices(quotes) {
            let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let line = &text[line_start..at];
            let Some(equals) = line.rfind('=') else {
                continue;
            };
            if is_secret_key(key_before(line, equals), "") {
                let start = at + quotes.len();
                let end = text[start..]
                    .find(quotes)
                    .map_or(text.len(), |length| start + length);
                found.push((start, end));
            }
        }
    }
    found
}

/// The last part of the key that ends at byte `at`, lower case: `url` of `store.url`, `"url"` and `VESTIBULE_STORE__URL`.
fn key_before(line: &str, at: usize) -> String {
    let quoted = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let key = line[..at].trim_end_matches(quoted);
    let start = key
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
        .map_or(0, |before| before + 1);
    let start = key.ceil_char_boundary(start);
    let key = key[start..].to_ascii_lowercase();
    key.rsplit("__").next().unwrap_or_default().to_owned()
}

fn is_secret_key(key: String, value: &str) -> bool {
    let value = value.trim_start().trim_start_matches(['"', '\'']);
    if ADDRESSES.contains(&key.as_str()) {
        // What has a scheme that is known is masked behind it.
        let known = [
            "sqlite:",
            "http://",
            "https://",
            "postgres://",
            "postgresql://",
        ];
        return !known.iter().any(|scheme| value.starts_with(scheme));
    }
    !key.ends_with("_file") && SECRET_WORDS.iter().any(|word| key.contains(word))
}

/// Everything but line ends and quotes becomes `*`, byte by byte.
fn mask(text: &mut String, start: usize, end: usize) {
    let masked: String = text[start..end]
        .chars()
        .flat_map(|c| {
            let kept = matches!(c, '\n' | '\r' | '"' | '\'' | ' ');
            std::iter::repeat_n(if kept { c } else { '*' }, c.len_utf8())
        })
        .collect();
    text.replace_range(start..end, &masked);
}

#[cfg(test)]
mod tests {
    use super::redact;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_masked_and_the_rest_is_not() {
        for text in [
            "url = \"postgres://app:CANARY@db/x\"",
            "url = \"postgres://app:CAN ARY/CANARY@db/x\"",
            "url = 'postgresql://db/x?password=CANARY'",
            "store = { url = \"CANARY\" }",
            "endpoints = [\"http://u:CANARY@host:80\", \"http://b\"]",
            "jwks_url = \"https://host/keys?key=CANARY&x=CANARY\"",
            "hmac_secret = \"CANARY\"",
            "\"hmac_secret\" = \"CANARY",
            "db_password = '''\nCANARY\nCANARY",
            "VESTIBULE_STORE__URL=postgres://app:CANARY@db/x",
            "VESTIBULE_STORE__OWNER_URL=CANARY",
            "VESTIBULE_STORE__URL=postgres:/app:CANARY@db/x",
            "url = \"mysql://a:CANARY@db\"",
            "url = \"\"\"\npostgres://u:CANARY@db\"\"\"",
        ] {
            let shown = redact(text);
            assert!(!shown.contains("CANARY"), "{shown}");
            assert!(!shown.contains("ARY"), "{shown}");
            assert_eq!(shown.len(), text.len());
        }
        for text in [
            "url = \"sqlite:var/x.db\"",
            "http = [\"127.0.0.1:80\"]",
            "jwks_url = \"https://auth.example.com/jwks\"",
            "hmac_secret_file = \"var/hmac\"",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_keeps_its_length(text in "[a-z=:/@\"'\n äurl_password]{0,80}") {
            prop_assert_eq!(redact(&text).len(), text.len());
        }

        #[test]
        fn a_password_in_an_address_never_shows(
            user in "[a-z]{1,8}",
            tail in "[a-z@:/ ]{0,8}",
        ) {
            let text = format!("url = \"postgres://{user}:CANARY{tail}@db/x\"");
            prop_assert!(!redact(&text).contains("CANARY"));
        }
    }
}
