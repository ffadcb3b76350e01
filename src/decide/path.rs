//! The path on platform hosts: which tenant it names, and what is left of it for the upstream.

use http::uri::PathAndQuery;

use crate::config::PathPrefix;
use crate::model::{Refusal, Slug};

/// What the path of a platform host says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PathClaim {
    /// The prefix does not match: the path names nobody.
    Nobody,
    /// It names this tenant; `len` bytes of the path are the prefix.
    Tenant {
        /// The slug as written.
        slug: Slug,
        /// The prefix's length in bytes, without a final slash.
        len: usize,
    },
    /// The prefix matches, but what stands in the tenant's place is no slug.
    NoSuchTenant,
}

/// Refuses what two readers of a path could read differently: on platform hosts a path decides whose data is shown.
///
/// Dot segments (raw, encoded, with a parameter), encoded slashes and backslashes, NUL, bad escapes (CVE-2019-9901,
/// CVE-2021-29492). An escape is decoded at most once: `%252e` is a harmless `%2e` to the upstream.
pub(super) fn check_platform_path(path: &str) -> Result<(), Refusal> {
    if path.contains('\\') {
        return Err(Refusal::bad_request("The path holds a backslash."));
    }
    check_escapes(path)?;
    if path.split('/').any(is_dot_segment) {
        return Err(Refusal::bad_request("The path holds a dot segment."));
    }
    Ok(())
}

fn check_escapes(path: &str) -> Result<(), Refusal> {
    let bytes = path.as_bytes();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let Some([high, low]) = rest.get(at + 1..at + 3) else {
            return Err(bad_escape());
        };
        match decode(*high, *low) {
            None => return Err(bad_escape()),
            Some(b'/' | b'\\') => {
                return Err(Refusal::bad_request("The path holds an encoded slash."));
            }
            Some(0) => return Err(Refusal::bad_request("The path holds a NUL.")),
            Some(_) => rest = &rest[at + 3..],
        }
    }
    if percent_decoded_is_utf8(bytes) {
        Ok(())
    } else {
        Err(bad_escape())
    }
}

fn bad_escape() -> Refusal {
    Refusal::bad_request("The path holds a bad escape.")
}

