//! The outbox of webhooks: which events are for whom, who delivers them, what follows from an attempt.

use std::time::Duration;

use serde_json::Value;
use vestibule::model::webhook::{PATIENCE, Reply};
use vestibule::model::{EventKind, Secret, WebhookUrl};
use vestibule::seal::{SealError, Sealer};
use vestibule::store::{
    DeliveryOutcome, DeliveryState, DueDelivery, NewWebhook, Store, StoreError, Webhook,
};

use super::certificates::sealer;
use super::{Place, add, by, create, pattern};

mod attempts;

on_both_engines!(
    an_event_goes_to_the_webhooks_that_it_is_for,
    what_is_sent_says_what_happened_to_whom_and_never_otherwise,
    a_ping_is_tried_once_and_goes_to_nobody_else,
    a_delivery_is_made_again_when_an_operator_says_so,
    old_events_are_forgotten_in_parts,
    a_removed_webhook_takes_what_waited_with_it,
    secrets_are_sealed_for_their_webhook_and_sealed_anew_with_all_others,
    claims_are_counted_by_state,
);

const LEASE: Duration = Duration::from_secs(60);
const DOWN: u16 = 500;

/// A store with a tenant, its sealing key, and time that stands still but for what a test lets pass.
struct Bench {
    place: Place,
    store: Store,
    sealer: Sealer,
}

impl Bench {
    async fn at(place: Place) -> Self {
        let store = place.open().await;
        let sealer = sealer(&place, &store).await;
        create(&store, "acme").await;
        Self {
            place,
            store,
            sealer,
        }
    }

    async fn webhook(&self, events: &[EventKind], tenant: Option<&str>) -> Webhook {
        let new = NewWebhook {
            url: WebhookUrl::parse("https://hooks.example/?key=canary").unwrap(),
            events: events.to_vec(),
            tenant: tenant.map(by),
            allow_private: false,
        };
        let secret = Secret::new(b"a secret of 32 bytes, as it were".to_vec());
        let made = self.store.add_webhook(&new, &secret, &self.sealer).await;
        made.unwrap()
    }

    async fn due(&self) -> Vec<DueDelivery> {
        self.store.due_deliveries(100, LEASE).await.unwrap()
    }

    /// The only one that is due.
    async fn one(&self) -> DueDelivery {
        let mut due = self.due().await;
        assert_eq!(due.len(), 1, "{due:?}");
        due.remove(0)
    }

    async fn tried(&self, due: &DueDelivery, status: u16) -> Option<DeliveryOutcome> {
        let reply = answered(status, None);
        self.store.delivery_tried(due, &reply).await.unwrap()
    }

    fn later(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap();
        self.place.clock.shift(millis);
    }

    async fn told(&self, webhook: &Webhook) -> Vec<String> {
        let list = self.store.deliveries(webhook.id, 100).await.unwrap();
        let told = list.iter().rev();
        told.map(|it| format!("{} {}", it.kind.as_str(), it.subject))
            .collect()
    }

    async fn audited(&self, action: &str) -> usize {
        let audit = self.store.audit(None, 1000).await.unwrap();
        audit.iter().filter(|entry| entry.action == action).count()
    }
}

fn answered(status: u16, retry_after: Option<Duration>) -> Reply {
    Reply::Answered {
        status,
        retry_after,
    }
}

