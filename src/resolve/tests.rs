//! The resolver over a database in memory: every order of reading, filling and applying that can do harm.

use std::path::PathBuf;

use super::*;
use ledger::Ledger;

mod ledger;
mod orders;
mod outage;
mod unknown;

/// A resolver, its database and its clock. Nothing happens by itself: `follow` is the feed's follower taking one step.
struct World {
    ledger: Arc<Ledger>,
    resolver: Arc<Resolver>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl World {
    fn new() -> Self {
        Self::with(Arc::default())
    }

    /// Another node on the same database.
    fn with(ledger: Arc<Ledger>) -> Self {
        let world = Self::unreached(ledger);
        world.follow();
        world
    }

    fn unreached(ledger: Arc<Ledger>) -> Self {
        let clock = Clock::system();
        let metrics = Metrics::new(10).unwrap();
        let control = tokio::runtime::Handle::current();
        let resolver = Resolver::new(
            &settings(),
            None,
            control,
            clock.clone(),
            Arc::clone(&metrics),
        );
        Self {
            ledger,
            resolver,
            clock,
            metrics,
        }
    }

    fn follow(&self) {
        let cursor = self.resolver.cursor().unwrap_or(Cursor {
            epoch: uuid::Uuid::nil(),
            position: 0,
        });
        let answer =
            futures_util::FutureExt::now_or_never(self.ledger_source().changes_after(cursor));
        match answer.unwrap() {
            Ok(changes) => {
                self.resolver.apply(&changes);
                self.resolver.attach(self.ledger_source());
            }
            Err(error) => self.resolver.lost(&error),
        }
    }

    fn ledger_source(&self) -> SharedRouteSource {
        Arc::clone(&self.ledger) as SharedRouteSource
    }

    /// Somebody who waits for `key` in a task of his own.
    fn visitor(&self, key: &LookupKey) -> tokio::task::JoinHandle<Match> {
        let (resolver, key) = (Arc::clone(&self.resolver), key.clone());
        tokio::spawn(async move { resolver.find(&key).await })
    }

    async fn tenant(&self, key: &LookupKey) -> Option<u128> {
        tenant(&self.resolver.find(key).await)
    }

    fn peeked(&self, key: &LookupKey) -> Option<u128> {
        self.resolver.peek(key).and_then(|found| tenant(&found))
    }
}

fn tenant(found: &Match) -> Option<u128> {
    match found {
        Match::Found(route) => Some(route.tenant.0.as_u128()),
        Match::Absent | Match::Unavailable => None,
    }
}

fn settings() -> config::Cache {
    config::Cache {
        capacity: 1000,
        ttl: Duration::from_secs(60),
        negative_ttl: Duration::from_secs(10),
        stale_if_error: Duration::from_secs(3600),
        snapshot_file: PathBuf::new(),
        snapshot_interval: Duration::from_secs(30),
    }
}

fn slug(text: &str) -> LookupKey {
    LookupKey::Slug(Slug::parse(text).unwrap())
}

fn domain(text: &str) -> LookupKey {
    LookupKey::Domain(host(text))
}

fn host(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

/// Lets every task come to where it has to wait.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// As [`settle`], for crowds.
async fn settle_all() {
    for _ in 0..100 {
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_first_requests_for_one_cold_host_make_one_query() {
    let world = World::new();
    let acme = slug("acme");
    world.ledger.put(&acme, Some(1));
    world.follow();
    world.ledger.hold(true);
    let visitors: Vec<_> = (0..10_000).map(|_| world.visitor(&acme)).collect();
    settle_all().await;
    world.ledger.release_all();
    for visitor in visitors {
        assert_eq!(tenant(&visitor.await.unwrap()), Some(1));
    }
    assert_eq!(world.ledger.asked(&acme), 1);
    assert_eq!(world.peeked(&acme), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_query_outlives_the_visitor_who_asked_first() {
    let world = World::new();
    let acme = slug("acme");
    world.ledger.put(&acme, Some(1));
    world.follow();
    world.ledger.hold(true);
    let first = world.visitor(&acme);
    settle().await;
    first.abort();
    let second = world.visitor(&acme);
    settle().await;
    world.ledger.release_all();
    assert_eq!(tenant(&second.await.unwrap()), Some(1));
    assert_eq!(world.ledger.asked(&acme), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tenants_change_drops_all_its_names_at_once_and_no_others() {
    let world = World::new();
    let names: Vec<_> = (0..50).map(|n| slug(&format!("name-{n}"))).collect();
    let other = slug("other");
    names
        .iter()
        .for_each(|name| world.ledger.put(name, Some(1)));
    world.ledger.put(&other, Some(2));
    world.follow();
    for name in names.iter().chain([&other]) {
        world.resolver.find(name).await;
    }
    let generation = world.resolver.generation();
    world.ledger.touch(1);
    world.follow();
    assert!(world.resolver.generation() > generation);
    assert!(names.iter().all(|name| world.resolver.peek(name).is_none()));
    assert_eq!(world.peeked(&other), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_stale_route_is_served_while_one_task_looks_it_up_again() {
    let world = World::new();
    let acme = slug("acme");
    world.ledger.put(&acme, Some(1));
    world.follow();
    let before = world.resolver.find(&acme).await;
    world.clock.shift(61_000);
    world.ledger.hold(true);
    for _ in 0..100 {
        assert_eq!(world.peeked(&acme), Some(1));
    }
    settle().await;
    assert_eq!(world.ledger.asked(&acme), 2, "one for the fill, one again");
    world.ledger.release_all();
    settle().await;
    assert_eq!(world.peeked(&acme), Some(1));
    settle().await;
    assert_eq!(world.ledger.asked(&acme), 2, "fresh again");
    let after = world.resolver.peek(&acme).unwrap();
    match (before, after) {
        (Match::Found(before), Match::Found(after)) => assert!(Arc::ptr_eq(&before, &after)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_wildcard_is_cached_once_under_its_own_key_and_an_exact_name_wins() {
    let world = World::new();
    let wildcard = LookupKey::Wildcard(host("acme.app"));
    world.ledger.put(&wildcard, Some(1));
    world.ledger.put(&domain("x.acme.app"), Some(2));
    world.follow();
    assert!(world.resolver.load_names().await.unwrap());
    for n in 0..100 {
        let found = world
            .resolver
            .find_domain(&host(&format!("h{n}.acme.app")))
            .await;
        assert_eq!(tenant(&found), Some(1));
    }
    assert_eq!(world.ledger.queries(), 1);
    let found = async |name| tenant(&world.resolver.find_domain(&host(name)).await);
    assert_eq!(found("x.acme.app").await, Some(2));
    assert_eq!(found("a.b.acme.app").await, None);
    assert_eq!(found("acme.app").await, None);
    world.ledger.put(&domain("h1.acme.app"), Some(3));
    world.follow();
    assert_eq!(found("h1.acme.app").await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn facts_hold_every_member_and_count_by_source() {
    struct Verifier;
    impl TokenVerifier for Verifier {
        fn peek(&self, raw: &str) -> Option<TokenVerdict> {
            let claim = match raw {
                "acme" => Some(vec![Some(slug("acme")), None]),
                "nobody" => None,
                _ => return None,
            };
            Some(TokenVerdict::Valid { issuer: 1, claim })
        }
        fn verify<'a>(&'a self, _: &'a str) -> BoxFuture<'a, TokenVerdict> {
            Box::pin(async { TokenVerdict::Invalid("bad") })
        }
    }
    let world = World::new();
    world.ledger.put(&slug("acme"), Some(1));
    world.follow();
    world.resolver.verify_tokens_with(Box::new(Verifier));
    let keys = Keys {
        host: Some(HostKey::Domain(host("no.such.name"))),
        path: Some(Slug::parse("acme").unwrap()),
        bearer: Some("acme".into()),
        cookies: vec![(0, "acme".into()), (1, "nobody".into()), (1, "x".into())],
    };
    let facts = world.resolver.facts(&keys).await;
    assert_eq!(facts.host, Some(Match::Absent));
    assert_eq!(tenant(&facts.path.unwrap()), Some(1));
    let Some(TokenFact::Names(names)) = facts.bearer else {
        panic!("the bearer token names somebody");
    };
    assert_eq!(tenant(&names[0]), Some(1));
    assert_eq!((names.len(), &names[1]), (2, &Match::Absent));
    let cookies: Vec<_> = facts.cookies.into_iter().map(|(_, fact)| fact).collect();
    assert_eq!(cookies[0], TokenFact::Names(names), "as the bearer token");
    assert_eq!(cookies[1], TokenFact::NamesNobody);
    assert_eq!(cookies[2], TokenFact::Invalid { reason: "bad" });
    let counted = |labels: &[&str]| world.metrics.resolve.with_label_values(labels).get();
    assert_eq!(counted(&["domain", "absent"]), 1);
    assert_eq!(counted(&["path", "found"]), 1);
    assert_eq!(counted(&["token", "found"]), 2);
}