fn decode(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|value| value as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

/// Overlong and otherwise broken UTF-8 is how a filter and a file system come to disagree.
fn percent_decoded_is_utf8(bytes: &[u8]) -> bool {
    if !bytes.contains(&b'%') {
        return true;
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                decoded.push(decode(*high, *low).unwrap_or(*first));
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

/// `.` or `..` once decoded, with or without a `;parameter` behind it, as servlet containers read it.
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let mut dots = 0;
    let mut rest = name;
    while !rest.is_empty() {
        rest = match rest
            .strip_prefix('.')
            .or_else(|| rest.strip_prefix("%2e"))
            .or_else(|| rest.strip_prefix("%2E"))
        {
            Some(rest) => rest,
            // `..%3b` is `..;` after decoding.
            None => match rest.get(..3) {
                Some(escape) if escape.eq_ignore_ascii_case("%3b") => return dots > 0 && dots <= 2,
                _ => return false,
            },
        };
        dots += 1;
    }
    dots == 1 || dots == 2
}

/// Which tenant a checked path names. Matches on segment borders and to the letter: `/T/acme` is another path.
pub(super) fn claim(path: &str, prefix: Option<&PathPrefix>) -> PathClaim {
    let Some(prefix) = prefix else {
        return PathClaim::Nobody;
    };
    let Some(rest) = path.strip_prefix(prefix.before.as_str()) else {
        return if would_be_below(path, &prefix.before) {
            PathClaim::NoSuchTenant
        } else {
            PathClaim::Nobody
        };
    };
    if path == "/" {
        // Under `/{tenant}` too, the root of a platform host is its own: no segment, no tenant.
        return PathClaim::Nobody;
    }
    let segment = rest.split('/').next().unwrap_or_default();
    match Slug::parse(segment) {
        Ok(slug) => PathClaim::Tenant {
            slug,
            len: prefix.before.len() + segment.len(),
        },
        Err(_) => PathClaim::NoSuchTenant,
    }
}

/// `//t/acme`, `/t//acme` and `/%74/acme` would be the prefix to a reader that merges slashes or decodes: they are nobody's path
/// here.
fn would_be_below(path: &str, before: &str) -> bool {
    if !path.contains("//") && !path.contains('%') {
        return false;
    }
    let mut folded: Vec<u8> = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let (byte, after) = match (first, tail) {
            (b'%', [high, low, after @ ..]) => (decode(*high, *low).unwrap_or(*first), after),
            _ => (*first, tail),
        };
        if byte != b'/' || folded.last() != Some(&b'/') {
            folded.push(byte);
        }
        rest = after;
    }
    folded.starts_with(before.as_bytes())
}

/// The target without its first `len` bytes: starts with exactly one slash, so that `//evil` is never read as an authority.
///
/// The query is kept, and so is the rest of the path, byte for byte.
pub(super) fn strip(target: &PathAndQuery, len: usize) -> Result<PathAndQuery, Refusal> {
    let rest = target.as_str().get(len..).unwrap_or_default();
    let rest = rest.trim_start_matches('/');
    let stripped = format!("/{rest}");
    PathAndQuery::from_maybe_shared(bytes::Bytes::from(stripped))
        .map_err(|error| Refusal::bad_request("The path cannot be read.").because(error))
}

/// Whether `path` lies at or below `rule`, on a segment border.
pub(super) fn is_below(path: &str, rule: &str) -> bool {
    match path.strip_prefix(rule) {
        Some(rest) => rule.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix() -> PathPrefix {
        PathPrefix {
            before: "/t/".into(),
        }
    }

    fn names(path: &str) -> Option<String> {
        match claim(path, Some(&prefix())) {
            PathClaim::Tenant { slug, .. } => Some(slug.to_string()),
            PathClaim::NoSuchTenant => Some("404".into()),
            PathClaim::Nobody => None,
        }
    }

    #[test]
    fn e1_e2_e3_e6_ambiguous_paths_are_refused() {
        for bad in [
            "/t/acme/../x",
            "/t/acme/./",
            "/t/acme/..;/x",
            "/..",
            "/.",
            "/a/%2e%2e/b",
            "/%2E./b",
            "/.%2e",
            "/a/..;x=1/b",
            "/a/%2e%2e%3b/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%",
            "/a%g0",
            "/a%c0%af",
        ] {
            assert!(check_platform_path(bad).is_err(), "{bad}");
        }
        for good in [
            "/",
            "/t/acme",
            "/...",
            "/.well-known/x",
            "/a..b",
            "/%252e%252e/x",
            "/caf%C3%A9",
            "/a;b=..",
            "/.;x",
        ] {
            assert_eq!(check_platform_path(good).is_ok(), good != "/.;x", "{good}");
        }
    }

    #[test]
    fn e5_e6_e7_the_prefix_matches_on_segment_borders() {
        assert_eq!(names("/t/acme").as_deref(), Some("acme"));
        assert_eq!(names("/t/acme/x").as_deref(), Some("acme"));
        assert_eq!(names("/t/acmex").as_deref(), Some("acmex"));
        assert_eq!(names("/t/acme;x=1/").as_deref(), Some("404"));
        assert_eq!(names("/t/ACME").as_deref(), Some("404"));
        assert_eq!(names("/t/").as_deref(), Some("404"));
        assert_eq!(names("//t/acme").as_deref(), Some("404"));
        assert_eq!(names("/t//acme").as_deref(), Some("404"));
        assert_eq!(names("/%74/acme").as_deref(), Some("404"));
        assert_eq!(names("/T/acme"), None);
        assert_eq!(names("/t"), None);
        assert_eq!(names("/tt/acme"), None);
        assert_eq!(names("/x//t/acme"), None);
    }

    #[test]
    fn where_the_first_segment_is_the_tenant_the_root_is_nobodys() {
        let prefix = PathPrefix { before: "/".into() };
        let nobody = |path| claim(path, Some(&prefix)) == PathClaim::Nobody;
        assert!(nobody("/"));
        assert!(!nobody("/acme") && !nobody("//") && !nobody("//acme") && !nobody("/ACME"));
    }

    #[test]
    fn e5_e9_what_is_left_starts_with_one_slash() {
        let left = |target: &str| {
            strip(&PathAndQuery::try_from(target).unwrap(), "/t/acme".len())
                .unwrap()
                .to_string()
        };
        assert_eq!(left("/t/acme"), "/");
        assert_eq!(left("/t/acme/"), "/");
        assert_eq!(left("/t/acme?a=1"), "/?a=1");
        assert_eq!(left("/t/acme//evil.test/x"), "/evil.test/x");
        assert_eq!(left("/t/acme/a//b/%252e?x=/../"), "/a//b/%252e?x=/../");
    }

    #[test]
    fn rules_match_on_segment_borders() {
        assert!(is_below("/api", "/api") && is_below("/api/x", "/api") && is_below("/x", "/"));
        assert!(!is_below("/apix", "/api") && !is_below("/ap", "/api"));
    }

    proptest! {
        #[test]
        fn a_checked_path_never_climbs(path in "/[a-z./%;25eEfFcC\\\\]{0,30}") {
            if check_platform_path(&path).is_ok() {
                let decoded = path.replace("%2e", ".").replace("%2E", ".");
                let climbs = decoded.split('/').any(|s| matches!(s.split(';').next(), Some("." | "..")));
                prop_assert!(!climbs);
            }
        }
    }
}
