//! Nodes that die in the middle of something, and nodes that do the same at once.

use futures_util::future::join_all;

use super::ca::Moment;
use super::*;

on_both_engines!(
    a_node_that_dies_at_any_step_is_succeeded_by_another,
    what_is_being_placed_is_left_alone_for_twice_its_lease,
    a_name_that_is_given_up_while_its_order_is_under_way_gets_no_certificate,
    two_nodes_order_each_name_once,
    two_nodes_that_start_at_once_make_one_account,
);

/// Directory, account, place, look, ready, look, finalize, look, certificate: each exchange is one at which the node dies, before the CA
/// hears of it and after.
async fn a_node_that_dies_at_any_step_is_succeeded_by_another(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    let mut dead = 0;
    for moment in [Moment::BeforeItIsHeard, Moment::BeforeItHears] {
        for step in 0..12 {
            let name = format!("n{step}.{moment:?}.test").to_lowercase();
            world.verified("acme", &name).await;
            let ca = ScriptedCa::new(
                &format!("{step}.{moment:?}"),
                &world.place.clock,
                &world.board,
            );
            *ca.death.lock().unwrap() = Some((step, moment));
            let doomed = world.at(&ca);
            let node = doomed.node();
            tokio::select! {
                () = doomed.work(&node, MINUTE * 2) => {}
                () = ca.died.notified() => dead += 1,
            }
            let other = doomed.node();
            // The lease of who is dead must end first, and its account's.
            doomed.work(&other, MINUTE * 3).await;
            assert!(doomed.is_kept(&name).await, "{step} {moment:?}");
            let orders = ca.orders_of(&name);
            // Only of an order whose address nobody heard there are two.
            let lost = (step, moment) == (2, Moment::BeforeItHears);
            assert_eq!(orders.len(), 1 + usize::from(lost), "{step} {moment:?}");
            world
                .store
                .remove_domain(&pattern(&name), None)
                .await
                .unwrap();
            doomed.work(&other, HOUR).await;
        }
    }
    assert!(dead >= 18, "{dead}");
}

/// A node whose clock is up to a minute ahead would take it from a node that works, and order a second time.
async fn what_is_being_placed_is_left_alone_for_twice_its_lease(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    *world.ca().death.lock().unwrap() = Some((2, Moment::BeforeItHears));
    let first = world.node();
    tokio::select! {
        () = world.work(&first, MINUTE * 2) => {}
        () = world.ca().died.notified() => {}
    }
    let other = world.node();
    world.pass_by(MINUTE + Duration::from_secs(59));
    other.pass().await.unwrap();
    assert_eq!(world.row("shop.acme.test").await.stage, OrderStage::Placing);
    assert_eq!(world.ca().many(), 1);
    world.work(&other, MINUTE).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().many(), 2);
}

async fn a_name_that_is_given_up_while_its_order_is_under_way_gets_no_certificate(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    for step in 1..9 {
        let name = format!("n{step}.test.example");
        world.verified("acme", &name).await;
        let ca = ScriptedCa::new(&format!("{step}"), &world.place.clock, &world.board);
        *ca.death.lock().unwrap() = Some((step, Moment::BeforeItHears));
        let node = world.at(&ca);
        let (first, second) = (node.node(), node.node());
        tokio::select! {
            () = node.work(&first, MINUTE * 2) => {}
            () = ca.died.notified() => {}
        }
        let gone = world.store.remove_domain(&pattern(&name), None).await;
        gone.unwrap();
        node.work(&second, MINUTE * 3).await;
        let kept = world.store.certificate(&pattern(&name)).await;
        assert!(kept.is_err(), "{step}");
    }
}

async fn two_nodes_order_each_name_once(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    for number in 0..60 {
        world
            .verified("acme", &format!("n{number}.d{}.test", number % 7))
            .await;
    }
    let nodes = [world.node(), world.node(), world.node()];
    let end = world.now().plus(MINUTE * 2);
    while world.now() < end {
        let passed = join_all(nodes.iter().map(|node| node.pass())).await;
        let next = passed.into_iter().map(|it| it.unwrap().next).min().unwrap();
        let pause = next.min(end).0 - world.now().0;
        world.place.clock.shift(pause.max(0));
    }
    for number in 0..60 {
        let name = format!("n{number}.d{}.test", number % 7);
        assert!(world.is_kept(&name).await, "{name}");
        assert_eq!(world.ca().orders_of(&name).len(), 1, "{name}");
    }
    assert!(world.board.is_empty());
}

async fn two_nodes_that_start_at_once_make_one_account(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    for number in 0..6 {
        world
            .verified("acme", &format!("n{number}.acme.test"))
            .await;
    }
    let nodes: Vec<_> = (0..4).map(|_| world.node()).collect();
    for _ in 0..20 {
        join_all(nodes.iter().map(|node| node.pass())).await;
        world.pass_by(Duration::from_secs(1));
    }
    assert_eq!(world.ca().books(|books| books.accounts), 1);
    assert_eq!(world.ca().many(), 6);
    let ca = Handle(Arc::clone(&world.cas[0]));
    let url = world.store.acme_account_url(ca.id()).await.unwrap();
    assert_eq!(url.as_deref(), Some("https://one.test/directory/account/1"));
}
