//! The head that goes to the upstream: what must not pass is taken out, then what we say is put in.

use http::Version;
use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRAILER};
use http::request::Parts;
use http::uri::PathAndQuery;

use super::forwarded::{Origin, write_forwarded, write_x_forwarded_for};
use super::{Forward, Policy, Visit, cookies, head, signature_fields};
use crate::config::HostPolicy;
use crate::http1::RequestHead;
use crate::model::eights::{self, are};
use crate::model::identity;

mod ids;

pub use ids::{REQUEST_ID, RequestIds, SpanId, TRACE_PARENT, TraceId, TraceParent, ids};

/// Fields for one connection only (RFC 9110 section 7.6.1), and those that would steer the upstream's.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "proxy-authorization"
            | "proxy-authenticate"
    )
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

/// Fields that are written anew, whatever the visitor's say. The length is the transport's to write: a head that lost it to a
/// nomination by `Connection`, and a body behind it, would be two requests to the upstream.
fn is_replaced(name: &str, continued: bool) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "cookie"
            | "expect"
            | "x-request-id"
            | "traceparent"
            | "signature"
            | "signature-input"
    ) || (name == "tracestate" && !continued)
}

/// The head for the upstream but for the assertion, which the signer adds. It is written into `memory`, in one pass over the
/// visitor's fields.
pub fn outbound(
    memory: Vec<u8>,
    inbound: &Parts,
    forward: &Forward,
    visit: &Visit,
    origin: &Origin,
    policy: &Policy,
    ids: &RequestIds,
) -> RequestHead {
    let fields = &inbound.headers;
    let target = match &forward.target {
        Some(target) => target.as_str(),
        None => inbound
            .uri
            .path_and_query()
            .map_or("/", PathAndQuery::as_str),
    };
    let mut head = RequestHead::begin(memory, &inbound.method, target, |out| {
        match &forward.upstream.config.host {
            HostPolicy::Name(name) => out.extend_from_slice(name.as_str().as_bytes()),
            // The pool knows which endpoint it will be and replaces it under `HostPolicy::Endpoint`.
            HostPolicy::Preserve | HostPolicy::Endpoint => write_visitor_host(out, forward),
        }
    });
    let nominated = Nominated::by(fields);
    let mut held_back = HeldBack::default();
    for (name, value) in fields {
        let name = name.as_str();
        let goes = is_hop_by_hop(name)
            || is_replaced(name, ids.continued)
            || identity::is_identity_field(name)
            || is_claim_of_origin(name, visit.trusted)
            || could_be_another(name)
            || nominated.contains(name);
        if goes {
            held_back.note(name, value);
        } else {
            head.field(name, value.as_bytes());
        }
    }
    held_back.write(&mut head, fields, forward, &nominated);
    write_way(&mut head, inbound.version, forward, visit, origin, policy);
    head.field(REQUEST_ID.as_str(), ids.request.as_bytes());
    head.field(TRACE_PARENT.as_str(), ids.trace_parent.as_bytes());
    if let Some(route) = &forward.route {
        let id = route.tenant.0.hyphenated();
        let mut text = uuid::Uuid::encode_buffer();
        head.field(
            identity::TENANT_ID.as_str(),
            id.encode_lower(&mut text).as_bytes(),
        );
        head.field(
            identity::TENANT_SLUG.as_str(),
            route.slug.as_str().as_bytes(),
        );
    }
    if forward.upgrade {
        head.field("connection", b"upgrade");
        head.field("upgrade", UPGRADED.as_bytes());
    } else if held_back.te && head::lists(fields, &TE, "trailers") {
        head.field("te", b"trailers");
    }
    head
}

/// Whether an application may take `name` for another one: CGI and its kin have `_` for `-`, and some take `.` for it too.
fn could_be_another(name: &str) -> bool {
    eights::any(name.as_bytes(), b'a', |word| {
        are(word, b'_') | are(word, b'.')
    })
}

/// Fields of the visitor's that do not go on as they are, and of which something may go on nevertheless. Most requests have none of
/// them, or one line of cookies: noting that costs less than looking each up.
#[derive(Default)]
struct HeldBack<'a> {
    cookie: Option<&'a HeaderValue>,
    more_cookies: bool,
    signature: bool,
    te: bool,
}

impl<'a> HeldBack<'a> {
    fn note(&mut self, name: &str, value: &'a HeaderValue) {
        match name {
            "cookie" => self.more_cookies |= self.cookie.replace(value).is_some(),
            "signature" | "signature-input" => self.signature = true,
            "te" => self.te = true,
            _ => {}
        }
    }

