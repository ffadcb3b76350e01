//! `Cookie` fields: read for tokens, and written as one field without the tokens that failed.
//!
//! Read as bytes: a visitor may put anything into a cookie beside the one that matters, and that must not hide it.

use std::borrow::Cow;

use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};

use super::Policy;
use crate::http1::RequestHead;

/// A cookie that holds a token of ours which failed: it is not sent on. Another of its name is, if that one holds.
#[derive(Clone, PartialEq, Eq)]
pub struct FailedCookie {
    /// Its name.
    pub name: Box<str>,
    /// Its value, without quotes.
    pub value: Box<str>,
}

/// Every value of every cookie that an issuer's tokens may stand in, with the issuer's place: an application may read the first or
/// the last.
pub(super) fn tokens(headers: &HeaderMap, policy: &Policy) -> Vec<(usize, Box<str>)> {
    let mut found: Vec<(usize, Box<str>)> = Vec::new();
    let issuers = || policy.routing.tokens.iter().enumerate();
    if issuers().all(|(_, issuer)| issuer.cookie.is_none()) {
        return found;
    }
    for (name, value) in headers.get_all(COOKIE).iter().flat_map(pairs) {
        let holds = |cookie: &Option<String>| {
            cookie
                .as_ref()
                .is_some_and(|cookie| cookie.as_bytes() == name)
        };
        let matching = issuers().filter(|(_, issuer)| holds(&issuer.cookie));
        let value = text(value);
        for (index, _) in matching {
            // The same value again says nothing new, and verifying it costs.
            if !found.iter().any(|(_, known)| **known == *value) {
                found.push((index, value.as_ref().into()));
            }
        }
    }
    found
}

/// Whether a `Cookie` field's line has a cookie called `name`.
pub fn has_cookie(field: &HeaderValue, name: &str) -> bool {
    pairs(field).any(|(cookie, _)| cookie == name.as_bytes())
}

/// Writes all `Cookie` fields as one (RFC 9113 section 8.2.3), without those in `failed`.
pub(super) fn write(head: &mut RequestHead, headers: &HeaderMap, failed: &[FailedCookie]) {
    let crumbs = headers.get_all(COOKIE).iter().flat_map(crumbs);
    let kept: Vec<&[u8]> = crumbs.filter(|crumb| !has_failed(crumb, failed)).collect();
    if !kept.is_empty() {
        head.field("cookie", &kept.join(&b"; "[..]));
    }
}

fn has_failed(crumb: &[u8], failed: &[FailedCookie]) -> bool {
    let is = |failed: &FailedCookie, (name, value): (&[u8], &[u8])| {
        failed.name.as_bytes() == name && *failed.value == *text(value)
    };
    !failed.is_empty()
        && pair(crumb).is_some_and(|pair| failed.iter().any(|failed| is(failed, pair)))
}

/// What stands between the semicolons of a `Cookie` field (RFC 6265 section 5.4).
fn crumbs(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let crumbs = field.as_bytes().split(|byte| *byte == b';');
    crumbs
        .map(<[u8]>::trim_ascii)
        .filter(|crumb| !crumb.is_empty())
}

fn pairs(field: &HeaderValue) -> impl Iterator<Item = (&[u8], &[u8])> {
    crumbs(field).filter_map(pair)
}

/// Name and value, quotes around the value cut.
fn pair(crumb: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = crumb.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (
        crumb[..equals].trim_ascii(),
        crumb[equals + 1..].trim_ascii(),
    );
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|value| value.strip_suffix(b"\""));
    Some((name, unquoted.unwrap_or(value)))
}

/// A value as a token is read: whatever is no text in it can be in no token that holds.
fn text(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(value)
}
