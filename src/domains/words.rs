//! How findings are worded: names with what they look like, values of strangers made harmless, and who said what.

use crate::model::Hostname;

/// The name, and what it looks like where it is written in another script.
pub(super) fn shown(name: &Hostname) -> String {
    let (unicode, well) = idna::domain_to_unicode(name.as_str());
    match well.is_ok() && unicode != name.as_str() {
        true => format!("{name} ({unicode})"),
        false => name.to_string(),
    }
}

/// A value that somebody else has written, in quotes: no line ends, no terminal codes, and not too long.
pub(super) fn quoted(value: &str) -> String {
    let mut text: String = value
        .chars()
        .take(LONGEST)
        .collect::<String>()
        .escape_debug()
        .collect();
    if value.chars().nth(LONGEST).is_some() {
        text.push('…');
    }
    format!("\"{text}\"")
}

/// `a, b and c`; the rest only as a number.
pub(super) fn listed(items: &[String]) -> String {
    let (some, rest) = items.split_at(items.len().min(MOST));
    match (some, rest.len()) {
        ([], _) => String::new(),
        (some, 0) => match some {
            [one] => one.clone(),
            [many @ .., last] => format!("{} and {last}", many.join(", ")),
            [] => String::new(),
        },
        (some, more) => format!("{} and {more} more", some.join(", ")),
    }
}

/// What was said, as one text; who said what where they do not all say the same.
pub(super) fn told(said: &[(String, String)]) -> String {
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for (by, text) in said {
        match groups.iter_mut().find(|(known, _)| known == text) {
            Some((_, who)) => who.push(by.clone()),
            None => groups.push((text, vec![by.clone()])),
        }
    }
    match groups.as_slice() {
        [(text, _)] => (*text).to_owned(),
        many => {
            let lines = many
                .iter()
                .map(|(text, who)| format!("{}: {text}", listed(who)));
            lines.collect::<Vec<_>>().join("; ")
        }
    }
}

/// Longest value that is repeated: a whole proof fits.
const LONGEST: usize = 100;
/// As many as are worth reading.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_in_other_scripts_are_shown_as_they_look() {
        let text = |name: &str| shown(&Hostname::parse(name).unwrap());
        assert_eq!(text("app.acme.com"), "app.acme.com");
        assert_eq!(
            text("xn--bcher-kva.example"),
            "xn--bcher-kva.example (bücher.example)"
        );
        assert_eq!(text("_dmarc.acme.com"), "_dmarc.acme.com");
    }

    #[test]
    fn who_said_what_is_told_only_where_they_differ() {
        let said = |by: &str, text: &str| (by.to_owned(), text.to_owned());
        assert_eq!(told(&[said("a", "x"), said("b", "x")]), "x");
        let differ = [said("a", "x"), said("b", "y"), said("c", "x")];
        assert_eq!(told(&differ), "a and c: x; b: y");
    }

    proptest! {
        #[test]
        fn what_strangers_wrote_cannot_reach_a_terminal(value in "\\PC{0,150}|[\\x00-\\x9f]{0,20}") {
            let text = quoted(&value);
            prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
        }
    }
}
