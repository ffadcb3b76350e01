//! Names that nobody has, in floods.

use super::*;

fn stranger(n: usize) -> LookupKey {
    slug(&format!("stranger-{n}"))
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_in_no_list_costs_no_query() {
    let world = World::new();
    world.ledger.put(&slug("acme"), Some(1));
    world.follow();
    assert!(world.resolver.load_names().await.unwrap());
    for n in 0..10_000 {
        assert_eq!(world.resolver.find(&stranger(n)).await, Match::Absent);
    }
    assert_eq!(world.ledger.queries(), 0);
    assert_eq!(world.tenant(&slug("acme")).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_flood_evicts_no_route_and_holds_up_no_tenant_that_exists() {
    let world = World::new();
    let (warm, cold) = (slug("warm"), slug("cold"));
    world.ledger.put(&warm, Some(1));
    world.ledger.put(&cold, Some(2));
    world.follow();
    world.resolver.find(&warm).await;
    assert!(world.resolver.load_names().await.unwrap());
    // A bulk write: the names have to be loaded again, meanwhile strangers are asked for. They fill every place there is.
    world.ledger.put_in_bulk(&slug("new"), 3);
    world.follow();
    world.ledger.hold(true);
    let flood: Vec<_> = (0..3000).map(|n| world.visitor(&stranger(n))).collect();
    settle_all().await;
    assert_eq!(world.ledger.queries(), 1 + 4, "four strangers at once");
    let refused = flood.iter().filter(|visitor| visitor.is_finished()).count();
    assert_eq!(refused, 0, "the rest waits for the list of names");
    let (cold_again, warm_again) = (world.visitor(&cold), world.visitor(&warm));
    settle().await;
    assert_eq!(world.ledger.asked(&cold), 1, "does not queue behind them");
    world.ledger.release_all();
    assert_eq!(tenant(&cold_again.await.unwrap()), Some(2));
    assert_eq!(tenant(&warm_again.await.unwrap()), Some(1));
    for visitor in flood {
        assert!(!matches!(visitor.await.unwrap(), Match::Found(_)));
    }
    for n in 0..5000 {
        world.resolver.find(&stranger(n)).await;
    }
    assert_eq!(world.peeked(&warm), Some(1));
    assert_eq!(world.peeked(&cold), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_an_import_has_just_brought_is_not_refused_for_a_flood() {
    let world = World::new();
    world.follow();
    assert!(world.resolver.load_names().await.unwrap());
    let imported = slug("imported");
    world.ledger.put_in_bulk(&imported, 1);
    world.follow();
    world.ledger.hold(true);
    let flood: Vec<_> = (0..3000).map(|n| world.visitor(&stranger(n))).collect();
    settle_all().await;
    let visitor = world.visitor(&imported);
    settle().await;
    world.ledger.release_all();
    assert!(world.resolver.load_names().await.unwrap());
    assert_eq!(tenant(&visitor.await.unwrap()), Some(1));
    for visitor in flood {
        assert_eq!(visitor.await.unwrap(), Match::Absent);
    }
    assert!(
        world.ledger.queries() <= 1024 + 1,
        "{}",
        world.ledger.queries()
    );
}

#[tokio::test(start_paused = true)]
async fn an_absence_is_remembered_for_its_time_while_the_list_is_not_loaded() {
    let world = World::new();
    for _ in 0..10 {
        assert_eq!(world.resolver.find(&stranger(0)).await, Match::Absent);
    }
    assert_eq!(world.ledger.queries(), 1);
    world.clock.shift(10_001);
    assert_eq!(world.resolver.find(&stranger(0)).await, Match::Absent);
    assert_eq!(world.ledger.queries(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_comes_while_the_list_is_on_its_way_is_not_missed() {
    let world = World::new();
    world.ledger.hold(true);
    let resolver = Arc::clone(&world.resolver);
    let loading = tokio::spawn(async move { resolver.load_names().await });
    settle().await;
    world.ledger.put(&slug("late"), Some(1));
    world.follow();
    world.ledger.release_all();
    assert!(loading.await.unwrap().unwrap());
    assert_eq!(world.tenant(&slug("late")).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_a_bulk_write_overtook_is_not_believed() {
    let world = World::new();
    world.ledger.hold(true);
    let resolver = Arc::clone(&world.resolver);
    let loading = tokio::spawn(async move { resolver.load_names().await });
    settle().await;
    world.ledger.put_in_bulk(&slug("late"), 1);
    world.follow();
    world.ledger.release_all();
    assert!(!loading.await.unwrap().unwrap());
    assert_eq!(world.resolver.status().names, None);
    assert_eq!(world.tenant(&slug("late")).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_went_away_is_absent() {
    let world = World::new();
    let acme = slug("acme");
    world.ledger.put(&acme, Some(1));
    world.follow();
    assert!(world.resolver.load_names().await.unwrap());
    assert_eq!(world.tenant(&acme).await, Some(1));
    world.ledger.put(&acme, None);
    world.follow();
    assert_eq!(world.resolver.find(&acme).await, Match::Absent);
    assert_eq!(world.resolver.peek(&acme), Some(Match::Absent));
}
