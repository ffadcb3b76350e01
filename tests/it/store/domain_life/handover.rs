//! What happens to a name's grace, its certificate and its demands when its tenant or its trouble changes.

use vestibule::config::TlsVersion;
use vestibule::model::DomainState::{Active, Degraded, Lapsed, Verified};
use vestibule::model::certificate::CertificateSource;
use vestibule::model::domain_life::{Reason, Seen};
use vestibule::store::{CertificateStore, Handover, NameTls, NameTlsPatch, NewCertificate, Store};

use super::super::certificates::{import, started, valid};
use super::super::{Place, add, by, create, leads, pattern};
use super::{GONE, HOUR, NAME, PROVED, claim, look, looked, settings, state};

on_both_engines!(
    a_name_that_loses_control_while_its_certificate_is_late_has_the_whole_grace,
    a_name_that_moves_by_proof_goes_out_of_service_only_with_a_certificate_that_was_brought,
    what_one_tenant_demanded_does_not_follow_the_name_to_another,
    an_operator_who_moves_a_name_within_a_customer_keeps_its_tls,
    a_name_that_is_claimed_anew_demands_nothing,
);

async fn a_name_that_loses_control_while_its_certificate_is_late_has_the_whole_grace(place: Place) {
    let (store, sealer) = started(&place).await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    let end = place.clock.now().0 + 90 * 24 * HOUR;
    import(
        &store,
        &sealer,
        &[valid("it", &[NAME], end - 90 * 24 * HOUR, end)],
    )
    .await;
    look(&store, "acme", PROVED, Seen::No, true).await;
    assert_eq!(state(&store, "acme").await, Active);
    place.clock.shift(84 * 24 * HOUR);
    let late = look(&store, "acme", PROVED, Seen::No, true).await.unwrap();
    assert_eq!(late.domain.reason, Reason::CertificateExpiring.as_str());
    place.clock.shift(4 * 24 * HOUR);
    let lost = look(&store, "acme", GONE, Seen::No, true).await.unwrap();
    assert_eq!(lost.domain.state, Degraded, "its grace begins only now");
    assert_eq!(lost.domain.reason, Reason::ControlGone.as_str());
    assert!(lost.domain.since > late.domain.since);
    let audit = store.audit(None, 1).await.unwrap();
    assert_eq!(audit[0].action, "domain.degraded");
    assert_eq!(
        audit[0].detail,
        "acme, still degraded: the name no longer leads here and its proof is gone"
    );
    place.clock.shift(3 * 24 * HOUR - 60_000);
    look(&store, "acme", GONE, Seen::No, true).await;
    assert_eq!(state(&store, "acme").await, Degraded);
    place.clock.shift(60_000);
    look(&store, "acme", GONE, Seen::No, true).await;
    assert_eq!(state(&store, "acme").await, Lapsed);
}

async fn a_name_that_moves_by_proof_goes_out_of_service_only_with_a_certificate_that_was_brought(
    place: Place,
) {
    let (store, sealer) = started(&place).await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
        claim(&store, tenant).await;
    }
    let end = place.clock.now().0 + 90 * 24 * HOUR;
    let brought = || valid("brought", &[NAME], 0, end);
    let ordered = NewCertificate {
        source: CertificateSource::Acme,
        ..brought()
    };
    import(&store, &sealer, &[brought()]).await;
    look(&store, "acme", PROVED, Seen::No, true).await;
    assert_eq!(state(&store, "acme").await, Active);
    look(&store, "globex", PROVED, Seen::No, true).await;
    assert_eq!(state(&store, "globex").await, Verified);
    // One that was ordered is nobody's, and the name is served at any moment.
    import(&store, &sealer, &[ordered]).await;
    store.activate_certified(1).await.unwrap();
    claim(&store, "acme").await;
    look(&store, "acme", PROVED, Seen::No, true).await;
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
}

