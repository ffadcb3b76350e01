//! The head that goes to the upstream: what must not pass is taken out, then what we say is put in.

use http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{Uri, Version};

use super::forwarded::{Origin, forwarded, x_forwarded_for};
use super::{Forward, Policy, Visit, cookies, head, signature_fields};
use crate::config::HostPolicy;
use crate::model::identity;

/// Names and values given to one request.
#[derive(Clone, Debug)]
pub struct RequestIds {
    /// `X-Request-Id`
    pub request: HeaderValue,
    /// `traceparent` (W3C Trace Context)
    pub trace_parent: HeaderValue,
}

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
static PROXY_AUTHENTICATE: HeaderName = HeaderName::from_static("proxy-authenticate");
/// Carries the visitor's id of the request.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Carries the trace that the request belongs to.
pub static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Fields for one connection only (RFC 9110 section 7.6.1), and those that would steer the upstream's.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [
        &CONNECTION,
        &KEEP_ALIVE,
        &PROXY_CONNECTION,
        &TE,
        &TRAILER,
        &TRANSFER_ENCODING,
        &UPGRADE,
        &HTTP2_SETTINGS,
        &PROXY_AUTHORIZATION,
    ]
    .contains(&name)
        || *name == PROXY_AUTHENTICATE
}

/// What a stranger could use to be taken for somebody else, or for asking something else than what was decided upon.
fn is_claim_of_origin(name: &str, trusted: bool) -> bool {
    // These are written anew for everybody, from what was believed.
    name == "forwarded"
        || name.starts_with("x-forwarded-")
        || (!trusted
            && matches!(
                name,
                "x-real-ip"
                    | "x-original-url"
                    | "x-rewrite-url"
                    | "x-original-host"
                    | "x-http-method-override"
            ))
}

/// The head for the upstream but for the assertion, which the signer adds.
pub fn outbound(
    mut inbound: Parts,
    forward: &Forward,
    visit: &Visit,
    origin: &Origin,
    policy: &Policy,
    ids: &RequestIds,
) -> Parts {
    let host = outbound_host(forward);
    let wants_trailers = head::lists(&inbound.headers, &TE, "trailers");
    let version = inbound.version;
    clean(&mut inbound.headers, visit.trusted);
    cookies::join(&mut inbound.headers, &forward.failed_cookies);
    let visitor_host = visitor_host(forward);
    let headers = &mut inbound.headers;
    let mut set = |name: &HeaderName, value: &str| {
        // Every value here is built from checked names, numbers and addresses.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name.clone(), value);
        }
    };
    set(&HOST, &host);
    set(&X_FORWARDED_FOR, &x_forwarded_for(origin, visit));
    set(&X_FORWARDED_PROTO, origin.scheme);
    set(&X_FORWARDED_HOST, &visitor_host);
    set(&FORWARDED, &forwarded(origin, visit, &visitor_host));
    if let Some(prefix) = &forward.prefix {
        set(&X_FORWARDED_PREFIX, prefix);
    }
    headers.append(VIA, via(version, policy));
    headers.insert(REQUEST_ID.clone(), ids.request.clone());
    headers.insert(TRACE_PARENT.clone(), ids.trace_parent.clone());
    if let Some(route) = &forward.route {
        let id = route
            .tenant
            .0
            .hyphenated()
            .encode_lower(&mut uuid::Uuid::encode_buffer())
            .to_owned();
        set_identity(headers, &identity::TENANT_ID, &id);
        set_identity(headers, &identity::TENANT_SLUG, route.slug.as_str());
    }
    if forward.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    inbound.uri = target(forward, &inbound.uri);
    inbound.version = Version::HTTP_11;
    inbound
}

fn set_identity(headers: &mut HeaderMap, name: &HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name.clone(), value);
    }
}

/// Takes out: what `Connection` nominates (the visitor's fields only: ours come later), hop-by-hop fields, every spelling of our
/// identity fields, claims of origin, names that some servers fold into others, our signature's label.
fn clean(headers: &mut HeaderMap, trusted: bool) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(head::members)
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| must_go(name, trusted))
        .cloned()
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
    signature_fields::remove_ours(headers);
}

