//! Who makes a delivery, and what follows from an attempt.

use std::time::Duration;

use futures_util::future::join_all;
use vestibule::model::EventKind;
use vestibule::model::webhook::{PATIENCE, Reply};
use vestibule::store::{DeliveryOutcome, DeliveryState, DueDelivery, Webhook};

use super::super::{Place, add, create, pattern};
use super::{Bench, DOWN, LEASE, answered};

on_both_engines!(
    a_delivery_is_one_nodes_until_its_lease_is_over,
    of_one_name_the_next_waits_for_the_one_before,
    a_failure_is_tried_again_later_and_given_up_in_the_end,
    a_webhook_that_fails_for_three_days_is_paused_and_loses_nothing,
    a_receiver_that_is_gone_is_sent_nothing_more,
    a_receiver_that_asks_for_time_is_left_alone,
    few_deliveries_are_under_way_at_a_receiver,
    what_we_could_not_send_counts_against_nobody,
    who_removes_a_webhook_and_who_reports_never_wait_for_each_other,
);

async fn a_delivery_is_one_nodes_until_its_lease_is_over(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let (here, there) = (bench.place.open().await, bench.place.open().await);
    let (one, other) = tokio::join!(
        here.due_deliveries(9, LEASE),
        there.due_deliveries(9, LEASE)
    );
    let taken = [one.unwrap(), other.unwrap()].concat();
    assert_eq!(taken.len(), 1, "{taken:?}");
    bench.later(LEASE);
    // Whoever had it is dead, or only slow.
    let after = bench.one().await;
    assert_eq!(after.message, taken[0].message);
    assert_ne!(after.lease, taken[0].lease);
    assert_eq!(bench.tried(&taken[0], DOWN).await, None, "it is another's");
    assert_eq!(
        bench.tried(&after, 204).await,
        Some(DeliveryOutcome::Delivered)
    );
    let made = bench.store.deliveries(webhook.id, 9).await.unwrap();
    assert_eq!(made[0].state, DeliveryState::Delivered);
    assert_eq!((made[0].attempts, made[0].status), (1, Some(204)));
    assert!(bench.due().await.is_empty());
}

async fn of_one_name_the_next_waits_for_the_one_before(place: Place) {
    let bench = Bench::at(place).await;
    bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    bench
        .store
        .remove_domain(&pattern("a.test"), None)
        .await
        .unwrap();
    let first = bench.one().await;
    assert_eq!(first.kind, EventKind::DomainActive);
    bench.tried(&first, DOWN).await;
    assert!(bench.due().await.is_empty(), "the second must not overtake");
    bench.later(Duration::from_secs(5));
    let again = bench.one().await;
    assert_eq!(again.id, first.id);
    add(&bench.store, "acme", "b.test").await;
    bench.tried(&again, 200).await;
    let mut rest = bench.due().await;
    rest.sort_by_key(|due| due.id);
    let kinds: Vec<_> = rest.iter().map(|due| due.kind).collect();
    assert_eq!(kinds, [EventKind::DomainRemoved, EventKind::DomainActive]);
}

async fn a_failure_is_tried_again_later_and_given_up_in_the_end(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    add(&bench.store, "acme", "poison.test").await;
    let mut waits = Vec::new();
    loop {
        let poison = bench.one().await;
        if bench.tried(&poison, DOWN).await == Some(DeliveryOutcome::GivenUp) {
            break;
        }
        // Others arrive, so the webhook is not failing.
        let ping = bench.store.ping_webhook(webhook.id, LEASE).await.unwrap();
        bench.tried(&ping, 200).await;
        let list = bench.store.deliveries(webhook.id, 100).await.unwrap();
        let waiting = list.iter().find(|it| it.id == poison.id).unwrap();
        assert_eq!(waiting.error.as_deref(), Some("status 500"));
        let wait = waiting.due_at.unwrap() - waiting.tried_at.unwrap();
        bench.later(Duration::from_millis(wait.unsigned_abs()));
        waits.push(wait / 1000);
    }
    assert_eq!(waits[..8], [5, 30, 120, 600, 3_600, 10_800, 21_600, 21_600]);
    let tried_for = u64::try_from(waits.iter().sum::<i64>()).unwrap();
    assert!(tried_for >= PATIENCE.as_secs(), "{waits:?}");
    assert!(
        bench
            .store
            .webhook(webhook.id)
            .await
            .unwrap()
            .paused_at
            .is_none()
    );
    bench.later(PATIENCE);
    assert!(bench.due().await.is_empty());
}

