//! A decision in words: every step that led to it and what would be sent. Nothing is sent, taken or counted.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, HeaderValue};
use http::request::Parts;
use serde::Serialize;

use super::rewrite;
use super::{
    Answer, Arrival, Case, Decision, Forward, HostClass, Policy, Present, Target, Visit, decide,
    forwarded,
};
use crate::clock::Timestamp;
use crate::config::HostPolicy;
use crate::http1::RequestHead;
use crate::model::{Limits, Match, Refusal, Source, identity};
use crate::resolve::{Facts, Keys, TokenFact};
use crate::upstream::Upstream;

/// What becomes of a request, and why.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The one host of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What the configuration says of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<&'static str>,
    /// The visitor: the right-most address that is no trusted proxy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor: Option<IpAddr>,
    /// Every source that applied, in the order in which they are asked.
    pub steps: Vec<Step>,
    /// What follows.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// One source and what it said.
#[derive(Debug, Serialize)]
pub struct Step {
    /// `certificate`, `handshake`, `listener` or `challenge` before the request is looked at; `subdomain`, `domain`, `path`, `bearer` or `cookie`;
    /// `demands` of the host.
    pub source: &'static str,
    /// The name that was looked up; never a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// What was found.
    pub found: String,
}

/// What becomes of a request.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// It is sent on.
    Forward(Box<Forwarded>),
    /// There is no connection that it could come by.
    Handshake {
        /// Why.
        reason: String,
    },
    /// It is answered here.
    Answer {
        /// The status.
        status: u16,
        /// With what.
        answer: String,
    },
    /// It is refused.
    Refusal {
        /// The code of the refusal.
        code: &'static str,
        /// The status.
        status: u16,
        /// What the visitor is told.
        detail: &'static str,
        /// What the log says.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Box<str>>,
    },
}

/// A request that is sent on.
#[derive(Debug, Serialize)]
pub struct Forwarded {
    /// The tenant's number; absent where nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The tenant's slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// The first source that named it, or `none`.
    pub via: &'static str,
    /// Every source that named it.
    pub agree: Vec<&'static str>,
    /// What it may use.
    pub limits: ExplainedLimits,
    /// The upstream.
    pub upstream: String,
    /// What the upstream is asked for.
    pub target: String,
    /// The fields it is sent; secrets are masked, and so is the assertion's text.
    pub headers: Vec<(String, String)>,
    /// What the assertion claims.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
}

/// Limits by name; 0 = none.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of `Limits`")]
pub struct ExplainedLimits {
    pub requests_per_second: u32,
    pub burst: u32,
    pub in_flight: u32,
    pub body: u64,
}

/// Explains what becomes of `head`, given what the resolver found for its keys. `claims` writes the claims of an assertion.
pub fn explain(
    head: Parts,
    visit: &Visit,
    arrival: Result<&Arrival, Refusal>,
    facts: &Facts,
    now: Timestamp,
    policy: &Policy,
    claims: impl FnOnce(&Forward) -> Option<serde_json::Value>,
) -> Explanation {
    let visitor = Some(forwarded::origin(&head, visit, policy).visitor);
    let arrival = match arrival {
        Ok(arrival) => arrival,
        Err(refusal) => {
            return Explanation {
                host: None,
                class: None,
                visitor,
                steps: Vec::new(),
                outcome: refused(refusal),
            };
        }
    };
    let case = Case {
        head: &head,
        visit,
        arrival,
        facts,
        now,
    };
    let outcome = match decide(&case, policy) {
        Err(refusal) => refused(refusal),
        Ok(Decision::Answer(answer)) => answered(&answer),
        Ok(Decision::Forward(forward)) => {
            let claims = claims(&forward);
            Outcome::Forward(Box::new(forwarded(&head, &forward, visit, policy, claims)))
        }
    };
    let host = Some(arrival.host.hostname.to_string());
    Explanation {
        host,
        class: Some(class(&arrival.host.class)),
        visitor,
        steps: steps(arrival, facts)
            .into_iter()
            .chain(demands(arrival, visit, policy))
            .collect(),
        outcome,
    }
}

fn refused(refusal: Refusal) -> Outcome {
    let Refusal {
        code,
        detail,
        reason,
        ..
    } = refusal;
    Outcome::Refusal {
        code: code.as_str(),
        status: code.status(),
        detail,
        reason,
    }
}

fn answered(answer: &Answer) -> Outcome {
    let (status, answer) = match answer {
        Answer::Redirect(location) => (308, format!("redirect to {location}")),
        Answer::Keys => (200, "the public keys".to_owned()),
        Answer::Options => (204, "the methods there are".to_owned()),
        Answer::Preflight => (204, "a preflight's CORS fields".to_owned()),
        Answer::ForgetSession => (303, "back, with the session's cookies forgotten".to_owned()),
    };
    Outcome::Answer { status, answer }
}

fn class(class: &HostClass) -> &'static str {
    match class {
        HostClass::Platform => "platform host",
        HostClass::Subdomain(_) => "subdomain",
        HostClass::Nobody => "nobody's name below a base domain",
        HostClass::Custom => "custom domain",
    }
}