fn must_go(name: &HeaderName, trusted: bool) -> bool {
    let text = name.as_str();
    is_hop_by_hop(name)
        || *name == EXPECT
        || identity::is_identity_field(text)
        || is_claim_of_origin(text, trusted)
        || text.contains(['_', '.'])
}

/// Canonical hostname with the port that the visitor sent.
fn visitor_host(forward: &Forward) -> String {
    match forward.port {
        Some(port) => format!("{}:{port}", forward.hostname),
        None => forward.hostname.to_string(),
    }
}

fn outbound_host(forward: &Forward) -> String {
    match &forward.upstream.config.host {
        HostPolicy::Name(name) => name.to_string(),
        // The pool knows which endpoint it will be and replaces it under `HostPolicy::Endpoint`.
        HostPolicy::Preserve | HostPolicy::Endpoint => visitor_host(forward),
    }
}

fn via(version: Version, policy: &Policy) -> HeaderValue {
    let version = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    HeaderValue::from_str(&format!("{version} {}", policy.node))
        .unwrap_or(HeaderValue::from_static("1.1 vestibule"))
}

/// Origin form; a fragment never gets here, hyper has cut it.
fn target(forward: &Forward, inbound: &Uri) -> Uri {
    let path = forward
        .target
        .clone()
        .or_else(|| inbound.path_and_query().cloned());
    path.map(Uri::from).unwrap_or_default()
}

/// The id that a request keeps because a trusted proxy gave it one.
pub fn kept_request_id(headers: &HeaderMap, trusted: bool) -> Option<HeaderValue> {
    /// In bytes; a longer one is replaced.
    const LONGEST: usize = 128;
    let sound = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        !bytes.is_empty() && bytes.len() <= LONGEST && bytes.iter().all(u8::is_ascii_graphic)
    };
    let given = headers.get(&REQUEST_ID).filter(|_| trusted);
    given.filter(sound).cloned()
}

/// Continues a visitor's trace with `span` as the caller's id, or begins one with `trace` (both lower-case hex).
///
/// W3C Trace Context section 3.2: version 00, 32 hex digits, 16 hex digits, flags; all-zero ids are invalid. A `tracestate`
/// without a valid parent is dropped.
pub fn continue_trace(headers: &mut HeaderMap, trace: &str, span: &str) -> HeaderValue {
    let only_one = headers.get_all(&TRACE_PARENT).iter().count() == 1;
    let inbound = headers
        .get(&TRACE_PARENT)
        .filter(|_| only_one)
        .and_then(|value| value.to_str().ok())
        .and_then(parse_parent);
    let parent = match inbound {
        Some((trace, flags)) => format!("00-{trace}-{span}-{flags}"),
        None => format!("00-{trace}-{span}-00"),
    };
    if inbound.is_none() {
        headers.remove(&TRACE_STATE);
    }
    HeaderValue::from_str(&parent).unwrap_or(HeaderValue::from_static(""))
}

fn parse_parent(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |text: &str, len: usize| is_hex(text, len) && text.bytes().any(|b| b != b'0');
    let known =
        is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    (known && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2)).then_some((trace, flags))
}

/// What an answer's `Trailer` field announces, but for identity fields. hyper sends a visitor over HTTP/1 only trailers that the head
/// announces.
pub fn announced_trailers(headers: &HeaderMap) -> Option<HeaderValue> {
    let members = headers.get_all(TRAILER).iter().flat_map(head::members);
    let kept: Vec<&str> = members
        .filter(|name| !identity::is_identity_field(name))
        .collect();
    let kept = Some(kept.join(", ")).filter(|kept| !kept.is_empty());
    HeaderValue::from_str(&kept?).ok()
}

/// Cleans an answer's head: hop-by-hop fields, what `Connection` nominates, every spelling of our identity fields, and `Alt-Svc`,
/// which would lead visitors around this proxy.
pub fn clean_answer(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(head::members)
        .filter_map(|name| name.parse().ok())
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            is_hop_by_hop(name)
                || identity::is_identity_field(name.as_str())
                || **name == http::header::ALT_SVC
        })
        .cloned()
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}