    fn write(
        &self,
        head: &mut RequestHead,
        fields: &HeaderMap,
        forward: &Forward,
        nominated: &Nominated<'_>,
    ) {
        match self.cookie {
            Some(_) if nominated.contains("cookie") => {}
            Some(only) if !self.more_cookies && forward.failed_cookies.is_empty() => {
                head.field("cookie", only.as_bytes());
            }
            Some(_) => cookies::write(head, fields, &forward.failed_cookies),
            None => {}
        }
        if self.signature {
            signature_fields::write(head, fields, |name| !nominated.contains(name));
        }
    }
}

/// The one protocol that is let through.
pub static UPGRADED: HeaderValue = HeaderValue::from_static("websocket");

/// How the request came here.
fn write_way(
    head: &mut RequestHead,
    version: Version,
    forward: &Forward,
    visit: &Visit,
    origin: &Origin,
    policy: &Policy,
) {
    head.field_with("x-forwarded-for", |out| {
        write_x_forwarded_for(out, origin, visit)
    });
    head.field("x-forwarded-proto", origin.scheme.as_bytes());
    head.field_with("x-forwarded-host", |out| write_visitor_host(out, forward));
    head.field_with("forwarded", |out| {
        write_forwarded(out, origin, visit, forward)
    });
    if let Some(prefix) = &forward.prefix {
        head.field("x-forwarded-prefix", prefix.as_bytes());
    }
    let version: &[u8] = match version {
        Version::HTTP_10 => b"1.0 ",
        Version::HTTP_2 => b"2 ",
        _ => b"1.1 ",
    };
    head.field_with("via", |out| {
        out.extend_from_slice(version);
        out.extend_from_slice(policy.node.as_bytes());
    });
}

/// Fields that the visitor's `Connection` names: they were meant for us alone. Ours come later and are never among them.
struct Nominated<'a>(Vec<&'a str>);

impl<'a> Nominated<'a> {
    fn by(fields: &'a HeaderMap) -> Self {
        let members = fields.get_all(CONNECTION).iter().flat_map(head::members);
        // These two come with most requests and name no field that would go on.
        let ordinary = |member: &&str| {
            member.eq_ignore_ascii_case("keep-alive") || member.eq_ignore_ascii_case("close")
        };
        Self(members.filter(|member| !ordinary(member)).collect())
    }

    fn contains(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|member| member.eq_ignore_ascii_case(name))
    }
}

/// Canonical hostname with the port that the visitor sent.
pub(super) fn write_visitor_host(out: &mut Vec<u8>, forward: &Forward) {
    out.extend_from_slice(forward.hostname.as_str().as_bytes());
    if let Some(port) = forward.port {
        out.push(b':');
        out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    }
}

/// What an answer's `Trailer` field announces, but for identity fields.
pub fn announced_trailers(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut kept = Vec::new();
    for value in headers.get_all(TRAILER) {
        kept.extend(head::members(value).filter(|name| !identity::is_identity_field(name)));
    }
    if kept.is_empty() {
        return None;
    }
    HeaderValue::from_str(&kept.join(", ")).ok()
}

/// Cleans an answer's trailers: as its head, and of what must not be a trailer, because whoever merges trailers into the head would act on
/// it (RFC 9110 section 6.5.1).
pub fn clean_trailers(trailers: &mut HeaderMap) {
    clean_answer(trailers);
    for name in NO_TRAILERS {
        trailers.remove(name);
    }
}

/// Framing, routing, authentication, caching and the form of the content.
const NO_TRAILERS: [HeaderName; 19] = [
    http::header::AGE,
    http::header::AUTHORIZATION,
    http::header::CACHE_CONTROL,
    http::header::CONTENT_ENCODING,
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_LOCATION,
    http::header::CONTENT_RANGE,
    http::header::CONTENT_TYPE,
    http::header::EXPIRES,
    http::header::HOST,
    http::header::LOCATION,
    http::header::MAX_FORWARDS,
    http::header::PRAGMA,
    http::header::RETRY_AFTER,
    http::header::SET_COOKIE,
    TE,
    TRAILER,
    http::header::VARY,
    http::header::WWW_AUTHENTICATE,
];

/// Cleans an answer's head: hop-by-hop fields, what `Connection` nominates, every spelling of our identity fields, and `Alt-Svc`,
/// which would lead visitors around this proxy.
pub fn clean_answer(headers: &mut HeaderMap) {
    let is_unwanted = |name: &HeaderName| {
        is_hop_by_hop(name.as_str())
            || identity::is_identity_field(name.as_str())
            || *name == http::header::ALT_SVC
    };
    // Most answers are clean, and one look says so: `Connection` is hop-by-hop itself.
    if !headers.keys().any(is_unwanted) {
        return;
    }
    let nominated = headers.get_all(CONNECTION).iter().flat_map(head::members);
    let unwanted: Vec<HeaderName> = nominated
        .filter_map(|name| name.parse().ok())
        .chain(headers.keys().filter(|name| is_unwanted(name)).cloned())
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}
