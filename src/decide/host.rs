//! One host per request, and what the configuration says of it.
//!
//! No codec checks any of this: request line, `:authority` and `Host` reach us as they were sent.

use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{Method, Version};

use super::Visit;
use crate::config;
use crate::model::{Authority, Hostname, Refusal, Slug};

/// The host of a request: where it was sent, and whose business that is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestHost {
    /// The canonical name.
    pub hostname: Hostname,
    /// The port that the visitor wrote.
    pub port: Option<u16>,
    /// What the configuration says of it.
    pub class: HostClass,
}

/// What a host is by configuration alone: no row in the store can take it away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HostClass {
    /// Path and token name the tenant.
    Platform,
    /// `<slug>.<base domain>`.
    Subdomain(Slug),
    /// At or below a base domain, and nobody's: the apex, a reserved or malformed slug, more than one label.
    Nobody,
    /// Anything else: a custom domain, if a tenant has claimed it.
    Custom,
}

/// The text that says the host, where just one place of the head does and nothing else has to agree with it: whoever has met the same
/// text before knows what it says.
pub fn only_authority<'a>(head: &'a Parts, visit: &Visit) -> Option<&'a [u8]> {
    let mut fields = head.headers.get_all(HOST).iter();
    match (head.uri.authority(), fields.next(), fields.next()) {
        (None, Some(field), None) if head.uri.scheme().is_none() => Some(field.as_bytes()),
        (Some(authority), None, None)
            if head.version == Version::HTTP_2 && head.uri.scheme() == Some(ours(visit)) =>
        {
            Some(authority.as_str().as_bytes())
        }
        _ => None,
    }
}

fn ours(visit: &Visit) -> &'static Scheme {
    if visit.secure {
        &Scheme::HTTPS
    } else {
        &Scheme::HTTP
    }
}

/// The name that request line, `:authority` and `Host` agree on.
///
/// RFC 9112 section 3.2, RFC 9113 section 8.3.1. The refusal is always 400.
pub fn agreed_authority(head: &Parts, visit: &Visit) -> Result<Authority, Refusal> {
    if head
        .uri
        .scheme()
        .is_some_and(|scheme| scheme != ours(visit))
    {
        return Err(Refusal::bad_request(
            "The scheme of the request is not that of the connection.",
        ));
    }
    let line = match head.uri.authority() {
        Some(authority) => Some(parse(authority.as_str())?),
        None => None,
    };
    match (line, host_field(&head.headers)?) {
        (Some(line), Some(field)) => {
            let default = if visit.secure { 443 } else { 80 };
            let same_port = line.port.unwrap_or(default) == field.port.unwrap_or(default);
            if line.hostname != field.hostname || !same_port {
                return Err(Refusal::bad_request(
                    "The request names two different hosts.",
                ));
            }
            Ok(line)
        }
        // RFC 9112 section 3.2: a Host field is due in HTTP/1.1 even where the target is absolute.
        (Some(_), None) if head.version == Version::HTTP_11 => Err(missing()),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) => Err(missing()),
    }
}

fn missing() -> Refusal {
    Refusal::bad_request("The request names no host.")
}

fn host_field(headers: &HeaderMap) -> Result<Option<Authority>, Refusal> {
    let mut values = headers.get_all(HOST).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::bad_request(
            "The request has more than one Host field.",
        ));
    }
    let text = value
        .to_str()
        .map_err(|_| Refusal::bad_request("The Host field is not a host name."))?;
    parse(text).map(Some)
}

fn parse(text: &str) -> Result<Authority, Refusal> {
    Authority::parse(text).map_err(|error| {
        Refusal::bad_request("The host of the request is not a host name.").because(error)
    })
}

/// What `hostname` is by configuration: platform host, else below the longest base domain, else a custom domain.
pub fn classify(hostname: &Hostname, routing: &config::Routing) -> HostClass {
    if routing.platform_hosts.contains(hostname) {
        return HostClass::Platform;
    }
    let is_base = routing.base_domains.contains(hostname);
    // Longest base first: `a.b.example` belongs to the base `b.example` even where `example` is one too.
    let label = routing
        .base_domains
        .iter()
        .find_map(|base| hostname.below(base));
    match label {
        _ if is_base => HostClass::Nobody,
        Some(label) => match Slug::parse(label) {
            Ok(slug) if !routing.reserved_slugs.contains(&slug) => HostClass::Subdomain(slug),
            _ => HostClass::Nobody,
        },
        None => HostClass::Custom,
    }
}

/// What can be said of the request target before its host is known: methods and forms that have no tenant.
pub(super) fn check_target(head: &Parts) -> Result<Option<Asterisk>, Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        let refusal = Refusal::new(
            crate::model::Code::MethodNotAllowed,
            "This method is not served here.",
        );
        return Err(refusal.with(crate::model::refusal::Extra::Allow(
            "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        )));
    }
    let path = head.uri.path();
    if path == "*" {
        if head.method == Method::OPTIONS {
            return Ok(Some(Asterisk));
        }
        return Err(Refusal::bad_request(
            "Only OPTIONS may be asked of the server as a whole.",
        ));
    }
    // A query alone is a path over HTTP/1.1 only, behind an authority (RFC 9113 section 8.3.1).
    let target = head.uri.path_and_query().map_or(path, PathAndQuery::as_str);
    if !path.starts_with('/') || (head.version == Version::HTTP_2 && !target.starts_with('/')) {
        return Err(Refusal::bad_request(
            "The path does not start with a slash.",
        ));
    }
    Ok(None)
}

/// `OPTIONS *`: asks the server as a whole, no tenant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asterisk;

#[cfg(test)]
#[path = "host/tests.rs"]
mod tests;
