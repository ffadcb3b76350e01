//! Rows that this version cannot read, as a later one may write them during an upgrade: they cost their own names, and no other.

use std::time::Duration;

use vestibule::model::DomainState::{Active, Verified};
use vestibule::store::{Claim, Hold, OrderClass, Store};

use super::super::certificates::{import, started, valid};
use super::super::{Place, by, create, pattern};
use super::{GONE, HOUR, PENDING, looked, settings};
use vestibule::model::domain_life::Seen;

on_both_engines!(
    a_claim_that_cannot_be_read_stops_no_other,
    an_order_that_cannot_be_read_stops_no_other,
    checks_of_a_later_version_stay_until_somebody_looks,
    an_orders_checks_of_a_later_version_stay_until_somebody_looks,
);

const LEASE: Duration = Duration::from_secs(60);
const LATER: &str = r#"{"at":1,"code":"weather","expected":"sun","ok":false}"#;

async fn claims(store: &Store, claim: Claim) {
    for (tenant, name) in [
        ("acme", "a.test"),
        ("unread", "b.test"),
        ("globex", "c.test"),
    ] {
        create(store, tenant).await;
        let name = pattern(name);
        store.add_domain(&by(tenant), &name, claim).await.unwrap();
    }
}

async fn due(store: &Store) -> Vec<String> {
    let due = store.domains_to_look_at(10, LEASE).await.unwrap();
    due.iter()
        .map(|due| due.claim.pattern.to_string())
        .collect()
}

async fn a_claim_that_cannot_be_read_stops_no_other(place: Place) {
    let (store, sealer) = started(&place).await;
    let verified = Claim {
        state: Verified,
        trusted: false,
    };
    claims(&store, verified).await;
    place
        .tamper("update tenants set slug = 'NO SLUG' where slug = 'unread'")
        .await;
    place.clock.shift(1);
    assert_eq!(due(&store).await, ["a.test", "c.test"]);
    // It does not come up again and again, before those that can be read.
    place.clock.shift(HOUR / 2);
    assert_eq!(store.domains_to_look_at(1, LEASE).await.unwrap().len(), 1);
    let listed = store.domains(None, None, 10).await.unwrap();
    let names: Vec<_> = listed
        .items
        .iter()
        .map(|it| it.pattern.to_string())
        .collect();
    assert_eq!(names, ["a.test", "c.test"]);
    let far = place.clock.now().0 + 90 * 24 * HOUR;
    let list = [valid("all", &["a.test", "b.test", "c.test"], 0, far)];
    import(&store, &sealer, &list).await;
    let active = store.activate_certified(10).await.unwrap();
    assert_eq!(active.len(), 2);
    assert!(active.iter().all(|claim| claim.state == Active));
}

async fn an_order_that_cannot_be_read_stops_no_other(place: Place) {
    let store = place.open().await;
    let verified = Claim {
        state: Verified,
        trusted: false,
    };
    claims(&store, verified).await;
    store.sweep_domains(None, 10).await.unwrap();
    place
        .tamper("update certificate_orders set stage = 'placed', order_url = 'u'")
        .await;
    place
        .tamper("update certificate_orders set pattern = 'b,test' where pattern = 'b.test'")
        .await;
    let leased = store.lease_orders(OrderClass::InFlight, "node", 10);
    let names: Vec<_> = leased
        .await
        .unwrap()
        .into_iter()
        .map(|it| it.pattern)
        .collect();
    assert_eq!(names, [pattern("a.test"), pattern("c.test")]);
}

async fn checks_of_a_later_version_stay_until_somebody_looks(place: Place) {
    let (store, sealer) = started(&place).await;
    create(&store, "acme").await;
    let verified = Claim {
        state: Verified,
        trusted: false,
    };
    let name = pattern("a.test");
    store
        .add_domain(&by("acme"), &name, verified)
        .await
        .unwrap();
    place
        .tamper(r#"update domains set checks = '[{"at":1,"code":"weather","expected":"sun","ok":false}]'"#)
        .await;
    place.clock.shift(1);
    assert_eq!(due(&store).await, ["a.test"]);
    let far = place.clock.now().0 + 90 * 24 * HOUR;
    import(&store, &sealer, &[valid("it", &["a.test"], 0, far)]).await;
    let active = store.activate_certified(10).await.unwrap();
    assert_eq!(active[0].checks.len(), 1, "{:?}", active[0].checks);
    let kept = place.text("select checks as text from domains").await;
    assert!(
        kept.contains(LATER) && kept.contains("a valid certificate"),
        "{kept}"
    );
    let gone = store.remove_domain(&name, None).await.unwrap();
    assert!(gone.checks.to_stored().contains(LATER));
    let claim = store.add_domain(&by("acme"), &name, PENDING).await.unwrap();
    assert_eq!(place.text("select checks as text from domains").await, "[]");
    // A look replaces all that was seen before.
    place.tamper("update domains set checks = 'no list'").await;
    let seen = looked(&claim, GONE, None, Seen::No);
    let looked = store.domain_looked(&seen, &settings(true)).await.unwrap();
    let stored = looked.unwrap().domain.checks.to_stored();
    assert!(!stored.contains("no list"), "{stored}");
}

async fn an_orders_checks_of_a_later_version_stay_until_somebody_looks(place: Place) {
    let store = place.open().await;
    let verified = Claim {
        state: Verified,
        trusted: false,
    };
    claims(&store, verified).await;
    store.sweep_domains(None, 10).await.unwrap();
    place
        .tamper(
            r#"update certificate_orders set stage = 'placed', order_url = 'u', checks = '[{"at":1,"code":"weather","expected":"sun","ok":false}]'"#,
        )
        .await;
    let leased = store.lease_orders(OrderClass::InFlight, "node", 1).await;
    let order = leased.unwrap().remove(0);
    assert!(order.checks.is_empty());
    let saved = store.save_order(&order, "node", Hold::Release, &[]);
    assert!(saved.await.unwrap());
    let kept = place
        .text("select checks as text from certificate_orders where pattern = 'a.test'")
        .await;
    assert_eq!(kept, format!("[{LATER}]"));
}
