//! Every source that applies must name the same tenant. There is no default and no precedence.

use std::sync::Arc;

use super::{Case, FailedCookie, HostClass, Policy, Target, verdict};
use crate::config::ForeignTokens;
use crate::model::refusal::Extra;
use crate::model::{Code, Match, Refusal, Route, Slug, Source, Sources};
use crate::resolve::TokenFact;

/// Whom a request is for.
#[derive(Default)]
pub(super) struct Named {
    /// The tenant, if anybody is named.
    pub(super) route: Option<Arc<Route>>,
    /// The sources that named it.
    pub(super) sources: Sources,
    /// The slug by which host or path asked for it: another than its own was an alias.
    pub(super) asked: Option<Slug>,
    /// Cookies that hold a token of ours which failed.
    pub(super) failed_cookies: Vec<FailedCookie>,
}

/// Brings the sources together.
///
/// # Errors
/// 401 for a bearer token of ours that fails, 403 where two sources disagree, 404 where a source names nobody, 503 where the
/// store is needed and away.
pub(super) fn named(case: &Case<'_>, policy: &Policy) -> Result<Named, Refusal> {
    let mut named = Named::default();
    place(case, &mut named)?;
    let beside_place = named.route.is_some();
    let mut tokens = Vec::new();
    if let Some(fact) = &case.facts.bearer {
        check_bearer(fact, policy)?;
        tokens.push((fact, Extra::None));
    }
    for (place, (issuer, fact)) in case.facts.cookies.iter().enumerate() {
        match fact {
            TokenFact::Invalid { .. } => named.failed_cookies.extend(cookie(case, policy, place)),
            TokenFact::Foreign { .. } => {}
            fact => tokens.push((fact, Extra::Cookie(*issuer))),
        }
    }
    // Whoever names somebody comes first, so that where a token stands decides nothing: a claim that names nobody is alone only if
    // no other token names anybody. Claims with several members name nobody by themselves and agree with whoever is named.
    tokens.sort_by_key(|(fact, _)| rank(fact));
    for (fact, extra) in tokens {
        join(fact, extra, beside_place, &mut named)?;
    }
    Ok(named)
}

/// Host or path: the two exclude each other.
fn place(case: &Case<'_>, named: &mut Named) -> Result<(), Refusal> {
    let source = match (&case.arrival.host.class, &case.arrival.target) {
        (HostClass::Subdomain(slug), _) => {
            named.asked = Some(slug.clone());
            Source::Subdomain
        }
        (HostClass::Custom, _) => Source::Domain,
        (HostClass::Platform, Target::Tenant(keys)) if keys.path.is_some() => {
            named.asked.clone_from(&keys.path);
            Source::Path
        }
        _ => return Ok(()),
    };
    let found = if source == Source::Path {
        &case.facts.path
    } else {
        &case.facts.host
    };
    match found {
        Some(Match::Found(route)) if !verdict::is_forgotten(route, case.now) => {
            named.route = Some(Arc::clone(route));
            named.sources.insert(source);
            Ok(())
        }
        Some(Match::Absent | Match::Found(_)) => Err(Refusal::unknown_tenant()),
        Some(Match::Unavailable) | None => Err(store_unavailable()),
    }
}

fn store_unavailable() -> Refusal {
    Refusal::new(Code::StoreUnavailable, "Try again in a moment.")
}

fn check_bearer(fact: &TokenFact, policy: &Policy) -> Result<(), Refusal> {
    let invalid = |reason| Err(Refusal::new(Code::TokenInvalid, "Log in again.").because(reason));
    match fact {
        TokenFact::Invalid { reason } => invalid(*reason),
        TokenFact::Foreign { jwt: true }
            if policy.routing.foreign_tokens == ForeignTokens::Refuse =>
        {
            invalid("the token's issuer is not configured")
        }
        _ => Ok(()),
    }
}

/// The order in which tokens are asked.
fn rank(fact: &TokenFact) -> u8 {
    match fact {
        TokenFact::Names(members) => match members.as_slice() {
            [Match::Found(_)] => 0,
            [_] => 1,
            _ => 2,
        },
        _ => 0,
    }
}

fn join(
    fact: &TokenFact,
    extra: Extra,
    beside_place: bool,
    named: &mut Named,
) -> Result<(), Refusal> {
    let TokenFact::Names(members) = fact else {
        return Ok(());
    };
    let routes = || {
        members.iter().filter_map(|found| {
            if let Match::Found(route) = found {
                Some(route)
            } else {
                None
            }
        })
    };
    let unavailable = members.contains(&Match::Unavailable);
    match &named.route {
        Some(route) => {
            if routes().any(|other| other.tenant == route.tenant) {
                named.sources.insert(Source::Token);
                return Ok(());
            }
            // A member that could not be looked up might be the one that agrees: that is no conflict yet.
            if unavailable {
                Err(store_unavailable())
            } else {
                Err(conflict(extra))
            }
        }
        None if unavailable => Err(store_unavailable()),
        None if members.len() == 1 => match routes().next() {
            Some(route) => {
                named.route = Some(Arc::clone(route));
                named.sources.insert(Source::Token);
                Ok(())
            }
            None if beside_place => Err(conflict(extra)),
            None => Err(Refusal::unknown_tenant()),
        },
        None => Ok(()),
    }
}

fn conflict(extra: Extra) -> Refusal {
    let detail = "Your session belongs to another workspace than this address. Change the address, or log out and in again.";
    Refusal::new(Code::TenantConflict, detail).with(extra)
}

/// The cookie of this place among those that were looked at.
fn cookie(case: &Case<'_>, policy: &Policy, place: usize) -> Option<FailedCookie> {
    let (issuer, value) = super::keys(case.arrival)?.cookies.get(place)?;
    let issuer = policy.routing.tokens.get(*issuer)?;
    Some(FailedCookie {
        name: issuer.cookie.as_deref()?.into(),
        value: value.clone(),
    })
}
