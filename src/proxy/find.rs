//! Whom a request is for: from what the thread has at hand of the host, else from the resolver.

use std::rc::Rc;

use http::request::Parts;

use super::known_hosts::KnownHost;
use super::request::Stage;
use super::worker::Shared;
use crate::decide::{self, Arrival, HostClass, Target};
use crate::model::Match;
use crate::resolve::{Facts, Keys, Resolver};

/// The host, if this thread has served it before.
pub(super) fn known(stage: &Stage<'_>, head: &Parts) -> Option<Rc<KnownHost>> {
    let text = decide::only_authority(head, &stage.connection.visit)?;
    let known = stage.worker.hosts.get(text)?;
    known.read_ahead();
    Some(known)
}

/// Every name in the head, looked up; the only step that waits for anything but the upstream.
pub(super) async fn tenant(
    stage: &mut Stage<'_>,
    arrival: &Arrival,
    known: Option<&KnownHost>,
) -> Facts {
    let worker = stage.worker;
    let Shared {
        policy,
        resolver,
        clock,
        ..
    } = &*worker.shared;
    let Target::Tenant(keys) = &arrival.target else {
        return Facts::default();
    };
    // Before the look-ups: what they say would be old after this.
    if policy.redirect.is_some() {
        let visit = &stage.connection.visit;
        Box::pin(policy.settle(visit, &arrival.host.hostname)).await;
        stage.record.now = clock.now();
    }
    if let Some(known) = known {
        let remembered = known.route.borrow();
        let at_hand = resolver.facts_at_hand(keys, remembered.as_ref(), stage.record.now);
        if let Some((source, facts)) = at_hand {
            worker.counters.at_hand(source);
            return facts;
        }
    }
    // Boxed, here and above: what is seldom needed must not make the future of every request larger.
    let facts = Box::pin(look_up(resolver, keys, known)).await;
    stage.record.now = clock.now();
    facts
}

async fn look_up(resolver: &Resolver, keys: &Keys, known: Option<&KnownHost>) -> Facts {
    let mut facts = resolver.facts(keys).await;
    match (known, &keys.host, &mut facts.host) {
        (Some(known), Some(host), Some(Match::Found(_))) => {
            *known.route.borrow_mut() = resolver.at_hand(host);
        }
        // The store is away, and the shared memory has let go of a route that is in use here.
        (Some(known), _, Some(found @ Match::Unavailable)) => {
            let remembered = known.route.borrow();
            if let Some(route) = remembered.as_ref().and_then(|route| resolver.stale(route)) {
                *found = route;
            }
        }
        _ => {}
    }
    facts
}

/// Keeps at hand what was found for the first time.
pub(super) fn acquaint(
    stage: &Stage<'_>,
    head: &Parts,
    arrival: &Arrival,
    facts: &Facts,
) -> Option<Rc<KnownHost>> {
    let worker = stage.worker;
    let Target::Tenant(keys) = &arrival.target else {
        return None;
    };
    let (Some(host), Some(Match::Found(found))) = (&keys.host, &facts.host) else {
        return None;
    };
    let visit = &stage.connection.visit;
    let text = decide::only_authority(head, visit)?;
    let route = worker.shared.resolver.at_hand(host)?;
    let mut host = arrival.host.clone();
    if let HostClass::Subdomain(slug) = &mut host.class
        && *slug == found.slug
    {
        // One text for both: comparing them again need not read it.
        slug.clone_from(&found.slug);
    }
    let known = worker.hosts.keep(text, visit.local.port(), host)?;
    *known.route.borrow_mut() = Some(route);
    Some(known)
}
