//! What follows from the facts: sent on, answered here, or refused.

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    CONTENT_LENGTH, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE, VIA,
};
use http::uri::PathAndQuery;
use http::{Method, Version};

use super::head::Present;
use super::named::{Named, named};
use super::{
    Answer, Arrival, Case, Decision, Forward, HostClass, Policy, Target, cors, forwarded, head,
    path,
};
use crate::clock::Timestamp;
use crate::model::refusal::Extra;
use crate::model::{Code, Refusal, Route, TenantState};
use crate::upstream::Upstream;

/// Where the public keys are on edge hosts.
pub const KEYS_PATH: &str = "/.well-known/vestibule/jwks.json";
/// Where the page of a conflict sends whoever wants to forget the session.
pub const FORGET_PATH: &str = "/.well-known/vestibule/forget-session";
/// How long a removed tenant's names say so, before they are unknown.
const REMOVED_FOR: Duration = Duration::from_secs(90 * 24 * 3600);
/// The upstream of tenants that have none of their own.
const DEFAULT_UPSTREAM: &str = "default";
/// How often a request may pass this node (nginx's and Cloudflare's loops end at about as many).
const MAX_PASSES: usize = 5;

/// Decides. Changes nothing, waits for nothing: whoever asks with the same case gets the same answer.
///
/// # Errors
/// Every refusal that state and facts call for; rate and concurrency are taken afterwards, by the guard.
pub fn decide(case: &Case<'_>, policy: &Policy) -> Result<Decision, Refusal> {
    let decision = settle(case, policy);
    let sent_on = matches!(decision, Ok(Decision::Forward(_)));
    if !sent_on
        && cors::is_preflight(case.head)
        && cors::allowed_origin(case.head, policy).is_some()
    {
        // A browser takes nothing but a 2xx for a preflight; the request behind it then gets an answer that its page may read.
        return Ok(Decision::Answer(Answer::Preflight));
    }
    decision
}

fn settle(case: &Case<'_>, policy: &Policy) -> Result<Decision, Refusal> {
    if case.arrival.target == Target::Server {
        return Ok(Decision::Answer(Answer::Options));
    }
    if case.head.uri.path() == FORGET_PATH
        && case.head.method == Method::POST
        && host_is_known(case)
    {
        return forget_session(case);
    }
    let named = named(case, policy)?;
    if let Some(location) = https_location(case, policy) {
        return Ok(Decision::Answer(Answer::Redirect(location)));
    }
    check_demands(case, policy)?;
    if policy.publish_keys
        && case.head.uri.path() == KEYS_PATH
        && matches!(case.head.method, Method::GET | Method::HEAD)
    {
        return Ok(Decision::Answer(Answer::Keys));
    }
    match &named.route {
        Some(route) => {
            if let Some(location) = alias_location(case, &named, route, policy) {
                return Ok(Decision::Answer(Answer::Redirect(location)));
            }
            check_state(route, case.now)?;
        }
        None if policy.routing.platform_upstream.is_none() => {
            return Err(Refusal::unknown_tenant());
        }
        None => {}
    }
    check_loop(case, policy)?;
    let forward = forward(case, named, policy)?;
    Ok(Decision::Forward(Box::new(forward)))
}

/// Forgetting a session must work exactly where the session is in the way, so it asks for no tenant; but for a host that is ours.
fn host_is_known(case: &Case<'_>) -> bool {
    case.arrival.host.class == HostClass::Platform
        || matches!(case.facts.host, Some(crate::model::Match::Found(_)))
}

/// Only a page of the same host may ask for it: another site could log people out otherwise.
fn forget_session(case: &Case<'_>) -> Result<Decision, Refusal> {
    let origin = case
        .head
        .headers
        .get(http::header::ORIGIN)
        .and_then(|value| value.to_str().ok());
    let host = &case.arrival.host;
    let from_here =
        origin
            .and_then(|origin| origin.split_once("://"))
            .and_then(|(_, authority)| {
                let authority = crate::model::Authority::parse(authority).ok()?;
                Some(authority.hostname == host.hostname)
            });
    match from_here {
        Some(true) => Ok(Decision::Answer(Answer::ForgetSession)),
        _ => Err(Refusal::bad_request(
            "Only a page of this address may ask for that.",
        )),
    }
}