async fn an_event_goes_to_the_webhooks_that_it_is_for(place: Place) {
    let bench = Bench::at(place).await;
    create(&bench.store, "globex").await;
    add(&bench.store, "acme", "early.test").await;
    let all = bench.webhook(&[], None).await;
    let removals = bench.webhook(
        &[EventKind::DomainRemoved, EventKind::CertificateFailed],
        None,
    );
    let removals = removals.await;
    let of_globex = bench.webhook(&[], Some("globex")).await;
    add(&bench.store, "acme", "a.test").await;
    add(&bench.store, "globex", "g.test").await;
    bench
        .store
        .remove_domain(&pattern("a.test"), None)
        .await
        .unwrap();
    bench.store.remove_tenant(&by("globex")).await.unwrap();
    assert_eq!(
        bench.told(&all).await,
        [
            "domain.active a.test",
            "domain.active g.test",
            "domain.removed a.test",
            "domain.removed g.test",
        ],
        "what happened before it was made is not for it"
    );
    assert_eq!(
        bench.told(&removals).await,
        ["domain.removed a.test", "domain.removed g.test"]
    );
    assert_eq!(
        bench.told(&of_globex).await,
        ["domain.active g.test", "domain.removed g.test"]
    );
    assert_eq!(bench.store.pending_deliveries().await.unwrap(), 8);
}

