//! The way out of a conflict between address and session, without a script: the page's button posts here, and the browser forgets
//! the cookie.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode, Uri};

use super::{REQUEST_ID, answer, insert_text};

/// Where the page's button posts to, on the host that the visitor is at. The route takes POST only, and only with an `Origin` of
/// that same host: another site must not be able to end a session.
pub use crate::decide::FORGET_PATH as FORGET_SESSION_PATH;

/// What the answer to a post to [`FORGET_SESSION_PATH`] depends on.
#[derive(Debug, Clone, Copy)]
pub struct ForgetSession<'a> {
    /// The names of the configured cookies that the request carried.
    pub cookies: &'a [&'a str],
    /// The request's hostname, without a port.
    pub hostname: &'a str,
    /// Whether the request came over TLS.
    pub secure: bool,
    /// `Referer`: the page that the button was on.
    pub referer: Option<&'a HeaderValue>,
    /// The request's number.
    pub request_id: &'a str,
}

/// 303 back to where the visitor was, with every cookie deleted.
///
/// A cookie is deleted only by its own domain and path, and a request tells neither: this tries the host and each domain above
/// it (a browser ignores those it may not set), always with the path `/`.
pub fn forget_session(request: &ForgetSession<'_>) -> Response<Bytes> {
    let mut head = HeaderMap::new();
    insert_text(&mut head, &header::LOCATION, &back(request));
    head.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    insert_text(&mut head, &REQUEST_ID, request.request_id);
    for cookie in request.cookies {
        for domain in domains(cookie, request.hostname) {
            if let Ok(value) = HeaderValue::try_from(deletion(cookie, domain, request.secure)) {
                head.append(header::SET_COOKIE, value);
            }
        }
    }
    answer(StatusCode::SEE_OTHER, head, Vec::new())
}

/// The path of the referring page if it is one of this host's own, else `/`. Never anything that leads off this host.
fn back(request: &ForgetSession<'_>) -> String {
    let page = || -> Option<Uri> {
        let page: Uri = request.referer?.to_str().ok()?.parse().ok()?;
        let ours = page.host()?.eq_ignore_ascii_case(request.hostname);
        // `//host` and `/\host` lead elsewhere.
        let safe = !page.path().starts_with("//") && !page.path().contains('\\');
        (ours && safe && page.path() != FORGET_SESSION_PATH).then_some(page)
    };
    page().map_or_else(|| "/".to_owned(), |page| page.path().to_owned())
}

/// The host's domain, each above it but for the top, and no domain (the host alone). `__Host-` cookies have no domain (RFC 6265bis
/// section 4.1.3.2).
///
/// The host alone comes last, because of curl before 8.0: it reads its jar again before it writes it, and of several deletions only the
/// last still stands against what it reads. A session most often belongs to the host alone.
fn domains<'a>(cookie: &str, hostname: &'a str) -> impl Iterator<Item = Option<&'a str>> {
    let host_only = cookie.starts_with("__Host-");
    let above = |name: &&'a str| name.split_once('.').map(|(_, parent)| parent);
    let named = std::iter::successors(Some(hostname), above)
        .take_while(move |name| !host_only && name.contains('.'))
        .map(Some);
    named.chain(std::iter::once(None))
}

fn deletion(cookie: &str, domain: Option<&str>, secure: bool) -> String {
    let mut text = format!("{cookie}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/");
    if let Some(domain) = domain {
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    if secure {
        text.push_str("; Secure");
    }
    text.push_str("; HttpOnly; SameSite=Lax");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(cookies: &'a [&'a str], referer: Option<&'a HeaderValue>) -> ForgetSession<'a> {
        ForgetSession {
            cookies,
            hostname: "acme.example.com",
            secure: true,
            referer,
            request_id: "r1",
        }
    }

    #[test]
    fn the_cookie_goes_on_the_host_and_above_and_the_host_alone_is_the_last_word() {
        let response = forget_session(&request(&["session", "__Host-id"], None));
        assert_eq!(response.status(), 303);
        let deleted: Vec<_> = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect();
        assert_eq!(
            deleted,
            [
                "session=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Domain=acme.example.com; Secure; HttpOnly; SameSite=Lax",
                "session=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Lax",
                "session=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax",
                "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax",
            ]
        );
    }

    #[test]
    fn the_way_back_stays_on_this_host() {
        for (referer, location) in [
            (
                "https://acme.example.com/t/acme/a?token=secret",
                "/t/acme/a",
            ),
            ("https://ACME.example.com:8443/x", "/x"),
            ("https://evil.example/x", "/"),
            ("https://acme.example.com//evil.example", "/"),
            (
                "https://acme.example.com/.well-known/vestibule/forget-session",
                "/",
            ),
            ("https://acme.example.com", "/"),
            ("/x", "/"),
            ("nonsense in a field", "/"),
        ] {
            let value = HeaderValue::from_static(referer);
            let response = forget_session(&request(&[], Some(&value)));
            assert_eq!(response.headers()["location"], location, "{referer}");
        }
        assert_eq!(
            forget_session(&request(&[], None)).headers()["location"],
            "/"
        );
    }
}
