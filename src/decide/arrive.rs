//! The first step: one host, and every name in the head that could lead to a tenant.

use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;

use super::head::Present;
use super::path::{self, PathClaim};
use super::verdict::{FORGET_PATH, KEYS_PATH};
use super::{HostClass, Policy, RequestHost, Visit, cookies, head, host};
use crate::model::{Code, Refusal};
use crate::resolve::{HostKey, Keys};

/// Most different cookie tokens of one request: each may cost a signature check.
const MAX_TOKENS: usize = 8;

/// What a head says before anything is looked up.
#[derive(Clone, PartialEq, Debug)]
pub struct Arrival {
    /// The one host.
    pub host: RequestHost,
    /// Whom the request is for.
    pub target: Target,
    /// How many bytes of the path named the tenant.
    pub prefix_len: usize,
    /// Which fields the head has.
    pub(super) present: Present,
}

/// Whom a request is for.
#[derive(Clone, PartialEq, Debug)]
pub enum Target {
    /// A tenant, or nobody: these names are to be looked up.
    Tenant(Keys),
    /// The server as a whole (`OPTIONS *`).
    Server,
}

/// Reads the head: sizes, form, the one host, the sources that apply.
///
/// `known` is the host, where it was read before from what [`host::only_authority`] gives for this head.
///
/// # Errors
/// 400, 404, 405, 414, 421 or 431 where the head alone decides it.
pub fn arrive(
    head: &Parts,
    visit: &Visit,
    known: Option<&RequestHost>,
    policy: &Policy,
) -> Result<Arrival, Refusal> {
    let present = head::check(head, policy.header_bytes)?;
    let asterisk = host::check_target(head)?;
    let host = match known {
        Some(known) => known.clone(),
        None => read_host(head, visit, policy)?,
    };
    if let Some(names) = &visit.names
        && !names.covers(&host.hostname)
    {
        // RFC 9110 section 15.5.20: a browser opens a new connection when it is told so.
        return Err(Refusal::new(
            Code::Misdirected,
            "Open a new connection for this address.",
        ));
    }
    if asterisk.is_some() {
        return Ok(Arrival {
            host,
            target: Target::Server,
            prefix_len: 0,
            present,
        });
    }
    let (keys, prefix_len) = gather(head, present, &host, policy)?;
    Ok(Arrival {
        host,
        target: Target::Tenant(keys),
        prefix_len,
        present,
    })
}

fn read_host(head: &Parts, visit: &Visit, policy: &Policy) -> Result<RequestHost, Refusal> {
    let authority = host::agreed_authority(head, visit)?;
    let class = host::classify(&authority.hostname, &policy.routing);
    Ok(RequestHost {
        hostname: authority.hostname,
        port: authority.port,
        class,
    })
}

fn gather(
    head: &Parts,
    present: Present,
    host: &RequestHost,
    policy: &Policy,
) -> Result<(Keys, usize), Refusal> {
    let mut keys = Keys::default();
    if present.has(Present::AUTHORIZATION) {
        keys.bearer = bearer(&head.headers)?;
    }
    let mut prefix_len = 0;
    match &host.class {
        HostClass::Subdomain(slug) => keys.host = Some(HostKey::Subdomain(slug.clone())),
        HostClass::Custom => keys.host = Some(HostKey::Domain(host.hostname.clone())),
        HostClass::Nobody => return Err(Refusal::unknown_tenant()),
        HostClass::Platform => {
            let path = head.uri.path();
            path::check_platform_path(path)?;
            // Our own paths are there whatever the prefix is.
            let prefix = policy
                .routing
                .path_prefix
                .as_ref()
                .filter(|_| path != KEYS_PATH && path != FORGET_PATH);
            match path::claim(path, prefix) {
                PathClaim::Nobody => {}
                PathClaim::NoSuchTenant => return Err(Refusal::unknown_tenant()),
                PathClaim::Tenant { slug, .. } if policy.routing.reserved_slugs.contains(&slug) => {
                    return Err(Refusal::unknown_tenant());
                }
                PathClaim::Tenant { slug, len } => {
                    keys.path = Some(slug);
                    prefix_len = len;
                }
            }
        }
    }
    keys.cookies = cookies::tokens(&head.headers, policy);
    if keys.cookies.len() > MAX_TOKENS {
        return Err(Refusal::bad_request(
            "The request has too many session cookies.",
        ));
    }
    if policy.routing.tokens.is_empty()
        && policy.routing.foreign_tokens == crate::config::ForeignTokens::Pass
    {
        keys.bearer = None;
    }
    Ok((keys, prefix_len))
}

/// The bearer token of the one `Authorization` field. Two such fields could be read differently by us and by the application.
fn bearer(headers: &HeaderMap) -> Result<Option<Box<str>>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Refusal::bad_request(
            "The request has more than one Authorization field.",
        ));
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let token = text
        .split_at_checked(BEARER.len())
        .filter(|(scheme, rest)| {
            // Only a space belongs between the two, but there are applications that take a tab or more for one.
            scheme.eq_ignore_ascii_case(BEARER)
                && !rest.starts_with(|c: char| c.is_ascii_alphanumeric())
        });
    Ok(token.map(|(_, rest)| rest.trim_matches([' ', '\t']).into()))
}

const BEARER: &str = "bearer";
