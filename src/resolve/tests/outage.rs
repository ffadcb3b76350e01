//! The store goes, stays away, comes back.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_its_store_a_node_serves_what_it_knows_and_nothing_else() {
    let world = World::new();
    let (known, cold, nobody) = (slug("known"), slug("cold"), slug("nobody"));
    world.ledger.put(&known, Some(1));
    world.ledger.put(&cold, Some(2));
    world.follow();
    world.resolver.find(&known).await;
    assert!(world.resolver.load_names().await.unwrap());
    assert_eq!(world.resolver.peek(&nobody), Some(Match::Absent));

    world.ledger.set_down(true);
    world.follow();
    assert_eq!(world.metrics.store_up.get(), 0);
    assert_eq!(world.peeked(&known), Some(1));
    assert_eq!(world.resolver.peek(&cold), Some(Match::Unavailable));
    assert_eq!(
        world.resolver.peek(&nobody),
        Some(Match::Unavailable),
        "absence is not believed"
    );
    assert_eq!(world.metrics.cache_stale_served.get(), 1);
    assert!(
        world.resolver.ready(),
        "a store lost later does not make a node unready"
    );

    world.clock.shift(3_600_001);
    assert_eq!(
        world.resolver.peek(&known),
        Some(Match::Unavailable),
        "stale_if_error is over"
    );

    world.ledger.set_down(false);
    world.follow();
    assert_eq!(world.metrics.store_up.get(), 1);
    assert_eq!(world.peeked(&known), Some(1));
    assert_eq!(world.tenant(&cold).await, Some(2));
    assert_eq!(world.resolver.peek(&nobody), Some(Match::Absent));
}

#[tokio::test(start_paused = true)]
async fn a_wildcard_goes_on_being_served_without_the_store() {
    let world = World::new();
    world
        .ledger
        .put(&LookupKey::Wildcard(host("acme.app")), Some(1));
    world.follow();
    assert!(world.resolver.load_names().await.unwrap());
    world.resolver.find_domain(&host("a.acme.app")).await;
    world.ledger.set_down(true);
    world.follow();
    let found = world.resolver.peek_domain(&host("never-seen.acme.app"));
    assert_eq!(tenant(&found.unwrap()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_look_up_is_unavailable_and_calls_the_follower() {
    let world = World::new();
    world.ledger.set_down(true);
    assert_eq!(world.resolver.find(&slug("acme")).await, Match::Unavailable);
    world.resolver.suspected().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_visitor_two_seconds() {
    let world = World::new();
    world.ledger.hold(true);
    let begun = tokio::time::Instant::now();
    assert_eq!(world.resolver.find(&slug("acme")).await, Match::Unavailable);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    world.ledger.release_all();
    settle().await;
    assert_eq!(world.resolver.find(&slug("acme")).await, Match::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_reached_its_store_is_not_ready_and_knows_nothing() {
    let world = World::unreached(Arc::default());
    assert!(!world.resolver.ready());
    assert_eq!(world.resolver.find(&slug("acme")).await, Match::Unavailable);
    assert_eq!(world.ledger.queries(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_without_its_store_routes_from_the_snapshot_and_catches_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.snapshot");
    let (stays, moves) = (slug("stays"), slug("moves"));
    let first = World::new();
    first.ledger.put(&stays, Some(3));
    first.ledger.put(&moves, Some(1));
    first.follow();
    first.resolver.find(&stays).await;
    first.resolver.find(&moves).await;
    assert_eq!(first.resolver.save_snapshot(&file, &[]).unwrap(), Some(2));
    first.ledger.put(&moves, Some(2));

    let second = World::unreached(Arc::clone(&first.ledger));
    second.resolver.load_snapshot(&file);
    assert!(second.resolver.ready());
    assert_eq!(second.peeked(&moves), Some(1), "as of the last contact");
    assert_eq!(
        second.resolver.peek(&slug("nobody")),
        Some(Match::Unavailable)
    );
    second.follow();
    assert_eq!(
        second.resolver.peek(&moves),
        None,
        "the change came after the snapshot"
    );
    assert_eq!(second.peeked(&stays), Some(3));
    assert_eq!(second.tenant(&moves).await, Some(2));

    // The time without contact goes on across the restart.
    let third = World::unreached(Arc::clone(&first.ledger));
    third.resolver.load_snapshot(&file);
    third.clock.shift(3_600_001);
    assert_eq!(third.resolver.peek(&stays), Some(Match::Unavailable));

    // Another history: nothing of it is believed.
    first.ledger.restore();
    let fourth = World::unreached(Arc::clone(&first.ledger));
    fourth.resolver.load_snapshot(&file);
    fourth.follow();
    assert_eq!(fourth.resolver.peek(&stays), None);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_serves_wildcards_and_gives_them_nobody_elses_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.snapshot");
    let first = World::new();
    let wildcard = LookupKey::Wildcard(host("acme.app"));
    first.ledger.put(&wildcard, Some(1));
    first.ledger.put(&domain("x.acme.app"), Some(2));
    first.follow();
    first.resolver.find_domain(&host("a.acme.app")).await;
    let second_from = |file: &std::path::Path| {
        first.resolver.save_snapshot(file, &[]).unwrap();
        let second = World::unreached(Arc::clone(&first.ledger));
        second.resolver.load_snapshot(file);
        second
    };

    // The list of names was not loaded yet: that there is no such exact name is not known.
    let second = second_from(&file);
    assert_eq!(
        second.resolver.peek_domain(&host("b.acme.app")),
        Some(Match::Unavailable)
    );

    assert!(first.resolver.load_names().await.unwrap());
    let second = second_from(&file);
    let found = second.resolver.peek_domain(&host("b.acme.app")).unwrap();
    assert_eq!(tenant(&found), Some(1));
    assert_eq!(
        second.resolver.peek_domain(&host("x.acme.app")),
        Some(Match::Unavailable)
    );
    // What came while it was away is learnt from the feed.
    first.ledger.put(&domain("b.acme.app"), Some(3));
    second.follow();
    let found = second.resolver.find_domain(&host("b.acme.app")).await;
    assert_eq!(tenant(&found), Some(3));
}
