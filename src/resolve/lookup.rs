//! One look-up: from memory if it can be, else by waiting for the store's answer.

use std::time::Duration;

use super::Resolver;
use super::cache::Kept;
use super::fills::Boarding;
use super::key::KeyRef;
use super::names::Standing;
use crate::model::{Hostname, LookupKey, Match};

impl Resolver {
    /// The answer from memory.
    pub(super) fn recall(&self, key: KeyRef<'_>) -> Option<Match> {
        let up = self.contact.is_up();
        let held = self.held(key);
        self.refresh(key, &held, up);
        self.count(self.conclude(held, up))
    }

    /// The answer from memory for a custom domain, exact before wildcard.
    pub(super) fn recall_domain(&self, hostname: &Hostname) -> Option<Match> {
        let up = self.contact.is_up();
        let exact = KeyRef::domain(hostname);
        let (mut key, mut held) = (exact, self.held(exact));
        // Also without the store: that there is no such name is remembered, and the wildcard is a known route.
        if let (Held::Absent, Some(wildcard)) = (&held, KeyRef::wildcard_over(hostname)) {
            (key, held) = (wildcard, self.held(wildcard));
        }
        self.refresh(key, &held, up);
        self.count(self.conclude(held, up))
    }

    fn count(&self, answer: Option<Match>) -> Option<Match> {
        if matches!(answer, Some(Match::Found(_) | Match::Absent)) {
            self.metrics.cache_hits.inc();
        }
        answer
    }

    pub(super) fn held(&self, key: KeyRef<'_>) -> Held {
        if let Some(kept) = self.cache.route(key, &self.applied) {
            return Held::Route(kept);
        }
        if self.names.standing(key) == Standing::Unlisted
            || self.cache.is_absent(key, &self.applied, self.clock.now())
        {
            return Held::Absent;
        }
        Held::Nothing
    }

    /// Has a route that is past its `ttl` looked up again by one task.
    fn refresh(&self, key: KeyRef<'_>, held: &Held, up: bool) {
        let Held::Route(kept) = held else { return };
        if !up {
            return;
        }
        let now = self.clock.now();
        // Fresh for longer than any route can be: the clock was set back.
        let fresh = now < kept.fresh_until && kept.fresh_until <= now.plus(self.ttl);
        if fresh || !self.cache.lease(&kept.stamp, now) {
            return;
        }
        if let (Some(this), Some(key)) = (self.this.upgrade(), key.to_key()) {
            this.revalidate(key);
        }
    }

    /// Makes an answer of what is held: absence is only believed of a store that can be reached.
    pub(super) fn conclude(&self, held: Held, up: bool) -> Option<Match> {
        match held {
            Held::Route(kept) if up => Some(Match::Found(kept.route)),
            Held::Route(kept) if self.contact.within(self.stale_if_error, self.clock.now()) => {
                self.metrics.cache_stale_served.inc();
                Some(Match::Found(kept.route))
            }
            Held::Absent if up => Some(Match::Absent),
            Held::Nothing if up => None,
            Held::Route(_) | Held::Absent | Held::Nothing => Some(Match::Unavailable),
        }
    }

    /// `owned` makes the key where it has to leave this thread.
    pub(super) async fn find_within(
        &self,
        key: KeyRef<'_>,
        owned: impl FnOnce() -> LookupKey,
        patience: &mut Patience,
    ) -> Match {
        if let Some(answer) = self.recall(key) {
            return answer;
        }
        self.metrics.cache_misses.inc();
        self.ask(&owned(), patience).await
    }

    pub(super) async fn find_domain_within(
        &self,
        hostname: &Hostname,
        patience: &mut Patience,
    ) -> Match {
        if let Some(answer) = self.recall_domain(hostname) {
            return answer;
        }
        self.metrics.cache_misses.inc();
        let exact = LookupKey::Domain(hostname.clone());
        loop {
            let generation = self.generation();
            let found = self.ask(&exact, patience).await;
            let (Match::Absent, Some(parent)) = (&found, hostname.parent_name()) else {
                return found;
            };
            let found = self.ask(&LookupKey::Wildcard(parent), patience).await;
            // The exact name may have come into being while the wildcard was asked for.
            if self.generation() == generation {
                return found;
            }
        }
    }

    /// Waits for the store's answer, again where a change overtook it.
    async fn ask(&self, key: &LookupKey, patience: &mut Patience) -> Match {
        let Some(this) = self.this.upgrade() else {
            return Match::Unavailable;
        };
        let waiting = async {
            loop {
                let mut arrival = match this.board(key) {
                    Boarding::Known(answer) => return answer,
                    // The list of names is on its way, and tells whether this is a stranger at all.
                    Boarding::Full => {
                        this.names.known().await;
                        continue;
                    }
                    Boarding::Aboard(arrival) => arrival,
                };
                let landing = arrival.wait_for(Option::is_some).await;
                // The sender is only gone without a word where the control plane is.
                let Some(landing) = landing.ok().and_then(|landing| landing.clone()) else {
                    return Match::Unavailable;
                };
                if let Some(answer) = this.judge(landing) {
                    return answer;
                }
            }
        };
        tokio::time::timeout_at(patience.end(), waiting)
            .await
            .unwrap_or(Match::Unavailable)
    }
}

/// What memory says of a key, whether or not the store can be reached.
pub(super) enum Held {
    /// It leads here.
    Route(Kept),
    /// It leads nowhere, as of the last contact.
    Absent,
    /// Nothing is remembered.
    Nothing,
}

/// How long one request waits for the store in all, counted from the first time that it has to.
#[derive(Default)]
pub(super) struct Patience(Option<tokio::time::Instant>);

impl Patience {
    fn end(&mut self) -> tokio::time::Instant {
        *self
            .0
            .get_or_insert_with(|| tokio::time::Instant::now() + PATIENCE)
    }
}

/// A miss is answered within two seconds, whatever the store does.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
