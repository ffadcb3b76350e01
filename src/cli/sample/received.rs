//! What the application received, fit to be shown: secrets are masked.

use http::header::{AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName, request};
use serde::Serialize;

use crate::model::identity::TENANT_ASSERTION;

/// What stands for what is not shown.
const MASK: &str = "•••";

/// A request as it arrived.
#[derive(Serialize)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) version: String,
    /// Names and values, in the order of arrival.
    pub(super) headers: Vec<(String, String)>,
    /// `None` where it broke off.
    pub(super) body_bytes: Option<u64>,
    #[serde(skip)]
    pub(super) place: Place,
}

/// Where the visitor is, to write links from.
pub(super) struct Place {
    pub(super) scheme: &'static str,
    /// With its colon; empty where the scheme's own port is used.
    pub(super) port: String,
    /// What was cut off the path before it came here, such as `/t/acme`.
    pub(super) prefix: String,
}

impl Received {
    pub(super) fn new(head: &request::Parts, body_bytes: Option<u64>) -> Self {
        let headers = head.headers.iter();
        Self {
            method: head.method.to_string(),
            path: head.uri.to_string(),
            version: format!("{:?}", head.version),
            headers: headers
                .map(|(name, value)| {
                    let text = String::from_utf8_lossy(value.as_bytes());
                    (name.to_string(), shown(name, &text))
                })
                .collect(),
            body_bytes,
            place: Place::new(&head.headers),
        }
    }
}

impl Place {
    fn new(headers: &HeaderMap) -> Self {
        let https = text(headers, "x-forwarded-proto") == Some("https");
        let port = visited(headers).and_then(|host| host.rsplit_once(':'));
        let prefix = text(headers, "x-forwarded-prefix").unwrap_or_default();
        Self {
            scheme: if https { "https" } else { "http" },
            port: port.map(|(_, port)| format!(":{port}")).unwrap_or_default(),
            prefix: prefix.trim_end_matches('/').to_owned(),
        }
    }

    /// The address of `path` on another host of this edge.
    pub(super) fn url(&self, host: &str, path: &str) -> String {
        format!("{}://{host}{}{path}", self.scheme, self.port)
    }
}

/// The host that the visitor asked for, perhaps with a port. Only the edge can reach the application, so its word is taken.
pub(super) fn visited(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-forwarded-host").or_else(|| text(headers, HOST.as_str()))
}

/// The one value of `name` as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn shown(name: &HeaderName, value: &str) -> String {
    if name == AUTHORIZATION || name == PROXY_AUTHORIZATION {
        let scheme = value.split_once(' ').map_or("", |(scheme, _)| scheme);
        return format!("{scheme} {MASK}").trim_start().to_owned();
    }
    if name == COOKIE {
        let pairs = value.split(';').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{}={MASK}", name.trim()),
            None => MASK.to_owned(),
        });
        return pairs.collect::<Vec<_>>().join("; ");
    }
    if *name == TENANT_ASSERTION {
        // Whoever has the signature can replay it for a while.
        let signed = value.rsplit_once('.').map_or("", |(signed, _)| signed);
        return format!("{signed}.{MASK}");
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (name, value, expected) in [
            ("authorization", "Bearer abc", "Bearer •••"),
            ("authorization", "abc", "•••"),
            ("cookie", "a=1; b=2=3;c", "a=•••; b=•••; •••"),
            (
                "x-tenant-assertion",
                "head.claims.signature",
                "head.claims.•••",
            ),
            ("accept", "text/html", "text/html"),
        ] {
            assert_eq!(shown(&HeaderName::from_static(name), value), expected);
        }
    }
}