fn steps(arrival: &Arrival, facts: &Facts) -> Vec<Step> {
    let Target::Tenant(Keys { path, .. }) = &arrival.target else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    let mut step = |source, asked: Option<String>, found: String| {
        steps.push(Step {
            source,
            asked,
            found,
        })
    };
    if let Some(found) = &facts.host {
        match &arrival.host.class {
            HostClass::Subdomain(slug) => step(
                Source::Subdomain.as_str(),
                Some(slug.to_string()),
                in_words(found),
            ),
            _ => step(
                Source::Domain.as_str(),
                Some(arrival.host.hostname.to_string()),
                in_words(found),
            ),
        }
    }
    if let Some(found) = &facts.path {
        step(
            Source::Path.as_str(),
            path.as_ref().map(ToString::to_string),
            in_words(found),
        );
    }
    if let Some(fact) = &facts.bearer {
        step("bearer", None, token_in_words(fact));
    }
    for (_, fact) in &facts.cookies {
        step("cookie", None, token_in_words(fact));
    }
    steps
}

/// What the host demands of its visitors, where the connection may not have met it.
fn demands(arrival: &Arrival, visit: &Visit, policy: &Policy) -> Option<Step> {
    let host = &arrival.host.hostname;
    let own = policy.inventory.policy(host);
    if own.is_none() && visit.demanded.is_none() {
        return None;
    }
    let demanded = match &own {
        Some(own) => own.in_words(),
        None => "nothing".to_owned(),
    };
    let met = match (visit.secure, own == visit.demanded) {
        (false, _) => "which nobody is asked for in the clear",
        (true, true) => "and the connection is for a name of the same demands",
        (true, false) => "and the connection is for a name of other demands",
    };
    Some(Step {
        source: "demands",
        asked: Some(host.to_string()),
        found: format!("{demanded}, {met}"),
    })
}

fn in_words(found: &Match) -> String {
    match found {
        Match::Found(route) => format!("{} ({})", route.slug, route.state.as_str()),
        Match::Absent => "nobody".to_owned(),
        Match::Unavailable => "the store cannot be asked".to_owned(),
    }
}

fn token_in_words(fact: &TokenFact) -> String {
    match fact {
        TokenFact::Foreign { jwt: true } => "a JWT of another issuer".to_owned(),
        TokenFact::Foreign { jwt: false } => "no JWT".to_owned(),
        TokenFact::Invalid { reason } => format!("invalid: {reason}"),
        TokenFact::NamesNobody => "valid, names nobody".to_owned(),
        TokenFact::Names(members) => {
            let members: Vec<_> = members.iter().map(in_words).collect();
            format!("valid, names {}", members.join(", "))
        }
    }
}

fn forwarded(
    inbound: &Parts,
    forward: &Forward,
    visit: &Visit,
    policy: &Policy,
    claims: Option<serde_json::Value>,
) -> Forwarded {
    let unknown = HeaderValue::from_static("(drawn for each request)");
    let ids = rewrite::ids(
        &inbound.headers,
        Present::of(&inbound.headers),
        visit.trusted,
        unknown,
        b"(drawn where no trace continues)",
        b"(drawn per time)",
    );
    let origin = forwarded::origin(inbound, visit, policy);
    let mut head = rewrite::outbound(Vec::new(), inbound, forward, visit, &origin, policy, &ids);
    if let Some(host) = endpoint_host(&forward.upstream) {
        head.replace_host(host.as_bytes());
    }
    if let Some(length) = forward.length {
        head.field("content-length", length.to_string().as_bytes());
    }
    let mut headers = shown(&head);
    if claims.is_some() {
        let name = identity::TENANT_ASSERTION.as_str().to_owned();
        headers.push((name, "(signed)".to_owned()));
    }
    let Limits {
        requests_per_second,
        burst,
        in_flight,
        body,
    } = forward.limits;
    Forwarded {
        tenant: forward.route.as_ref().map(|route| route.tenant.to_string()),
        slug: forward.route.as_ref().map(|route| route.slug.to_string()),
        via: forward.sources.via_str(),
        agree: forward.sources.iter().map(Source::as_str).collect(),
        limits: ExplainedLimits {
            requests_per_second,
            burst,
            in_flight,
            body,
        },
        upstream: forward.upstream.name.to_string(),
        target: head.target().to_owned(),
        headers,
        claims,
    }
}

/// The `Host` that the pool sets once it has chosen an endpoint.
fn endpoint_host(upstream: &Upstream) -> Option<HeaderValue> {
    match (&upstream.config.host, upstream.config.endpoints.len()) {
        (HostPolicy::Endpoint, 1) => upstream.host_for(0).cloned(),
        (HostPolicy::Endpoint, _) => Some(HeaderValue::from_static("(the chosen endpoint's)")),
        (HostPolicy::Preserve | HostPolicy::Name(_), _) => None,
    }
}

/// Fields as they may be printed: what authenticates the visitor is masked.
fn shown(head: &RequestHead) -> Vec<(String, String)> {
    let secret = |name: &str| {
        let names = [&AUTHORIZATION, &COOKIE, &identity::TENANT_ASSERTION];
        names.iter().any(|secret| secret.as_str() == name)
    };
    head.fields()
        .map(|(name, value)| {
            let value = match secret(name) {
                true => "(masked)".to_owned(),
                false => String::from_utf8_lossy(value).into_owned(),
            };
            (name.to_owned(), value)
        })
        .collect()
}