async fn what_is_sent_says_what_happened_to_whom_and_never_otherwise(place: Place) {
    let bench = Bench::at(place).await;
    bench.webhook(&[], None).await;
    bench.webhook(&[], None).await;
    add(&bench.store, "acme", "*.a.test").await;
    let due = bench.due().await;
    let [one, other] = &due[..] else {
        panic!("{due:?}")
    };
    assert_eq!(one.message, other.message, "one event is the same for all");
    assert!(one.message.id.starts_with("evt_"), "{}", one.message.id);
    let body: Value = serde_json::from_str(&one.message.body).unwrap();
    assert_eq!(body["type"], "domain.active");
    let data = &body["data"];
    assert_eq!(data["hostname"], "*.a.test");
    assert_eq!(data["state"], "active");
    assert_eq!(data["reason"], "trusted");
    assert!(data["text"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(data["tenant"]["slug"], "acme");
    let acme = bench.store.tenant(&by("acme")).await.unwrap();
    assert_eq!(data["tenant"]["id"], acme.id.to_string());
    let now = bench.place.clock.now().rfc3339();
    let day = String::from_utf8(now[..11].to_vec()).unwrap();
    assert!(body["timestamp"].as_str().unwrap().starts_with(&day));

    let slug = vestibule::model::Slug::parse("acme-inc").unwrap();
    bench.store.rename_tenant(&by("acme"), &slug).await.unwrap();
    bench.tried(one, DOWN).await;
    bench.later(LEASE);
    let again = bench.due().await;
    let again = again.iter().find(|due| due.id == one.id).unwrap();
    assert_eq!(again.message, one.message, "though the tenant was renamed");
}

async fn a_ping_is_tried_once_and_goes_to_nobody_else(place: Place) {
    let bench = Bench::at(place).await;
    let tried = bench.webhook(&[EventKind::DomainActive], None).await;
    let all = bench.webhook(&[], None).await;
    bench.store.pause_webhook(tried.id).await.unwrap();
    let ping = bench.store.ping_webhook(tried.id, LEASE).await.unwrap();
    let body: Value = serde_json::from_str(&ping.message.body).unwrap();
    assert_eq!(body["type"], "ping");
    assert_eq!(body["data"]["webhook"], tried.id.to_string());
    let outcome = bench.tried(&ping, DOWN).await;
    assert_eq!(outcome, Some(DeliveryOutcome::GivenUp));
    assert!(bench.told(&all).await.is_empty());
    bench.later(PATIENCE);
    assert!(bench.due().await.is_empty());
    assert!(
        bench
            .store
            .webhook(tried.id)
            .await
            .unwrap()
            .failing_since
            .is_none()
    );
}

async fn a_delivery_is_made_again_when_an_operator_says_so(place: Place) {
    let bench = Bench::at(place).await;
    bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let first = bench.one().await;
    let under_way = bench.store.redeliver(first.id).await.unwrap();
    assert_eq!(under_way.state, DeliveryState::Pending);
    assert!(bench.due().await.is_empty(), "it is under way already");
    bench.tried(&first, 200).await;
    bench.store.redeliver(first.id).await.unwrap();
    let again = bench.one().await;
    assert_eq!(again.message, first.message, "receivers can tell");
    let unknown = bench.store.redeliver(first.id + 1000).await;
    assert!(matches!(unknown, Err(StoreError::UnknownDelivery(_))));
    assert_eq!(bench.audited("webhook.redeliver").await, 2);
}

async fn old_events_are_forgotten_in_parts(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    for number in 0..5 {
        add(&bench.store, "acme", &format!("n{number}.test")).await;
    }
    let day = Duration::from_secs(86_400);
    bench.later(day);
    add(&bench.store, "acme", "young.test").await;
    let mut parts = Vec::new();
    while let Some(gone) = Some(bench.store.prune_events(day, 2).await.unwrap()).filter(|n| *n > 0)
    {
        parts.push(gone);
    }
    assert_eq!(parts, [2, 2, 1]);
    assert_eq!(bench.told(&webhook).await, ["domain.active young.test"]);
}

async fn a_removed_webhook_takes_what_waited_with_it(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    add(&bench.store, "acme", "a.test").await;
    let due = bench.one().await;
    let gone = bench.store.remove_webhook(webhook.id).await.unwrap();
    assert_eq!(gone.pending, 1);
    assert_eq!(bench.tried(&due, 200).await, None);
    assert_eq!(bench.store.pending_deliveries().await.unwrap(), 0);
    let again = bench.store.remove_webhook(webhook.id).await;
    assert!(matches!(again, Err(StoreError::UnknownWebhook(id)) if id == webhook.id));
    add(&bench.store, "acme", "b.test").await;
}

async fn secrets_are_sealed_for_their_webhook_and_sealed_anew_with_all_others(place: Place) {
    let bench = Bench::at(place).await;
    let webhook = bench.webhook(&[], None).await;
    let old = bench.sealer.clone();
    let second = Secret::new(vec![2; 32]);
    let overlap = Duration::from_secs(3600);
    let rotated = bench
        .store
        .rotate_webhook(webhook.id, &second, &old, overlap);
    assert!(rotated.await.unwrap().old_secret_until.is_some());
    add(&bench.store, "acme", "a.test").await;
    let target = bench.one().await.target;
    let [new_one, old_one] = &target.sealed_secrets[..] else {
        panic!("both count for an hour")
    };
    assert!(old.unseal(&target.purpose(), new_one).unwrap() == second);
    assert!(matches!(
        old.unseal("webhook secret", old_one),
        Err(SealError::Broken)
    ));

    let new = Sealer::create(&bench.place.folder.path().join("new.key")).unwrap();
    let again = |purpose: &str, sealed: &[u8]| {
        let plain = old.unseal(purpose, sealed)?;
        Ok::<_, StoreError>(new.seal(purpose, plain.expose()))
    };
    let keys = |keys: &[_]| Ok(keys.to_vec());
    assert_eq!(bench.store.reseal(keys, again).await.unwrap(), (1, 1));
    bench.later(LEASE);
    let target = bench.one().await.target;
    let opened = target.sealed_secrets.iter();
    let opened: Vec<_> = opened
        .map(|it| new.unseal(&target.purpose(), it).unwrap())
        .collect();
    assert!(opened[0] == second && opened[1].expose().starts_with(b"a secret"));
    bench.later(overlap);
    assert_eq!(
        bench.one().await.target.sealed_secrets.len(),
        1,
        "the overlap is over"
    );
}

async fn claims_are_counted_by_state(place: Place) {
    let bench = Bench::at(place).await;
    for name in ["a.test", "b.test", "c.test"] {
        add(&bench.store, "acme", name).await;
    }
    bench
        .store
        .remove_domain(&pattern("a.test"), None)
        .await
        .unwrap();
    let mut counted = bench.store.domain_states().await.unwrap();
    counted.sort_by_key(|(state, _)| state.as_str());
    let counted: Vec<_> = counted
        .iter()
        .map(|(state, many)| (state.as_str(), *many))
        .collect();
    assert_eq!(counted, [("active", 2), ("removed", 1)]);
}
