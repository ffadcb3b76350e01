//! From the names in a request to tenants.
//!
//! A look-up is answered from memory or asked of the store by a task on the control plane. What is remembered is stamped with the feed
//! position at which it was read (`applied`), and the follower of the change feed (`tasks::changes`) moves that feed on.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::metrics::Metrics;
use crate::model::{Hostname, LookupKey, Match, Slug};
use crate::store::{Changed, Changes, Cursor, SharedRouteSource};

mod applied;
mod at_hand;
mod cache;
mod contact;
mod facts;
mod fills;
mod key;
mod lookup;
mod names;
mod revalidation;
mod snapshot;
mod status;
mod token;

use applied::Applied;
pub use at_hand::Remembered;
use cache::Cache;
use contact::Contact;
use fills::Flights;
use key::KeyRef;
use lookup::Patience;
use names::Names;
use revalidation::Revalidations;
pub use snapshot::SnapshotError;
pub use status::Status;
pub use token::{Tokens, TokensError, check_key_files};

/// Finds tenants: cache, name set and single flight in front of the store. Shared by all threads.
///
/// Nobody else reads the cache, and only the feed's follower calls [`Resolver::apply`], [`Resolver::reached`] and [`Resolver::lost`].
pub struct Resolver {
    /// Itself, for the tasks it starts.
    this: Weak<Self>,
    /// Held while changes come into force: for whoever needs the position and the names to be of one moment.
    applying: Mutex<()>,
    applied: Applied,
    contact: Contact,
    cache: Cache,
    names: Names,
    flights: Flights,
    revalidations: Revalidations,
    /// Empty until the store has first been reached: a node may start without it.
    source: OnceLock<SharedRouteSource>,
    tokens: OnceLock<Box<dyn TokenVerifier>>,
    control: tokio::runtime::Handle,
    clock: Clock,
    metrics: Arc<Metrics>,
    counters: facts::Counters,
    ttl: Duration,
    negative_ttl: Duration,
    stale_if_error: Duration,
    capacity: u64,
}

impl Resolver {
    /// A resolver with nothing in memory. With a `source` (see [`Resolver::attach`]) it answers at once; without, it answers
    /// `Unavailable`, or from a snapshot, until one is attached.
    pub fn new(
        config: &config::Cache,
        source: Option<SharedRouteSource>,
        control: tokio::runtime::Handle,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let resolver = Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            applying: Mutex::new(()),
            applied: Applied::new(),
            contact: Contact::new(Arc::clone(&metrics)),
            cache: Cache::new(config),
            names: Names::new(),
            flights: Flights::new(),
            revalidations: Revalidations::default(),
            source: OnceLock::new(),
            tokens: OnceLock::new(),
            control,
            clock,
            counters: facts::Counters::new(&metrics),
            metrics,
            ttl: config.ttl,
            negative_ttl: config.negative_ttl,
            stale_if_error: config.stale_if_error,
            capacity: config.capacity,
        });
        if let Some(source) = source {
            resolver.attach(source);
        }
        // For its gauges: a scrape may come before the first look from elsewhere.
        resolver.status();
        resolver
    }

    /// Gives the resolver its store, which has just answered. Only the first one counts: a store mends its own connections.
    pub fn attach(&self, source: SharedRouteSource) {
        let _ = self.source.set(source);
        self.reached();
    }

    /// Gives the resolver whoever verifies tokens; without, every token is foreign. Only the first one counts.
    pub fn verify_tokens_with(&self, tokens: Box<dyn TokenVerifier>) {
        let _ = self.tokens.set(tokens);
    }

    /// The answer from memory, or `None` where the store has to be asked. Neither waits nor allocates. A route past its `ttl` is
    /// still served, and looked up again in the background.
    pub fn peek(&self, key: &LookupKey) -> Option<Match> {
        self.recall(KeyRef::from(key))
    }

    /// As [`Resolver::peek`], for a custom domain: exact before wildcard (RFC 6125 section 6.4.3: one label only).
    pub fn peek_domain(&self, hostname: &Hostname) -> Option<Match> {
        self.recall_domain(hostname)
    }

    /// What `key` leads to. Asks the store where memory does not know and waits 2 s at most, then it is `Unavailable`.
    pub async fn find(&self, key: &LookupKey) -> Match {
        self.find_within(KeyRef::from(key), || key.clone(), &mut Patience::default())
            .await
    }

    /// What a custom domain leads to, exact before wildcard.
    pub async fn find_domain(&self, hostname: &Hostname) -> Match {
        self.find_domain_within(hostname, &mut Patience::default())
            .await
    }

    /// Whether routes are known: the store was reached once, or a snapshot loaded.
    pub fn ready(&self) -> bool {
        self.contact.is_ready()
    }

    /// Resolves once the store answers and what it says is in force.
    pub async fn in_contact(&self) {
        self.contact.found().await;
    }

    /// Grows with every applied change and whenever the store is lost or found again. Whoever remembers something that follows from
    /// an answer reads this *before* asking, and asks again once it differs.
    pub fn generation(&self) -> u64 {
        self.applied.generation()
    }

    /// Up to where the feed has been applied, in this life or the snapshot's; `None` where it never was followed.
    pub fn cursor(&self) -> Option<Cursor> {
        self.applied.cursor()
    }

    /// Brings `changes` into force: when this returns, no answer from before them is given any more.
    pub fn apply(&self, changes: &Changes) {
        let _still = self.still();
        match changes {
            Changes::Next(changes) => {
                // Names first: whoever sees the new generation must find them. One too many costs a query, no more.
                for change in changes {
                    if let Changed::Tenant { names, .. } = &change.what {
                        self.names.add(names);
                    }
                }
                if self.applied.advance(changes) {
                    self.names.outdate();
                }
                if let Some(last) = changes.last() {
                    let lag = self.clock.now().since(Timestamp(last.at));
                    self.metrics.change_feed_lag.set(lag.as_secs_f64());
                }
            }
            Changes::Lost(cursor) => {
                self.names.outdate();
                self.applied.restart(*cursor);
                self.cache.clear();
            }
        }
    }

    fn still(&self) -> MutexGuard<'_, ()> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store answered, and all its changes have been applied.
    pub fn reached(&self) {
        if self.contact.reached(self.clock.now()) {
            self.applied.next_generation();
            tracing::info!("the store can be reached");
        }
    }

    /// The store did not answer: from now on only what is known is served, and that for `stale_if_error` since the last contact.
    pub fn lost(&self, why: &dyn std::fmt::Display) {
        if self.contact.lost() {
            self.applied.next_generation();
            tracing::warn!(%why, "the store cannot be reached; known routes are served from memory");
        }
    }

    /// Resolves when a look-up went wrong in a way that the store's loss would explain.
    pub async fn suspected(&self) {
        self.contact.suspected().await;
    }

    /// Resolves once all names are known: from then on one that does not exist costs no query, and one that does is never taken for
    /// a stranger's.
    pub async fn names_known(&self) {
        self.names.known().await;
    }

    /// Resolves when the set of names should be loaded with [`Resolver::load_names`].
    pub async fn names_wanted(&self) {
        self.names.wanted().await;
    }
}

