//! What receivers hear, how often, and what becomes of those that misbehave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vestibule::model::Secret;
use vestibule::shutdown::Shutdown;
use vestibule::store::DeliveryState;
use vestibule::tasks::webhooks::{LEASE, LIMIT};

use super::Bench;
use crate::harness::identity::TestIdentity;
use crate::harness::on_both_stores;
use crate::harness::receiver::{Heard, Manner, Receiver};
use crate::harness::until;

on_both_stores!(
    an_event_arrives_signed_and_once,
    both_secrets_count_while_they_overlap,
    what_fails_arrives_later_as_the_same_event,
    a_receiver_is_not_followed_elsewhere,
    no_private_address_is_sent_to_unless_allowed,
    retry_after_and_gone_are_obeyed,
    two_nodes_deliver_each_event_once,
    what_a_dead_node_had_taken_another_delivers,
    names_of_one_receiver_keep_their_order,
    a_receiver_that_stalls_delays_no_other,
    an_answer_without_end_is_an_answer,
    over_tls_only_a_trusted_receiver_hears_anything,
);

/// Whether `heard` is signed with `secret`, judged by the words of the specification.
fn is_signed(heard: &Heard, secret: &Secret) -> bool {
    let (id, at) = (heard.field("webhook-id"), heard.field("webhook-timestamp"));
    let content = format!("{id}.{at}.{}", heard.body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
    let mut signatures = heard.field("webhook-signature").split(' ');
    signatures.any(|signature| {
        let tag = signature.strip_prefix("v1,").unwrap();
        let tag = BASE64_STANDARD.decode(tag).unwrap();
        hmac::verify(&key, content.as_bytes(), &tag).is_ok()
    })
}

async fn an_event_arrives_signed_and_once(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.patient_node().await;
    let (webhook, secret) = bench.webhook(&receiver.url()).await;
    assert_eq!(node.round().await.unwrap(), 0);
    bench.comes("a.test").await;
    assert_eq!(node.round().await.unwrap(), 1);
    assert_eq!(node.round().await.unwrap(), 0);
    let heard = receiver.heard();
    let [heard] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(heard.line, "POST /hook?key=canary-query HTTP/1.1");
    assert_eq!(heard.field("content-type"), "application/json");
    assert!(heard.field("user-agent").starts_with("vestibule/"));
    assert!(is_signed(heard, &secret));
    let other = Secret::new(vec![7; 32]);
    assert!(!is_signed(heard, &other));
    let at: i64 = heard.field("webhook-timestamp").parse().unwrap();
    assert!((bench.clock.now().seconds() - at).abs() < 300);
    assert_eq!(heard.json()["type"], "domain.active");
    let made = bench.last(&webhook).await;
    assert_eq!(made.state, DeliveryState::Delivered);
    assert_eq!(heard.field("webhook-id"), made.event);
    let counted = &node.metrics.webhook_deliveries;
    assert_eq!(counted.with_label_values(&["delivered"]).get(), 1);
}

async fn both_secrets_count_while_they_overlap(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.patient_node().await;
    let (webhook, old) = bench.webhook(&receiver.url()).await;
    let new = Secret::new(vec![9; 32]);
    let hour = Duration::from_secs(3600);
    let rotated = (bench.store).rotate_webhook(webhook.id, &new, &bench.sealer, hour);
    rotated.await.unwrap();
    for (name, passed) in [("a.test", 0), ("b.test", 3601)] {
        bench.later(passed);
        bench.comes(name).await;
        node.round().await.unwrap();
        let heard = receiver.heard().pop().unwrap();
        assert!(is_signed(&heard, &new));
        assert_eq!(is_signed(&heard, &old), passed == 0);
    }
}

async fn what_fails_arrives_later_as_the_same_event(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.node(Duration::from_secs(2)).await;
    let (webhook, secret) = bench.webhook(&receiver.url()).await;
    bench.comes("a.test").await;
    for (manner, why) in [
        (Manner::Answer(500, ""), "status 500"),
        (Manner::Answer(404, ""), "status 404"),
        (Manner::Leave, "not HTTP"),
        (Manner::Stall, "no answer"),
    ] {
        receiver.becomes(manner.clone());
        assert_eq!(node.round().await.unwrap(), 1, "{manner:?}");
        let made = bench.last(&webhook).await;
        let error = made.error.unwrap();
        assert!(error.contains(why), "{manner:?}: {error}");
        assert_eq!(made.state, DeliveryState::Pending);
        assert_eq!(node.round().await.unwrap(), 0, "not before its time");
        bench.later(3600);
    }
    receiver.becomes(Manner::Answer(202, ""));
    assert_eq!(node.round().await.unwrap(), 1);
    let made = bench.last(&webhook).await;
    assert_eq!(made.state, DeliveryState::Delivered);
    assert_eq!((made.attempts, made.error), (5, None));
    let heard = receiver.heard();
    assert_eq!(heard.len(), 5);
    let same = |it: &Heard| (it.field("webhook-id").to_owned(), it.body.clone());
    let different: BTreeSet<_> = heard.iter().map(same).collect();
    assert_eq!(different.len(), 1, "{different:?}");
    let times = heard.iter().map(|it| it.field("webhook-timestamp"));
    let times: BTreeSet<_> = times.collect();
    assert_eq!(times.len(), 5, "each attempt is signed with its own time");
    assert!(heard.iter().all(|it| is_signed(it, &secret)));
}

async fn a_receiver_is_not_followed_elsewhere(store: Option<&str>) {
    let bench = Bench::with(store).await;
    let (receiver, elsewhere) = (Receiver::start(), Receiver::start());
    let node = bench.patient_node().await;
    let (webhook, _) = bench.webhook(&receiver.url()).await;
    receiver.becomes(Manner::Redirect(elsewhere.url()));
    bench.comes("a.test").await;
    node.round().await.unwrap();
    let made = bench.last(&webhook).await;
    assert_eq!(
        (made.state, made.status),
        (DeliveryState::Pending, Some(307))
    );
    assert_eq!(elsewhere.connections(), 0);
}

async fn no_private_address_is_sent_to_unless_allowed(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.patient_node().await;
    let port = receiver.port();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        // A name tells nothing; where it leads does.
        format!("https://localhost:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
    ] {
        let (webhook, _) = bench.webhook_at(&url, false).await;
        let ping = bench.store.ping_webhook(webhook.id, LEASE).await.unwrap();
        node.courier.carry(&ping).await.unwrap();
        let error = bench.last(&webhook).await.error.unwrap();
        assert!(error.contains("nobody's on the internet"), "{url}: {error}");
    }
    assert_eq!(receiver.connections(), 0);
}

async fn retry_after_and_gone_are_obeyed(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.patient_node().await;
    let (webhook, _) = bench.webhook(&receiver.url()).await;
    receiver.becomes(Manner::Answer(503, "Retry-After: 900\r\n"));
    bench.comes("a.test").await;
    assert_eq!(node.round().await.unwrap(), 1);
    bench.comes("b.test").await;
    bench.later(600);
    assert_eq!(node.round().await.unwrap(), 0);
    bench.later(300);
    receiver.becomes(Manner::Answer(410, ""));
    assert_eq!(node.round().await.unwrap(), 1);
    let paused = bench.store.webhook(webhook.id).await.unwrap();
    assert!(paused.paused_at.is_some());
    bench.later(7 * 86_400);
    assert_eq!(node.round().await.unwrap(), 0);
    assert_eq!(receiver.heard().len(), 2);
}

async fn two_nodes_deliver_each_event_once(store: Option<&str>) {
    const NAMES: usize = 40;
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let nodes = [bench.patient_node().await, bench.patient_node().await];
    let (webhook, _) = bench.webhook(&receiver.url()).await;
    for number in 0..NAMES {
        bench.comes(&format!("n{number}.test")).await;
    }
    while bench.store.pending_deliveries().await.unwrap() > 0 {
        let (one, other) = tokio::join!(nodes[0].round(), nodes[1].round());
        one.unwrap();
        other.unwrap();
    }
    let told = receiver.told();
    let different: BTreeSet<_> = told.iter().collect();
    assert_eq!((told.len(), different.len()), (NAMES, NAMES), "{told:?}");
    let webhook = bench.store.webhook(webhook.id).await.unwrap();
    assert_eq!(webhook.failing_since, None);
}

async fn what_a_dead_node_had_taken_another_delivers(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let (dead, node) = (bench.patient_node().await, bench.patient_node().await);
    bench.webhook(&receiver.url()).await;
    bench.comes("a.test").await;
    let taken = dead.courier.store.due_deliveries(9, LEASE).await.unwrap();
    assert_eq!(taken.len(), 1);
    drop(dead);
    assert_eq!(node.round().await.unwrap(), 0, "it may be alive");
    bench.later(61);
    assert_eq!(node.round().await.unwrap(), 1);
    assert_eq!(receiver.told(), ["domain.active a.test"]);
}

async fn names_of_one_receiver_keep_their_order(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.patient_node().await;
    bench.webhook(&receiver.url()).await;
    receiver.becomes(Manner::Answer(500, ""));
    bench.comes("a.test").await;
    bench.goes("a.test").await;
    bench.comes("a.test").await;
    node.round().await.unwrap();
    receiver.becomes(Manner::Answer(200, ""));
    bench.later(5);
    for _ in 0..3 {
        assert_eq!(node.round().await.unwrap(), 1);
    }
    assert_eq!(
        receiver.told(),
        [
            "domain.active a.test",
            "domain.active a.test",
            "domain.removed a.test",
            "domain.active a.test"
        ],
        "the first of them in vain"
    );
}

async fn a_receiver_that_stalls_delays_no_other(store: Option<&str>) {
    let bench = Bench::with(store).await;
    let (stalled, well) = (Receiver::start(), Receiver::start());
    // So long that a test which waited for it would fail.
    let node = bench.node(Duration::from_secs(3600)).await;
    bench.webhook(&stalled.url()).await;
    bench.webhook(&well.url()).await;
    stalled.becomes(Manner::Stall);
    let (_shutdown, stopping) = Shutdown::new();
    let running = tokio::spawn(node.run(stopping));
    for number in 0..30 {
        bench.comes(&format!("n{number}.test")).await;
    }
    until(|| (well.heard().len() == 30 && stalled.heard().len() >= 8).then_some(())).await;
    assert_eq!(stalled.heard().len(), 8, "under way, and no more");
    running.abort();
}

async fn an_answer_without_end_is_an_answer(store: Option<&str>) {
    let (bench, receiver) = (Bench::with(store).await, Receiver::start());
    let node = bench.patient_node().await;
    let (webhook, _) = bench.webhook(&receiver.url()).await;
    receiver.becomes(Manner::Endless);
    bench.comes("a.test").await;
    node.round().await.unwrap();
    assert_eq!(bench.last(&webhook).await.state, DeliveryState::Delivered);
}

async fn over_tls_only_a_trusted_receiver_hears_anything(store: Option<&str>) {
    let (bench, identity) = (Bench::with(store).await, TestIdentity::of(&["localhost"]));
    let receiver = Receiver::start_tls(&identity.server);
    let (webhook, secret) = bench.webhook(&receiver.url()).await;
    bench.comes("a.test").await;
    bench.patient_node().await.round().await.unwrap();
    let error = bench.last(&webhook).await.error.unwrap();
    assert!(error.contains("no TLS with localhost"), "{error}");
    assert!(receiver.heard().is_empty());

    bench.later(5);
    let node = bench.node_trusting(LIMIT, Some(identity.ca_file())).await;
    node.round().await.unwrap();
    let heard = receiver.heard();
    assert_eq!(receiver.told(), ["domain.active a.test"]);
    assert!(is_signed(&heard[0], &secret));
    let host = format!("localhost:{}", receiver.port());
    assert_eq!(heard[0].field("host"), host);
}
