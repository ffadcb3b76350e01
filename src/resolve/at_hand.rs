//! What a data-plane thread keeps at hand of the routes it serves: asked first, so that a busy name costs no look-up in what all
//! threads share. Whether it still holds is asked of what has been applied, each time.

use std::hint::black_box;

use super::cache::Kept;
use super::key::KeyRef;
use super::lookup::Held;
use super::{Facts, HostKey, Keys, Resolver};
use crate::clock::Timestamp;
use crate::model::{Match, Source, ahead};

/// The route of one host, from when it was last looked up.
#[derive(Debug)]
pub struct Remembered(Kept);

impl Remembered {
    /// Reads what a request needs of it; see [`ahead`](crate::model::ahead).
    pub fn read_ahead(&self) {
        let route = &*self.0.route;
        black_box((route.state, route.version, route.limits));
        black_box((route.upstream.is_some(), route.removed_at.is_some()));
        ahead::read_ahead(route.slug.as_str().as_bytes());
    }
}

impl Resolver {
    /// The facts of a request that has no source but its host, if `remembered` still says whose that is, with that source. Whoever asks
    /// counts: each thread can do that by itself.
    pub fn facts_at_hand(
        &self,
        keys: &Keys,
        remembered: Option<&Remembered>,
        now: Timestamp,
    ) -> Option<(Source, Facts)> {
        let Remembered(kept) = remembered?;
        let source = match (&keys.host, keys) {
            (
                Some(host),
                Keys {
                    path: None,
                    bearer: None,
                    cookies,
                    ..
                },
            ) if cookies.is_empty() => match host {
                HostKey::Subdomain(_) => Source::Subdomain,
                HostKey::Domain(_) => Source::Domain,
            },
            _ => return None,
        };
        let holds = self.contact.is_up()
            && now < kept.fresh_until
            && kept.fresh_until <= now.plus(self.ttl)
            && self.applied.holds(&kept.stamp);
        if !holds {
            return None;
        }
        let facts = Facts {
            host: Some(Match::Found(kept.route.clone())),
            ..Facts::default()
        };
        Some((source, facts))
    }

    /// The route as it is served while the store is away, if it may be and no applied change speaks against it.
    pub fn stale(&self, Remembered(kept): &Remembered) -> Option<Match> {
        let held = self
            .applied
            .holds(&kept.stamp)
            .then(|| Held::Route(kept.clone()))?;
        self.conclude(held, self.contact.is_up())
    }

    /// What is to be kept at hand of a host that was just found. Nothing of one that a wildcard covers: an exact name may come into being
    /// over it, which no change to the wildcard tells.
    pub fn at_hand(&self, host: &HostKey) -> Option<Remembered> {
        let key = match host {
            HostKey::Subdomain(slug) => KeyRef::Slug(slug.as_str()),
            HostKey::Domain(hostname) => KeyRef::domain(hostname),
        };
        self.cache.route(key, &self.applied).map(Remembered)
    }
}