fn demand(client_ca: &str) -> NameTlsPatch {
    NameTlsPatch {
        minimum: Some(Some(TlsVersion::Tls13)),
        client_ca: Some(Some(client_ca.to_owned())),
    }
}

async fn demands(store: &Store) -> Vec<NameTls> {
    let all = store.name_tls().await.unwrap();
    all.into_iter().map(|(_, tls)| tls).collect()
}

async fn set(store: &Store, tenant: &str, client_ca: &str) {
    let name = pattern(NAME);
    let tenant = by(tenant);
    let set = store.set_domain_tls(&name, Some(&tenant), demand(client_ca));
    set.await.unwrap();
}

async fn what_one_tenant_demanded_does_not_follow_the_name_to_another(place: Place) {
    let store = place.open().await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
    }
    add(&store, "acme", NAME).await;
    set(&store, "acme", "of acme").await;
    assert_eq!(demands(&store).await.len(), 1);
    store
        .move_domain(&pattern(NAME), &by("globex"))
        .await
        .unwrap();
    assert_eq!(demands(&store).await, []);
    // What the new tenant's own claim demands, while it waits, goes on.
    claim(&store, "acme").await;
    set(&store, "acme", "of acme again").await;
    store
        .move_domain(&pattern(NAME), &by("acme"))
        .await
        .unwrap();
    let own = demands(&store).await[0].client_ca.clone();
    assert_eq!(own.as_deref(), Some("of acme again"));
    // By proof it is the same.
    store.remove_domain(&pattern(NAME), None).await.unwrap();
    claim(&store, "acme").await;
    look(&store, "acme", PROVED, Seen::No, false).await;
    set(&store, "acme", "of acme").await;
    claim(&store, "globex").await;
    look(&store, "globex", PROVED, Seen::No, false).await;
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("globex"));
    assert_eq!(demands(&store).await, []);
}

async fn an_operator_who_moves_a_name_within_a_customer_keeps_its_tls(place: Place) {
    let (store, sealer) = started(&place).await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
    }
    let end = place.clock.now().0 + 90 * 24 * HOUR;
    claim(&store, "acme").await;
    import(&store, &sealer, &[valid("it", &[NAME], 0, end)]).await;
    look(&store, "acme", PROVED, Seen::No, true).await;
    set(&store, "acme", "of acme").await;
    let before = demands(&store).await;
    claim(&store, "globex").await;
    let due = store.domain_to_look_at(&pattern(NAME)).await.unwrap();
    let due = due
        .into_iter()
        .find(|due| due.claim.tenant_slug.as_str() == "globex")
        .unwrap();
    let mut seen = looked(&due.claim, PROVED, due.holder.as_ref(), Seen::No);
    seen.holder.as_mut().unwrap().handover = Handover::Tls;
    store.domain_looked(&seen, &settings(true)).await.unwrap();
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("globex"));
    assert_eq!(demands(&store).await, before);
    let told = store.audit(None, 10).await.unwrap();
    assert!(told.iter().any(|it| it.detail == "as for acme, for globex"));
    // On an operator's word alone, too.
    store.remove_domain(&pattern(NAME), None).await.unwrap();
    add(&store, "acme", NAME).await;
    set(&store, "acme", "of acme").await;
    let (name, to) = (pattern(NAME), by("globex"));
    let moved = store.move_domain_with(&name, &to, Handover::Tls).await;
    assert_eq!(moved.unwrap().state, Active);
    assert_eq!(demands(&store).await, before);
}

async fn a_name_that_is_claimed_anew_demands_nothing(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    add(&store, "acme", NAME).await;
    set(&store, "acme", "of old").await;
    store.remove_domain(&pattern(NAME), None).await.unwrap();
    add(&store, "acme", NAME).await;
    assert_eq!(demands(&store).await, []);
    let claims = store.domain_tls(&pattern(NAME)).await.unwrap();
    assert_eq!(claims[0].tls, NameTls::default());
}
