//! What a CA may say or leave unsaid without harm to others, to its limits or to certificates in place.

use vestibule::acme::AcmeError;
use vestibule::model::Hostname;
use vestibule::store::{Bucket, Charge};

use super::ca::{limited, problem};
use super::*;

on_both_engines!(
    an_order_that_is_taken_as_no_renewal_costs_what_an_ordinary_one_does,
    g18_a_ca_that_is_silent_about_renewals_has_nothing_ordered_anew,
    g13_a_ca_that_cannot_be_reached_about_renewals_has_nothing_ordered_anew,
    nothing_is_shown_for_a_name_that_nobody_ordered_for,
    a_kind_of_challenge_that_is_not_to_be_used_is_not_met,
    what_was_taken_at_a_ca_that_is_gone_is_given_back_nowhere_else,
    g13_a_ca_that_asks_for_days_is_asked_again_after_one,
);

async fn an_order_that_is_taken_as_no_renewal_costs_what_an_ordinary_one_does(place: Place) {
    let mut world = World::new(place, 1).await;
    world.limits.same_names = Bucket {
        capacity: 1,
        refill: DAY * 30,
        ..world.limits.same_names
    };
    world
        .ca()
        .books(|books| books.window = Some((DAY * 20, DAY * 22)));
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, DAY).await;
    assert!(world.is_kept("shop.acme.test").await);
    let refused = AcmeError::NotReplaced(problem("malformed", "no certificate of yours"));
    world.ca().books(|books| books.answers.push(refused));
    world.work(&node, DAY * 28).await;
    // It was asked as a renewal, which costs nothing of that, and has to wait for what an ordinary order costs.
    let left = world.ca().books(|books| books.answers.len());
    assert_eq!((left, world.ca().many()), (0, 1));
    let row = world.row("shop.acme.test").await;
    assert_eq!((row.stage, row.failures), (OrderStage::Due, 0));
    world.work(&node, DAY * 2).await;
    let orders = world.ca().orders_of("shop.acme.test");
    assert_eq!(orders.len(), 2);
    assert!(!orders[1].replaces);
    assert!(world.is_kept("shop.acme.test").await);
}

/// A name whose certificate is in place, at the time when its CA is to be asked about it.
async fn kept_with_a_question(place: Place) -> World {
    let world = World::new(place, 1).await;
    world
        .ca()
        .books(|books| books.window = Some((DAY * 20, DAY * 22)));
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world.work(&world.node(), MINUTE * 10).await;
    assert!(world.is_kept("shop.acme.test").await);
    world.pass_by(HOUR * 3);
    world
}

async fn nothing_is_ordered_anew(world: &World) {
    let row = world.row("shop.acme.test").await;
    assert_eq!((row.stage, row.failures), (OrderStage::Kept, 0));
    assert!(row.ask_at.is_some_and(|at| at > world.now().0));
    assert_eq!(world.ca().many(), 1);
}

async fn g18_a_ca_that_is_silent_about_renewals_has_nothing_ordered_anew(place: Place) {
    let world = kept_with_a_question(place).await;
    world.ca().falls_silent();
    let node = world.node();
    let pass = tokio::spawn(async move { node.pass().await.map(|passed| passed.worked_on) });
    world.ca().died.notified().await;
    // The step takes longer than a step may.
    tokio::time::pause();
    tokio::time::advance(MINUTE).await;
    tokio::time::resume();
    assert_eq!(pass.await.unwrap().unwrap(), 1);
    nothing_is_ordered_anew(&world).await;
}

async fn g13_a_ca_that_cannot_be_reached_about_renewals_has_nothing_ordered_anew(place: Place) {
    let world = kept_with_a_question(place).await;
    world.ca().books(|books| books.away = true);
    // One that has no account open yet asks for the directory first.
    assert_eq!(world.node().pass().await.unwrap().worked_on, 1);
    nothing_is_ordered_anew(&world).await;
}

async fn nothing_is_shown_for_a_name_that_nobody_ordered_for(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let other = Hostname::parse("bank.test").unwrap();
    world.ca().books(|books| books.asks_for = Some(other));
    world.work(&world.node(), MINUTE / 2).await;
    assert!(world.board.is_empty());
    let order = &world.ca().orders_of("shop.acme.test")[0];
    assert_eq!(order.told, None);
    let row = world.row("shop.acme.test").await;
    assert_eq!((row.stage, row.failures), (OrderStage::Due, 1));
    let error = row.last_error.unwrap();
    assert!(error.contains("control of bank.test"), "{error}");
}

async fn a_kind_of_challenge_that_is_not_to_be_used_is_not_met(place: Place) {
    let mut world = World::new(place, 1).await;
    world.challenges = vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01];
    create(&world.store, "acme").await;
    world.verified("acme", "a.acme.test").await;
    let offers = |kind| world.ca().books(|books| books.offers = Some(vec![kind]));
    offers(ChallengeKind::Dns01);
    world.work(&world.node(), MINUTE / 2).await;
    assert_eq!(world.ca().orders_of("a.acme.test")[0].told, None);
    assert!(world.board.is_empty());
    assert_eq!(world.row("a.acme.test").await.failures, 1);
    // Another one than was settled on is, where it may be used.
    offers(ChallengeKind::TlsAlpn01);
    world.verified("acme", "b.acme.test").await;
    world.work(&world.node(), MINUTE / 2).await;
    let told = world.ca().orders_of("b.acme.test")[0].told;
    assert_eq!(told, Some(ChallengeKind::TlsAlpn01));
    assert!(world.is_kept("b.acme.test").await);
}

async fn what_was_taken_at_a_ca_that_is_gone_is_given_back_nowhere_else(place: Place) {
    let world = World::new(place, 2).await;
    create(&world.store, "acme").await;
    let [before, after] = [&world.cas[0], &world.cas[1]].map(|ca| world.at(ca));
    world.verified("acme", "b.acme.test").await;
    after.work(&after.node(), MINUTE).await;
    assert!(after.is_kept("b.acme.test").await);
    world.verified("acme", "a.acme.test").await;
    let node = before.node();
    while before.ca().many() == 0 {
        node.pass().await.unwrap();
    }
    after.work(&after.node(), MINUTE * 3).await;
    assert!(after.is_kept("a.acme.test").await);
    assert_eq!(after.ca().many(), 2);
    let ca = Handle(Arc::clone(&world.cas[1]));
    let domain = Charge {
        ca: ca.id().to_owned(),
        bucket: world.limits.domain,
        name: "acme.test".to_owned(),
    };
    let room = world.store.acme_room(ca.id(), &[domain]).await.unwrap();
    assert_eq!(room.left[0].0, world.limits.domain.capacity - 2);
}

async fn g13_a_ca_that_asks_for_days_is_asked_again_after_one(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let days = limited("come back next week", DAY * 5);
    world.ca().books(|books| books.answers.push(days));
    let node = world.node();
    world.work(&node, HOUR * 23).await;
    assert_eq!(world.ca().many(), 0);
    world.work(&node, HOUR * 3).await;
    assert!(world.is_kept("shop.acme.test").await);
}