/// Verifies tokens for the resolver, which looks up what their claims name.
pub trait TokenVerifier: Send + Sync + 'static {
    /// What `raw` is, if that is remembered.
    fn peek(&self, raw: &str) -> Option<TokenVerdict>;
    /// What `raw` is; may fetch the issuer's keys.
    fn verify<'a>(&'a self, raw: &'a str) -> BoxFuture<'a, TokenVerdict>;
}
impl TokenVerifier for Arc<Tokens> {
    fn peek(&self, raw: &str) -> Option<TokenVerdict> {
        Tokens::peek(self, raw)
    }

    fn verify<'a>(&'a self, raw: &'a str) -> BoxFuture<'a, TokenVerdict> {
        Box::pin(Tokens::verify(self, raw))
    }
}

/// What a request asks the resolver, gathered by `decide` from its head.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Keys {
    /// The host's own source: a slug below a base domain, or a custom domain (exact before wildcard).
    pub host: Option<HostKey>,
    /// The slug in the path of a platform host.
    pub path: Option<Slug>,
    /// The bearer token, raw.
    pub bearer: Option<Box<str>>,
    /// Cookies that may hold tokens: index of the issuer in the configuration, raw value.
    pub cookies: Vec<(usize, Box<str>)>,
}

/// How the host names a tenant.
#[derive(Clone, PartialEq, Debug)]
pub enum HostKey {
    /// `<slug>.<base domain>`
    Subdomain(Slug),
    /// A custom domain.
    Domain(Hostname),
}

/// What was found for [`Keys`], member by member.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// By the host.
    pub host: Option<Match>,
    /// By the path.
    pub path: Option<Match>,
    /// By the bearer token.
    pub bearer: Option<TokenFact>,
    /// By the cookies, in the order of the keys.
    pub cookies: Vec<(usize, TokenFact)>,
}

/// What a token turned out to be.
#[derive(Clone, PartialEq, Debug)]
pub enum TokenFact {
    /// Not a JWT, or a JWT of an issuer that is not ours.
    Foreign {
        /// Whether it is a JWT at all.
        jwt: bool,
    },
    /// Of ours, and not to be believed.
    Invalid {
        /// For the log.
        reason: &'static str,
    },
    /// Of ours and valid, but names no tenant (the claim is absent and not required).
    NamesNobody,
    /// Of ours and valid: what each member of its claim leads to (one, unless it is an array).
    Names(Vec<Match>),
}

/// What verifying one raw token gave, before its claim is looked up.
#[derive(Clone, PartialEq, Debug)]
pub enum TokenVerdict {
    /// See [`TokenFact::Foreign`].
    Foreign {
        /// Whether it is a JWT at all.
        jwt: bool,
    },
    /// See [`TokenFact::Invalid`].
    Invalid(&'static str),
    /// Valid; the claim's members, `None` for one that is neither a slug nor an id and so names nobody.
    Valid {
        /// Index of the issuer in the configuration.
        issuer: usize,
        /// `None` where the claim is absent and not required.
        claim: Option<Vec<Option<LookupKey>>>,
    },
}

#[cfg(test)]
mod tests;