async fn a_webhook_that_fails_for_three_days_is_paused_and_loses_nothing(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let first = bench.one().await;
    assert_eq!(
        bench.tried(&first, DOWN).await,
        Some(DeliveryOutcome::Again)
    );
    let failing = bench.store.webhook(webhook.id).await.unwrap();
    assert!(failing.failing_since.is_some() && failing.paused_at.is_none());
    bench.later(PATIENCE);
    let last = bench.one().await;
    let outcome = bench.tried(&last, DOWN).await;
    assert!(
        matches!(outcome, Some(DeliveryOutcome::Paused(_))),
        "{outcome:?}"
    );
    let paused = bench.store.webhook(webhook.id).await.unwrap();
    assert!(paused.paused_at.is_some(), "{paused:?}");
    assert!(paused.paused_why.unwrap().contains("three days"));
    assert_eq!(bench.audited("webhook.pause").await, 1);
    add(&bench.store, "acme", "b.test").await;
    bench.later(PATIENCE);
    assert!(bench.due().await.is_empty(), "it is paused");

    bench.store.resume_webhook(webhook.id).await.unwrap();
    let due = bench.due().await;
    assert_eq!(due.len(), 2, "what failed and what came meanwhile: {due:?}");
    for due in &due {
        bench.tried(due, 200).await;
    }
    let healed = bench.store.webhook(webhook.id).await.unwrap();
    assert_eq!((healed.failing_since, healed.pending), (None, 0));
}

async fn a_receiver_that_is_gone_is_sent_nothing_more(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let outcome = bench.tried(&bench.one().await, 410).await;
    assert!(
        matches!(outcome, Some(DeliveryOutcome::Paused(why)) if why.contains("410")),
        "{outcome:?}"
    );
    bench.later(PATIENCE);
    assert!(bench.due().await.is_empty());
    assert_eq!(bench.audited("webhook.pause").await, 1);
    assert_eq!(bench.store.webhook(webhook.id).await.unwrap().pending, 1);
}

async fn a_receiver_that_asks_for_time_is_left_alone(place: Place) {
    let bench = Bench::at(place).await;
    bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let minutes = Duration::from_secs(600);
    let reply = answered(429, Some(minutes));
    let due = bench.one().await;
    bench.store.delivery_tried(&due, &reply).await.unwrap();
    add(&bench.store, "acme", "b.test").await;
    bench.later(minutes - Duration::from_secs(30));
    assert!(bench.due().await.is_empty(), "of other names neither");
    bench.later(Duration::from_secs(30));
    let due = bench.one().await;
    bench.tried(&due, 200).await;
    assert_eq!(bench.due().await.len(), 1);
}

async fn few_deliveries_are_under_way_at_a_receiver(place: Place) {
    let bench = Bench::at(place).await;
    let slow = bench.webhook(&[], Some("acme")).await;
    for number in 0..20 {
        add(&bench.store, "acme", &format!("n{number}.test")).await;
    }
    create(&bench.store, "globex").await;
    let other = bench.webhook(&[], Some("globex")).await;
    add(&bench.store, "globex", "g.test").await;
    let due = bench.due().await;
    let of = |webhook: &Webhook| {
        let to = |due: &&DueDelivery| due.target.webhook == webhook.id;
        due.iter().filter(to).count()
    };
    assert_eq!((of(&slow), of(&other)), (8, 1), "each has room of its own");
    assert!(bench.due().await.is_empty(), "all eight are under way");
    let to_slow: Vec<_> = (due.iter().filter(|due| due.target.webhook == slow.id)).collect();
    bench.tried(to_slow[0], 200).await;
    assert_eq!(bench.due().await.len(), 1, "one for one");
    for due in &to_slow[1..] {
        bench.tried(due, DOWN).await;
    }
    assert!(
        bench.due().await.is_empty(),
        "it fails, and one is under way"
    );
    bench.later(LEASE);
    assert_eq!(bench.due().await.len(), 2, "one for each of the two");
}

async fn what_we_could_not_send_counts_against_nobody(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let reply = Reply::Unsent("the key is another".into());
    let due = bench.one().await;
    let outcome = bench.store.delivery_tried(&due, &reply).await.unwrap();
    assert_eq!(outcome, Some(DeliveryOutcome::Again));
    let webhook = bench.store.webhook(webhook.id).await.unwrap();
    assert_eq!((webhook.failing_since, webhook.pending), (None, 1));
    let made = &bench.store.deliveries(webhook.id, 1).await.unwrap()[0];
    assert_eq!(made.attempts, 0);
    assert_eq!(made.error.as_deref(), Some("the key is another"));
    bench.later(Duration::from_secs(300));
    bench.one().await;
}

async fn who_removes_a_webhook_and_who_reports_never_wait_for_each_other(place: Place) {
    let bench = Bench::at(place).await;
    for round in 0..5 {
        let webhook = bench.webhook(&[], None).await;
        for number in 0..8 {
            add(&bench.store, "acme", &format!("n{number}-{round}.test")).await;
        }
        let due = bench.due().await;
        assert_eq!(due.len(), 8);
        let reply = answered(DOWN, None);
        let report = |due| bench.store.delivery_tried(due, &reply);
        let reports = join_all(due.iter().map(report));
        // PostgreSQL breaks off one of two that wait for each other.
        let (reports, removed) = tokio::join!(reports, bench.store.remove_webhook(webhook.id));
        assert!(removed.is_ok(), "{removed:?}");
        assert!(reports.iter().all(Result::is_ok), "{reports:?}");
    }
}
