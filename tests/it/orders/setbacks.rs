//! What goes wrong, and what is tried when.

use vestibule::acme::AcmeError;
use vestibule::model::CheckCode;

use super::ca::{Handle, limited, problem};
use super::*;

on_both_engines!(
    a_name_that_is_not_ready_places_no_order,
    g14_a_name_that_fails_is_tried_three_times_an_hour_at_most_and_in_other_ways,
    g13_a_ca_that_asks_to_wait_is_left_alone_by_all,
    g13_a_limit_of_one_registered_domain_holds_up_nobody_else,
    g13_an_order_that_stays_in_processing_is_given_up_after_an_hour,
    g13_an_exchange_that_fails_costs_no_order,
    g18_a_failing_renewal_keeps_the_certificate_and_is_told_of_near_the_end,
    g19_a_ca_that_was_restarted_is_asked_anew_at_once,
    g19_an_account_that_another_node_has_registered_anew_costs_no_order_its_turn,
    the_next_ca_is_asked_after_three_failures_and_the_first_one_again_for_the_renewal,
    a_ca_that_its_caa_records_forbid_is_passed_over,
    a_certificate_that_the_ca_does_not_want_to_replace_is_ordered_plainly,
    a_certificate_that_is_not_valid_yet_is_waited_for,
    a_certificate_that_cannot_be_used_counts_at_its_ca_all_the_same,
    a_challenge_that_has_come_to_a_verdict_before_it_is_told_of_again_is_no_failure,
);

async fn a_name_that_is_not_ready_places_no_order(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world
        .looks
        .fails("shop.acme.test", CheckCode::Pointing, None);
    let node = world.node();
    world.work(&node, DAY).await;
    assert_eq!(world.ca().many(), 0);
    let looked = world.looks.looked.lock().unwrap().len();
    // 1, 2, 2 min, then every 5 min: looking costs nobody anything, and the customer may just be setting the record.
    assert!((285..=295).contains(&looked), "{looked}");
    let row = world.row("shop.acme.test").await;
    assert_eq!((row.stage, row.attempts), (OrderStage::Due, 0));
    assert_eq!(row.checks[0].code, CheckCode::Pointing);
    let error = row.last_error.as_deref();
    assert_eq!(error, Some("pointing: wrong; challenge: wrong"));
    // What cost nothing is still there, and what is put right is noticed.
    world.looks.wrong.lock().unwrap().clear();
    world.work(&node, HOUR * 2).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert!(world.row("shop.acme.test").await.checks.is_empty());
}

async fn g14_a_name_that_fails_is_tried_three_times_an_hour_at_most_and_in_other_ways(
    place: Place,
) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    for name in ["acme.test", "*.acme.test"] {
        world.verified("acme", name).await;
        world.ca().books(|books| books.failing.insert(name.into()));
    }
    let node = world.node();
    world.work(&node, DAY).await;
    let orders = world.ca().books(|books| books.orders.clone());
    assert!(orders.len() > 10, "{}", orders.len());
    for (place, first) in orders.iter().enumerate() {
        let hour = orders[place..]
            .iter()
            .filter(|it| it.at < first.at + 3_600_000);
        assert!(hour.count() <= 3, "a wildcard and its parent are one name");
    }
    let kinds: Vec<_> = (world.ca().orders_of("acme.test").iter())
        .filter_map(|order| order.told)
        .collect();
    assert_eq!(kinds[..3], ChallengeKind::ALL);
    assert!(world.board.is_empty());
    let row = world.row("acme.test").await;
    assert_eq!(row.last_error.as_deref(), Some("unauthorized: not shown"));
    // A failure is no certificate: the fifth one this week would have been the last.
    assert!(world.ca().orders_of("acme.test").len() > 5);
}

async fn g13_a_ca_that_asks_to_wait_is_left_alone_by_all(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "a.acme.test").await;
    let all = limited("too many new orders recently", HOUR / 2);
    world.ca().books(|books| books.answers.push(all));
    let (one, two) = (world.node(), world.node());
    world.work(&one, MINUTE).await;
    world.verified("acme", "b.other.test").await;
    world.work(&two, MINUTE * 27).await;
    assert_eq!(world.ca().many(), 0);
    world.work(&two, MINUTE * 15).await;
    assert!(world.is_kept("b.other.test").await && world.is_kept("a.acme.test").await);
}

async fn g13_a_limit_of_one_registered_domain_holds_up_nobody_else(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "a.acme.test").await;
    let one = limited(
        "too many certificates already issued for acme.test",
        HOUR * 3,
    );
    world.ca().books(|books| books.answers.push(one));
    let node = world.node();
    world.work(&node, MINUTE).await;
    world.verified("acme", "b.other.test").await;
    world.work(&world.node(), HOUR).await;
    assert!(world.is_kept("b.other.test").await);
    assert_eq!(world.ca().orders_of("a.acme.test").len(), 0);
    world.work(&node, HOUR * 3).await;
    assert!(world.is_kept("a.acme.test").await);
}