/// A host with demands of its own is served only where they were met: on a connection that was opened for a name of the same demands.
/// In the clear no visitor can bring a certificate.
fn check_demands(case: &Case<'_>, policy: &Policy) -> Result<(), Refusal> {
    let own = policy.inventory.policy(&case.arrival.host.hostname);
    let met = match case.visit.secure {
        true => own == case.visit.demanded,
        false => !own.is_some_and(|own| own.wants_certificate()),
    };
    match met {
        true => Ok(()),
        // RFC 9110 section 15.5.20, as where the certificate does not cover the host.
        false => Err(Refusal::new(
            Code::Misdirected,
            "Open a new connection for this address.",
        )),
    }
}

fn https_location(case: &Case<'_>, policy: &Policy) -> Option<Box<str>> {
    let port = policy.redirect?;
    let hostname = &case.arrival.host.hostname;
    if case.visit.secure
        || forwarded::scheme_is_https(case.head, case.visit)
        || !policy.inventory.covers(hostname)
    {
        return None;
    }
    let target = target(case);
    let port = if port == 443 {
        String::new()
    } else {
        format!(":{port}")
    };
    Some(format!("https://{hostname}{port}{target}").into())
}

/// Path and query as they were asked for.
fn target<'a>(case: &Case<'a>) -> &'a str {
    let target = case.head.uri.path_and_query();
    target.map_or("/", PathAndQuery::as_str)
}

/// GET and HEAD of an old slug are sent to the current one; what has a body or an effect is served where it is.
fn alias_location(
    case: &Case<'_>,
    named: &Named<'_>,
    route: &Route,
    policy: &Policy,
) -> Option<Box<str>> {
    let asked = named.asked.filter(|asked| **asked != route.slug)?;
    if !matches!(case.head.method, Method::GET | Method::HEAD) || is_upgrade(case) {
        return None;
    }
    let target = target(case);
    let host = &case.arrival.host;
    match host.class {
        HostClass::Subdomain(_) => {
            let base = host.hostname.as_str().strip_prefix(asked.as_str())?;
            let secure = case.visit.secure || forwarded::scheme_is_https(case.head, case.visit);
            let scheme = if secure { "https" } else { "http" };
            let port = host.port.map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{scheme}://{}{base}{port}{target}", route.slug).into())
        }
        _ => {
            let before = &policy.routing.path_prefix.as_ref()?.before;
            let rest = target.get(case.arrival.prefix_len..)?;
            Some(format!("{before}{}{rest}", route.slug).into())
        }
    }
}

/// Whether a tenant in this state is served.
///
/// # Errors
/// The refusal that the state calls for.
pub fn check_state(route: &Route, now: Timestamp) -> Result<(), Refusal> {
    let refuse = |code, detail| Err(Refusal::new(code, detail));
    match route.state {
        TenantState::Active => Ok(()),
        TenantState::Suspended => refuse(
            Code::TenantSuspended,
            "Ask the operator of the service why.",
        ),
        TenantState::Maintenance => refuse(Code::TenantMaintenance, "Come back in a little while."),
        TenantState::Provisioning => {
            let refusal = Refusal::new(Code::TenantProvisioning, "This takes a few moments.");
            Err(refusal.with(Extra::Progress(route.progress.min(100))))
        }
        TenantState::Failed => refuse(
            Code::TenantProvisioning,
            "This takes longer than it should; the operator has been told.",
        ),
        TenantState::Removed => {
            if is_forgotten(route, now) {
                return Err(Refusal::unknown_tenant());
            }
            refuse(
                Code::TenantRemoved,
                "Ask the operator of the service if you did not expect that.",
            )
        }
    }
}

/// Whether a tenant was removed so long ago that its names are like any that nobody ever had.
pub(super) fn is_forgotten(route: &Route, now: Timestamp) -> bool {
    let removed_at = Timestamp(route.removed_at.unwrap_or_default());
    route.state == TenantState::Removed && now.since(removed_at) > REMOVED_FOR
}

