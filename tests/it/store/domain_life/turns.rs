//! Who is looked at when and by whom, and what is forgotten.

use std::time::Duration;

use vestibule::model::DomainState;
use vestibule::model::domain_life::Seen;

use super::super::{Place, by, create, pattern};
use super::{HOUR, NAME, PENDING, PROVED, claim, looked, settings};

on_both_engines!(
    tenants_take_turns_in_being_looked_at,
    a_name_is_looked_at_by_one_node_at_a_time,
    tombstones_are_forgotten,
    a_look_never_brings_back_what_went_with_its_tenant,
);

async fn tenants_take_turns_in_being_looked_at(place: Place) {
    let store = place.open().await;
    for tenant in ["many", "one"] {
        create(&store, tenant).await;
    }
    for number in 0..20 {
        let name = pattern(&format!("n{number}.example.com"));
        store.add_domain(&by("many"), &name, PENDING).await.unwrap();
        place.clock.shift(1);
    }
    let name = pattern("late.example.com");
    store.add_domain(&by("one"), &name, PENDING).await.unwrap();
    place.clock.shift(1);
    let lease = Duration::from_secs(60);
    let first = store.domains_to_look_at(3, lease).await.unwrap();
    let mut names: Vec<String> = first
        .iter()
        .map(|due| due.claim.pattern.to_string())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["late.example.com", "n0.example.com", "n1.example.com"]
    );
}

async fn a_name_is_looked_at_by_one_node_at_a_time(place: Place) {
    let (one, other) = (place.open().await, place.open().await);
    create(&one, "acme").await;
    claim(&one, "acme").await;
    place.clock.shift(1);
    let lease = Duration::from_secs(60);
    assert_eq!(one.domains_to_look_at(10, lease).await.unwrap().len(), 1);
    assert!(
        other
            .domains_to_look_at(10, lease)
            .await
            .unwrap()
            .is_empty()
    );
    // The node that took it is gone: another does it.
    place.clock.shift(60_001);
    assert_eq!(other.domains_to_look_at(10, lease).await.unwrap().len(), 1);
}

async fn tombstones_are_forgotten(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    store.remove_domain(&pattern(NAME), None).await.unwrap();
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(store.forget_removed_domains(month).await.unwrap(), 0);
    place.clock.shift(31 * 24 * HOUR);
    assert_eq!(store.forget_removed_domains(month).await.unwrap(), 1);
    assert!(store.domain(&pattern(NAME)).await.is_err());
}

async fn a_look_never_brings_back_what_went_with_its_tenant(place: Place) {
    let (looking, removing) = (place.open().await, place.open().await);
    for round in 0..20 {
        let (tenant, name) = (format!("t{round}"), format!("n{round}.example.com"));
        create(&looking, &tenant).await;
        let claim = looking
            .add_domain(&by(&tenant), &pattern(&name), PENDING)
            .await
            .unwrap();
        let seen = looked(&claim, PROVED, None, Seen::No);
        let (settings, gone) = (settings(false), by(&tenant));
        let (drawn, removed) = tokio::join!(
            looking.domain_looked(&seen, &settings),
            removing.remove_tenant(&gone)
        );
        drawn.unwrap();
        removed.unwrap();
        let left = looking.domain(&pattern(&name)).await.unwrap();
        assert_eq!(left[0].state, DomainState::Removed, "round {round}");
    }
}