async fn g13_an_order_that_stays_in_processing_is_given_up_after_an_hour(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world.ca().books(|books| {
        books.stuck.insert("shop.acme.test".into());
        books.retry_after = Some(MINUTE * 5);
    });
    let node = world.node();
    world.work(&node, MINUTE * 55).await;
    let row = world.row("shop.acme.test").await;
    assert_eq!(row.stage, OrderStage::Placed);
    assert!(row.polls < 20, "the CA said when: {}", row.polls);
    world.ca().books(|books| {
        books.stuck.clear();
        books.orders[0].state = vestibule::acme::OrderState::Invalid;
    });
    world.work(&node, MINUTE * 30).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().many(), 2);
}

async fn g13_an_exchange_that_fails_costs_no_order(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    while world.ca().many() == 0 {
        node.pass().await.unwrap();
    }
    world.ca().books(|books| books.away = true);
    world.work(&node, MINUTE * 10).await;
    world.ca().books(|books| books.away = false);
    world.work(&node, MINUTE * 2).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().many(), 1);
}

async fn g18_a_failing_renewal_keeps_the_certificate_and_is_told_of_near_the_end(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, HOUR).await;
    let shown = world.shown("shop.acme.test").await;
    world.ca().books(|books| books.away = true);
    world.work(&node, DAY * 80).await;
    assert!(world.row("shop.acme.test").await.failures > 30);
    let expiring = async || {
        let list = world.store.expiring_unrenewed(None, 10).await.unwrap();
        list.len()
    };
    assert_eq!(expiring().await, 0, "ten days are left");
    world.work(&node, DAY * 4).await;
    assert_eq!(expiring().await, 1);
    assert_eq!(world.shown("shop.acme.test").await, shown);
    world.ca().books(|books| books.away = false);
    world.work(&node, DAY).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(expiring().await, 0);
    assert_ne!(world.shown("shop.acme.test").await, shown);
}

async fn g19_a_ca_that_was_restarted_is_asked_anew_at_once(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    while world.ca().many() == 0 {
        node.pass().await.unwrap();
    }
    world.ca().restart();
    world.work(&node, MINUTE).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().many(), 2);
    // No loop where it knows nobody for good.
    world.verified("acme", "b.acme.test").await;
    let unknown = || AcmeError::AccountUnknown;
    world
        .ca()
        .books(|books| books.answers = vec![unknown(), unknown(), unknown()]);
    world.work(&world.node(), MINUTE).await;
    let left = world.ca().books(|books| books.answers.len());
    assert_eq!(left, 1, "once, and once more at once");
    assert_eq!(world.row("b.acme.test").await.failures, 1);
}

async fn g19_an_account_that_another_node_has_registered_anew_costs_no_order_its_turn(
    place: Place,
) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    // Both nodes have the account open.
    let [first, second] = [world.node(), world.node()];
    for (node, name) in [(&first, "a.acme.test"), (&second, "b.acme.test")] {
        world.verified("acme", name).await;
        world.pass_by(world.look_every);
        world.work(node, MINUTE).await;
        assert!(world.is_kept(name).await);
    }
    // The one has it registered anew, and places an order with it, which the other one goes on with.
    world.ca().restart();
    world.verified("acme", "c.acme.test").await;
    world.pass_by(world.look_every);
    while world.ca().many() < 3 {
        first.pass().await.unwrap();
    }
    world.work(&second, MINUTE).await;
    assert!(world.is_kept("c.acme.test").await);
    assert_eq!(world.ca().many(), 3, "the same order");
    // The one has merely learnt that it is lost, and the other one, which has not, gets to the name first.
    world.ca().restart();
    world.verified("acme", "d.acme.test").await;
    world.pass_by(world.look_every);
    let is_begun_anew = async || {
        let order = world.store.order(&pattern("d.acme.test")).await;
        order.unwrap().is_some_and(|it| it.restarts == 1)
    };
    while !is_begun_anew().await {
        first.pass().await.unwrap();
    }
    world.work(&second, Duration::from_secs(30)).await;
    assert!(world.is_kept("d.acme.test").await);
    assert_eq!(world.ca().books(|books| books.accounts), 1);
}

