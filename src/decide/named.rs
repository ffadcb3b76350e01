//! Every source that applies must name the same tenant. There is no default and no precedence.

use std::fmt;
use std::sync::Arc;

use super::{Case, FailedCookie, HostClass, Policy, Target, verdict};
use crate::config::ForeignTokens;
use crate::model::refusal::Extra;
use crate::model::{Code, Match, Refusal, Route, Slug, Source, Sources};
use crate::resolve::TokenFact;

/// Whom a request is for.
#[derive(Default)]
pub(super) struct Named<'a> {
    /// The tenant, if anybody is named.
    pub(super) route: Option<Arc<Route>>,
    /// Who named it first, for the operator.
    by: &'static str,
    /// The sources that named it.
    pub(super) sources: Sources,
    /// The slug by which host or path asked for it: another than its own was an alias.
    pub(super) asked: Option<&'a Slug>,
    /// Cookies that hold a token of ours which failed.
    pub(super) failed_cookies: Vec<FailedCookie>,
}

/// Brings the sources together.
///
/// # Errors
/// 401 for a bearer token of ours that fails, 403 where two sources disagree, 404 where a source names nobody, 503 where the
/// store is needed and away.
pub(super) fn named<'a>(case: &Case<'a>, policy: &Policy) -> Result<Named<'a>, Refusal> {
    let mut named = Named::default();
    place(case, &mut named)?;
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
        join(fact, extra, &mut named)?;
    }
    Ok(named)
}

/// Host or path: the two exclude each other.
fn place<'a>(case: &Case<'a>, named: &mut Named<'a>) -> Result<(), Refusal> {
    let source = match (&case.arrival.host.class, &case.arrival.target) {
        (HostClass::Subdomain(slug), _) => {
            named.asked = Some(slug);
            Source::Subdomain
        }
        (HostClass::Custom, _) => Source::Domain,
        (HostClass::Platform, Target::Tenant(keys)) if keys.path.is_some() => {
            named.asked = keys.path.as_ref();
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
            named.by = source.as_str();
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

fn join(fact: &TokenFact, extra: Extra, named: &mut Named<'_>) -> Result<(), Refusal> {
    let TokenFact::Names(members) = fact else {
        return Ok(());
    };
    let unavailable = members.contains(&Match::Unavailable);
    match &named.route {
        Some(route) => {
            if routes(members).any(|other| other.tenant == route.tenant) {
                named.sources.insert(Source::Token);
                return Ok(());
            }
            // A member that could not be looked up might be the one that agrees: that is no conflict yet.
            if unavailable {
                Err(store_unavailable())
            } else {
                Err(conflict((named.by, route), members, extra))
            }
        }
        None if unavailable => Err(store_unavailable()),
        None if members.len() == 1 => {
            let route = routes(members).next().ok_or_else(Refusal::unknown_tenant)?;
            named.route = Some(Arc::clone(route));
            named.by = bearer_or_cookie(extra);
            named.sources.insert(Source::Token);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Whom the members of a claim name.
fn routes(members: &[Match]) -> impl Iterator<Item = &Arc<Route>> {
    members.iter().filter_map(|found| {
        if let Match::Found(route) = found {
            Some(route)
        } else {
            None
        }
    })
}

/// Which of the two places for a token it is that carries `extra`.
fn bearer_or_cookie(extra: Extra) -> &'static str {
    if let Extra::Cookie(_) = extra {
        "cookie"
    } else {
        "bearer"
    }
}

/// Two disagree. Who names whom is for the operator alone: a visitor learns of no tenant that it did not name.
fn conflict((by, route): (&str, &Route), members: &[Match], extra: Extra) -> Refusal {
    let detail = "Your session belongs to another workspace than this address. Change the address, or log out and in again.";
    let token = bearer_or_cookie(extra);
    let reason = format!(
        "{by} names {}, {token} names {}",
        route.tenant,
        Ids(members)
    );
    Refusal::new(Code::TenantConflict, detail)
        .because(reason)
        .with(extra)
}

/// The numbers of those whom a claim names: what is written in the claim itself stays out of the log.
struct Ids<'m>(&'m [Match]);

impl fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut routes = routes(self.0);
        let Some(first) = routes.next() else {
            return f.write_str("nobody");
        };
        write!(f, "{}", first.tenant)?;
        routes.try_for_each(|route| write!(f, " or {}", route.tenant))
    }
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
