//! Everything that one request asks: host, path and tokens, each counted by what it found.

use prometheus::IntCounter;

use super::key::KeyRef;
use super::{Facts, HostKey, Keys, Patience, Resolver, TokenFact, TokenVerdict};
use crate::metrics::Metrics;
use crate::model::{LookupKey, Match, Slug, Source};

/// `resolve_total`, its children looked up once.
pub(super) struct Counters([[IntCounter; 3]; 4]);

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self(Source::ALL.map(|source| {
            RESULTS.map(|result| {
                metrics
                    .resolve
                    .with_label_values(&[source.as_str(), result])
            })
        }))
    }

    pub(super) fn count(&self, source: Source, found: &Match) {
        let result = match found {
            Match::Found(_) => 0,
            Match::Absent => 1,
            Match::Unavailable => 2,
        };
        let [subdomain, domain, path, token] = &self.0;
        let by_result = match source {
            Source::Subdomain => subdomain,
            Source::Domain => domain,
            Source::Path => path,
            Source::Token => token,
        };
        by_result[result].inc();
    }
}

impl Resolver {
    /// What every member of `keys` leads to. Waits only for what is not in memory, two seconds for the store in all; what a token's
    /// keys take to arrive is bounded by whoever verifies it.
    pub async fn facts(&self, keys: &Keys) -> Facts {
        let mut patience = Patience::default();
        let mut facts = Facts::default();
        // Tokens first: verifying one may wait for its issuer's keys, and a name looked up before that wait would be old after it.
        let bearer = match &keys.bearer {
            Some(raw) => Some(self.verdict(raw).await),
            None => None,
        };
        let mut cookies = Vec::with_capacity(keys.cookies.len());
        for (issuer, raw) in &keys.cookies {
            cookies.push((*issuer, self.verdict(raw).await));
        }
        if let Some(host) = &keys.host {
            facts.host = Some(self.host_fact(host, &mut patience).await);
        }
        if let Some(slug) = &keys.path {
            let found = self.find_slug(slug, &mut patience).await;
            self.counters.count(Source::Path, &found);
            facts.path = Some(found);
        }
        if let Some(verdict) = bearer {
            facts.bearer = Some(self.token_fact(verdict, &mut patience).await);
        }
        for (issuer, verdict) in cookies {
            let fact = self.token_fact(verdict, &mut patience).await;
            facts.cookies.push((issuer, fact));
        }
        facts
    }

    async fn verdict(&self, raw: &str) -> TokenVerdict {
        let Some(tokens) = self.tokens.get() else {
            return TokenVerdict::Foreign { jwt: false };
        };
        match tokens.peek(raw) {
            Some(verdict) => verdict,
            None => tokens.verify(raw).await,
        }
    }

    async fn find_slug(&self, slug: &Slug, patience: &mut Patience) -> Match {
        let owned = || LookupKey::Slug(slug.clone());
        self.find_within(KeyRef::Slug(slug.as_str()), owned, patience)
            .await
    }

    async fn host_fact(&self, host: &HostKey, patience: &mut Patience) -> Match {
        let (source, found) = match host {
            HostKey::Subdomain(slug) => (Source::Subdomain, self.find_slug(slug, patience).await),
            HostKey::Domain(hostname) => {
                let found = self.find_domain_within(hostname, patience).await;
                (Source::Domain, found)
            }
        };
        self.counters.count(source, &found);
        found
    }

    async fn token_fact(&self, verdict: TokenVerdict, patience: &mut Patience) -> TokenFact {
        let claim = match verdict {
            TokenVerdict::Foreign { jwt } => return TokenFact::Foreign { jwt },
            TokenVerdict::Invalid(reason) => return TokenFact::Invalid { reason },
            // Whichever of ours issued it, and in whichever place it came: evidence is evidence.
            TokenVerdict::Valid { claim, .. } => claim,
        };
        let Some(members) = claim else {
            return TokenFact::NamesNobody;
        };
        let mut names = Vec::with_capacity(members.len());
        for member in members {
            // A member that can be no tenant's name must not vanish: an array of two names nobody.
            let found = match member {
                Some(key) => {
                    self.find_within(KeyRef::from(&key), || key.clone(), patience)
                        .await
                }
                None => Match::Absent,
            };
            self.counters.count(Source::Token, &found);
            names.push(found);
        }
        TokenFact::Names(names)
    }
}

const RESULTS: [&str; 3] = ["found", "absent", "unavailable"];