async fn the_next_ca_is_asked_after_three_failures_and_the_first_one_again_for_the_renewal(
    place: Place,
) {
    let world = World::new(place, 2).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let refused = || AcmeError::Refused(problem("serverInternal", "out of order"));
    world
        .ca()
        .books(|books| books.answers = vec![refused(), refused(), refused()]);
    let node = world.node();
    world.work(&node, HOUR).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!((world.cas[0].many(), world.cas[1].many()), (0, 1));
    assert_eq!(world.ca().books(|books| books.answers.len()), 0);
    let issued_by = world.row("shop.acme.test").await.issued_by;
    assert_eq!(issued_by.as_deref(), Some("https://two.test/directory"));
    world.work(&node, DAY * 61).await;
    assert_eq!((world.cas[0].many(), world.cas[1].many()), (1, 1));
    // And who asks for hours of patience is not waited for.
    world.verified("acme", "b.acme.test").await;
    world
        .ca()
        .books(|books| books.answers.push(limited("too many orders", HOUR * 5)));
    world.verified("acme", "c.other.test").await;
    world.work(&world.node(), HOUR).await;
    assert!(world.is_kept("b.acme.test").await && world.is_kept("c.other.test").await);
    assert!(world.cas[1].many() >= 2);
}

async fn a_ca_that_its_caa_records_forbid_is_passed_over(place: Place) {
    let world = World::new(place, 2).await;
    create(&world.store, "acme").await;
    for name in ["a", "b", "c", "d"] {
        world.verified("acme", &format!("{name}.acme.test")).await;
    }
    let fails = |name: &str, code, ca| world.looks.fails(&format!("{name}.acme.test"), code, ca);
    fails("a", CheckCode::Caa, Some("one.test"));
    fails("b", CheckCode::Caa, None);
    fails("c", CheckCode::Caa, Some("one.test"));
    fails("c", CheckCode::Pointing, Some("two.test"));
    // As where a CA is asked for dns-01 alone, and another for more.
    fails("d", CheckCode::Challenge, Some("one.test"));
    let node = world.node();
    world.work(&node, MINUTE).await;
    assert!(world.is_kept("a.acme.test").await && world.is_kept("d.acme.test").await);
    assert_eq!((world.cas[0].many(), world.cas[1].many()), (0, 2));
    assert_eq!(
        world.row("b.acme.test").await.checks[0].code,
        CheckCode::Caa
    );
    // Nobody is told to let the first one in: the second one may issue, once the name leads here.
    let row = world.row("c.acme.test").await;
    let told: Vec<_> = row.checks.iter().map(|check| check.code).collect();
    assert_eq!(told, [CheckCode::Pointing, CheckCode::Challenge]);
    assert_eq!(world.row("a.acme.test").await.last_error, None);
}

async fn a_certificate_that_the_ca_does_not_want_to_replace_is_ordered_plainly(place: Place) {
    let world = World::new(place, 1).await;
    world
        .ca()
        .books(|books| books.window = Some((DAY * 20, DAY * 22)));
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, DAY * 19).await;
    let refused = AcmeError::NotReplaced(problem("alreadyReplaced", "by another order"));
    world.ca().books(|books| books.answers.push(refused));
    world.work(&node, DAY * 4).await;
    let orders = world.ca().orders_of("shop.acme.test");
    assert_eq!(orders.len(), 2);
    assert!(!orders[1].replaces);
}

async fn a_certificate_that_is_not_valid_yet_is_waited_for(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world
        .ca()
        .books(|books| books.begins_later = HOUR + MINUTE * 9);
    let node = world.node();
    world.work(&node, MINUTE * 8).await;
    let row = world.row("shop.acme.test").await;
    assert_eq!((row.stage, row.failures), (OrderStage::Placed, 0));
    assert!(row.polls < 10, "it is known how long: {}", row.polls);
    world.work(&node, MINUTE * 3).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().many(), 1);
}

async fn a_certificate_that_cannot_be_used_counts_at_its_ca_all_the_same(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world.ca().books(|books| books.begins_later = HOUR * 3);
    let node = world.node();
    world.work(&node, DAY).await;
    // Five for the same names in a week, of which we take four: no more than the CA has issued.
    assert_eq!(world.ca().many(), 4);
    let row = world.row("shop.acme.test").await;
    let error = row.last_error.unwrap();
    assert!(error.contains("not valid yet"), "{error}");
    // Nothing has failed in the CA's eyes.
    let failures = world.limits.failures;
    let ca = Handle(Arc::clone(&world.cas[0]));
    let charge = vestibule::store::Charge {
        ca: ca.id().to_owned(),
        bucket: failures,
        name: "shop.acme.test".to_owned(),
    };
    let price = world.store.acme_price(ca.id(), &[charge]).await.unwrap();
    assert_eq!(price.short, None);
    assert!(price.held_until <= world.now());
}

async fn a_challenge_that_has_come_to_a_verdict_before_it_is_told_of_again_is_no_failure(
    place: Place,
) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world.ca().books(|books| books.hasty = true);
    let node = world.node();
    world.work(&node, MINUTE * 10).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().many(), 1);
    assert_eq!(failed(&world), 0);
}

fn failed(world: &World) -> u64 {
    let results = ["failed", "ca_failed"];
    let count = |result| {
        let labels = ["https://one.test/directory", result];
        let counter = world.metrics.acme_orders.with_label_values(&labels);
        counter.get()
    };
    results.into_iter().map(count).sum()
}