/// A request that has passed here too often goes in circles: an upstream points back at us.
fn check_loop(case: &Case<'_>, policy: &Policy) -> Result<(), Refusal> {
    if !case.arrival.present.has(Present::VIA) {
        return Ok(());
    }
    let ours = |value: &http::HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.split(',')
            .filter(|hop| hop.split_whitespace().nth(1) == Some(&*policy.node))
            .count()
    };
    let passes: usize = case.head.headers.get_all(VIA).iter().map(ours).sum();
    if passes >= MAX_PASSES {
        return Err(Refusal::new(
            Code::LoopDetected,
            "The service is set up in a circle.",
        ));
    }
    Ok(())
}

fn forward(case: &Case<'_>, named: Named<'_>, policy: &Policy) -> Result<Forward, Refusal> {
    let Arrival {
        host, prefix_len, ..
    } = case.arrival;
    let target = match (case.head.uri.path_and_query(), *prefix_len) {
        (Some(target), cut) if cut > 0 && policy.routing.strip_path_prefix => {
            Some(path::strip(target, cut)?)
        }
        _ => None,
    };
    let path = target
        .as_ref()
        .map_or(case.head.uri.path(), PathAndQuery::path);
    let limits = named
        .route
        .as_ref()
        .map_or(policy.limits, |route| route.limits.over(&policy.limits));
    Ok(Forward {
        length: length(case, limits.body)?,
        upstream: upstream(path, named.route.as_deref(), policy)?,
        prefix: target
            .as_ref()
            .map(|_| case.head.uri.path()[..*prefix_len].into()),
        upgrade: is_upgrade(case),
        hostname: host.hostname.clone(),
        port: host.port,
        route: named.route,
        sources: named.sources,
        failed_cookies: named.failed_cookies,
        limits,
        target,
    })
}

/// The length that the head announces, if it is within `limit`.
fn length(case: &Case<'_>, limit: u64) -> Result<Option<u64>, Refusal> {
    if !case.arrival.present.has(Present::CONTENT_LENGTH) {
        return Ok(None);
    }
    let length = content_length(&case.head.headers);
    if length.is_some_and(|length| length > limit) {
        return Err(Refusal::new(Code::BodyTooLarge, "Send less at once."));
    }
    Ok(length)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A matching rule, else the tenant's own upstream, else the default; nobody's requests have one of their own.
fn upstream(path: &str, route: Option<&Route>, policy: &Policy) -> Result<Arc<Upstream>, Refusal> {
    let rule = || {
        policy
            .routes
            .iter()
            .find(|rule| path::is_below(path, &rule.path))
            .map(|rule| rule.upstream.as_str())
    };
    let name = match route {
        None => policy
            .routing
            .platform_upstream
            .as_deref()
            .unwrap_or(DEFAULT_UPSTREAM),
        Some(route) => rule()
            .or(route.upstream.as_deref())
            .unwrap_or(DEFAULT_UPSTREAM),
    };
    policy.upstreams.get(name).cloned().ok_or_else(|| {
        Refusal::new(
            Code::UnknownUpstream,
            "The operator has to finish the set-up.",
        )
        .because(format_args!("no upstream is called {name:?}"))
    })
}

/// A WebSocket handshake as RFC 6455 section 4.1 has it; anything less is an ordinary request without its `Upgrade` field. So is one
/// with a body: where that ends and the tunnel begins would be for three readers to agree upon.
fn is_upgrade(case: &Case<'_>) -> bool {
    let headers = &case.head.headers;
    let is = |name: HeaderName, wanted: &str| {
        headers
            .get(name)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    case.arrival.present.has(Present::UPGRADE)
        && case.head.version == Version::HTTP_11
        && case.head.method == Method::GET
        && is(UPGRADE, "websocket")
        && is(SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(SEC_WEBSOCKET_KEY)
        && !head::announces_body(headers)
        && head::lists(headers, &http::header::CONNECTION, "upgrade")
}
