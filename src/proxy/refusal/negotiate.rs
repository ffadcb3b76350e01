//! Page or document? `Accept` with its weights (RFC 9110 sections 12.4.2 and 12.5.1).

use http::HeaderValue;

/// Whether the visitor would rather have HTML: it names `text/html` (or all of `text`) and weighs it above the JSON types, or
/// the same and earlier. Whatever takes anything, as command line tools say, gets JSON.
pub(super) fn prefers_html(accept: &HeaderValue) -> bool {
    let Ok(accept) = accept.to_str() else {
        return false;
    };
    let mut html = Preference::default();
    let mut json = Preference::default();
    for (place, range) in elements(accept, ',').filter_map(Range::parse).enumerate() {
        html.hear(&range, place, &[("text", "html")]);
        json.hear(
            &range,
            place,
            &[("application", "problem+json"), ("application", "json")],
        );
    }
    // By `*/*` alone nobody asks for a page.
    html.breadth
        .is_some_and(|breadth| breadth < Breadth::Anything)
        && html.weight > 0
        && (html.weight > json.weight || html.weight == json.weight && html.place < json.place)
}

/// How much a range takes in, the narrowest first: the narrowest that matches decides.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Breadth {
    One,
    OfType,
    Anything,
}

/// What was said about one of our two forms.
#[derive(Default)]
struct Preference {
    breadth: Option<Breadth>,
    /// In thousandths.
    weight: u16,
    place: usize,
}

impl Preference {
    fn hear(&mut self, range: &Range<'_>, place: usize, ours: &[(&str, &str)]) {
        let Some(breadth) = ours.iter().filter_map(|ours| range.covers(*ours)).min() else {
            return;
        };
        let narrower = self.breadth.is_none_or(|before| breadth < before);
        let heavier = self.breadth == Some(breadth) && range.weight > self.weight;
        if narrower || heavier {
            *self = Self {
                breadth: Some(breadth),
                weight: range.weight,
                place,
            };
        }
    }
}

struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    /// `None` where the element is malformed: it says nothing then.
    fn parse(element: &'a str) -> Option<Self> {
        let mut parts = elements(element, ';');
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut weight = 1000;
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                weight = thousandths(value.trim())?;
            }
        }
        Some(Self {
            kind,
            subtype,
            weight,
        })
    }

    fn covers(&self, (kind, subtype): (&str, &str)) -> Option<Breadth> {
        match (self.kind, self.subtype) {
            ("*", "*") => Some(Breadth::Anything),
            (of, "*") if of.eq_ignore_ascii_case(kind) => Some(Breadth::OfType),
            (of, one) if of.eq_ignore_ascii_case(kind) && one.eq_ignore_ascii_case(subtype) => {
                Some(Breadth::One)
            }
            _ => None,
        }
    }
}

/// A weight from 0 to 1 with at most three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match (whole, decimals) {
        ("0", _) => Some(decimals),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// Splits at `separator` outside quoted strings, without the blanks around.
fn elements(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |c: char| {
        let literal = escaped;
        escaped = quoted && c == '\\' && !literal;
        quoted ^= c == '"' && !literal;
        c == separator && !quoted
    })
    .map(str::trim)
    .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(accept: &str) -> bool {
        prefers_html(&HeaderValue::from_bytes(accept.as_bytes()).unwrap())
    }

    #[test]
    fn browsers_get_a_page() {
        for accept in [
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
            "text/html, application/json",
            "Text/HTML",
            "text/html;q=0.9, application/json;q=0.8",
            "text/html;level=\"1,2;q=0\", application/json;q=0.5",
            "text/*",
            "application/json;q=0.001, text/html ; q=0.002",
            "text/html;q=1.000, */*",
        ] {
            assert!(html(accept), "{accept}");
        }
    }

    #[test]
    fn programs_get_json() {
        for accept in [
            "",
            "*/*",
            "application/json, text/plain, */*",
            "application/json, text/html",
            "application/problem+json",
            "text/html;q=0.5, application/json;q=0.9",
            "text/html;q=0, */*;q=0.1",
            "text/html;q=0",
            "text/html;q=2",
            "text/html;q=0.1234",
            "text/html;q=",
            "text/html;q=0.5, */*",
            "text/*;q=0.9, text/html;q=0.1, application/json;q=0.2",
            "image/png",
            "html",
            "\"text/html",
            "text/html\u{ff}",
        ] {
            assert!(!html(accept), "{accept}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_be_read(accept in "[ -~]{0,80}") {
            html(&accept);
        }

        #[test]
        fn the_heavier_weight_wins(a in 0u16..=1000, b in 0u16..=1000) {
            let weight = |w: u16| format!("{}.{:03}", w / 1000, w % 1000);
            let accept = format!("application/json;q={}, text/html;q={}", weight(a), weight(b));
            prop_assert_eq!(html(&accept), b > a);
        }
    }
}
