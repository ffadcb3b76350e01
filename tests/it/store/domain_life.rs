//! The life of a claim, as looks at it drive it: first come by proof, moves, grace, tombstones, and who is looked at when.

use std::time::Duration;

use vestibule::model::DomainState::{Active, Degraded, Lapsed, Pending, Removed, Verified};
use vestibule::model::domain_life::{Reason, Rules, Seen, Sight};
use vestibule::model::{Check, CheckCode, DomainState};
use vestibule::store::{
    Changed, Claim, Domain, DomainSettings, Handover, HolderSeen, LookedAt, Outcome, Store,
    StoreError,
};

use super::certificates::{import, sealer, valid};
use super::{Place, add, by, changes, create, leads, pattern};

mod handover;
mod turns;
mod unreadable;
mod walks;

on_both_engines!(
    a_name_is_routed_when_its_proof_was_seen_and_its_certificate_is_there,
    without_tls_a_proved_name_is_routed_at_once,
    the_first_to_prove_has_the_name,
    a_name_moves_by_the_new_proof_once_the_old_one_is_gone,
    what_was_seen_of_an_earlier_claim_counts_for_nothing,
    a_name_that_an_operator_gave_away_says_so_and_not_that_its_proof_was_gone,
    a_claim_without_proof_ends_after_its_time,
    a_name_that_leads_elsewhere_is_served_for_its_grace_and_comes_back_with_a_proof,
    a_trusted_name_stays_and_moves_by_the_operator_only,
    a_removed_tenants_names_stop_at_once_whatever_their_state,
    checks_are_kept_as_they_were_seen,
);

const NAME: &str = "app.acmecorp.com";
const HOUR: i64 = 3_600_000;
const PENDING: Claim = Claim {
    state: Pending,
    trusted: false,
};
const PROVED: Sight = sight(Seen::Yes, Seen::No);
const GONE: Sight = sight(Seen::No, Seen::No);

const fn sight(proof: Seen, pointing: Seen) -> Sight {
    Sight { proof, pointing }
}

fn settings(tls: bool) -> DomainSettings {
    let day = Duration::from_secs(86_400);
    DomainSettings {
        rules: Rules {
            give_up: day * 7,
            grace: day * 3,
            recheck: day,
        },
        tls,
    }
}

async fn claim(store: &Store, tenant: &str) -> Domain {
    store
        .add_domain(&by(tenant), &pattern(NAME), PENDING)
        .await
        .unwrap()
}

/// What `tenant`'s claim looks like after `sight`, `holder` being what was seen of whoever else has the name.
async fn look(
    store: &Store,
    tenant: &str,
    sight: Sight,
    holder: Seen,
    tls: bool,
) -> Option<Outcome> {
    let due = store.domain_to_look_at(&pattern(NAME)).await.unwrap();
    let mut due = due.into_iter();
    let due = due
        .find(|due| due.claim.tenant_slug.as_str() == tenant)
        .unwrap();
    let looked = looked(&due.claim, sight, due.holder.as_ref(), holder);
    store.domain_looked(&looked, &settings(tls)).await.unwrap()
}

fn looked(claim: &Domain, sight: Sight, holder: Option<&Domain>, proof: Seen) -> LookedAt {
    LookedAt {
        pattern: claim.pattern.clone(),
        tenant: claim.tenant,
        secret: claim.secret.clone(),
        sight,
        checks: Vec::new(),
        holder: holder.map(|holder| HolderSeen {
            tenant: holder.tenant,
            secret: holder.secret.clone(),
            proof,
            handover: Handover::Nothing,
            given_away: false,
        }),
        own_certificate: false,
        chance: 0.5,
    }
}

/// The state of each tenant's claim.
async fn states(store: &Store) -> Vec<(String, DomainState)> {
    let claims = store.domain(&pattern(NAME)).await.unwrap();
    let mut states: Vec<_> = (claims.into_iter())
        .map(|claim| (claim.tenant_slug.to_string(), claim.state))
        .collect();
    states.sort_by(|one, other| one.0.cmp(&other.0));
    states
}

async fn state(store: &Store, tenant: &str) -> DomainState {
    let states = states(store).await;
    states.iter().find(|(slug, _)| slug == tenant).unwrap().1
}

async fn a_name_is_routed_when_its_proof_was_seen_and_its_certificate_is_there(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    let start = store.cursor().await.unwrap();
    look(&store, "acme", sight(Seen::No, Seen::Yes), Seen::No, true).await;
    assert_eq!(
        state(&store, "acme").await,
        Pending,
        "pointing proves nothing"
    );
    let outcome = look(&store, "acme", PROVED, Seen::No, true).await.unwrap();
    assert_eq!(outcome.domain.state, Verified);
    assert!(store.activate_certified(10).await.unwrap().is_empty());
    assert_eq!(leads(&store, NAME).await, None);
    let told = changes(&store, start).await;
    assert_eq!(told.len(), 1, "nodes order from now on: {told:?}");

    let sealer = sealer(&place, &store).await;
    let far = place.clock.now().0 + 90 * 24 * HOUR;
    import(
        &store,
        &sealer,
        &[valid("wild", &["*.acmecorp.com"], 0, far)],
    )
    .await;
    let active = store.activate_certified(10).await.unwrap();
    assert_eq!(active[0].state, Active);
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
    let told = changes(&store, start).await;
    assert!(
        matches!(told.last(), Some(Changed::Tenant { .. })),
        "{told:?}"
    );
    let audit = store.audit(None, 10).await.unwrap();
    let told = audit
        .iter()
        .find(|entry| entry.action == "domain.active")
        .unwrap();
    assert_eq!(
        told.detail,
        "acme, was verified: the certificate is in place"
    );
}

async fn without_tls_a_proved_name_is_routed_at_once(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    let outcome = look(&store, "acme", PROVED, Seen::No, false).await.unwrap();
    let reasons: Vec<Reason> = outcome.steps.iter().map(|step| step.why).collect();
    assert_eq!(reasons, [Reason::ProofSeen, Reason::TlsElsewhere]);
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
}

async fn the_first_to_prove_has_the_name(place: Place) {
    let store = place.open().await;
    for tenant in ["squatter", "acme"] {
        create(&store, tenant).await;
        claim(&store, tenant).await;
    }
    look(&store, "acme", PROVED, Seen::No, false).await;
    assert_eq!(state(&store, "acme").await, Active);
    for holders in [Seen::Yes, Seen::Unknown] {
        let outcome = look(&store, "squatter", PROVED, holders, false)
            .await
            .unwrap();
        assert_eq!(outcome.domain.state, Pending);
        let held = outcome.domain.checks.last().unwrap();
        assert_eq!((held.code, held.ok), (CheckCode::Holder, false));
    }
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
}

async fn a_name_moves_by_the_new_proof_once_the_old_one_is_gone(place: Place) {
    let store = place.open().await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
        claim(&store, tenant).await;
    }
    look(&store, "acme", PROVED, Seen::No, false).await;
    let start = store.cursor().await.unwrap();
    let outcome = look(&store, "globex", PROVED, Seen::No, false)
        .await
        .unwrap();
    assert_eq!(outcome.domain.state, Active);
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("globex"));
    assert_eq!(
        states(&store).await,
        [("acme".into(), Removed), ("globex".into(), Active)]
    );
    assert_eq!(
        changes(&store, start).await.len(),
        1,
        "one change, no moment between"
    );
    let audit = store.audit(None, 10).await.unwrap();
    let moved = format!("from acme to globex: {}", Reason::Displaced.text());
    assert!(
        audit
            .iter()
            .any(|entry| entry.action == "domain.move" && entry.detail == moved)
    );
    // A holder that was not looked at, because another had the name then, keeps it.
    claim(&store, "acme").await;
    let due = store.domain_to_look_at(&pattern(NAME)).await.unwrap();
    let acme = due
        .into_iter()
        .find(|due| due.claim.tenant_slug.as_str() == "acme")
        .unwrap();
    let unseen = looked(&acme.claim, PROVED, None, Seen::No);
    let outcome = store
        .domain_looked(&unseen, &settings(false))
        .await
        .unwrap();
    assert_eq!(outcome.unwrap().domain.state, Pending);
}

async fn what_was_seen_of_an_earlier_claim_counts_for_nothing(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let first = claim(&store, "acme").await;
    assert_eq!(first.secret.len(), 32);
    store.remove_domain(&pattern(NAME), None).await.unwrap();
    let proved = looked(&first, PROVED, None, Seen::No);
    assert_eq!(
        store
            .domain_looked(&proved, &settings(false))
            .await
            .unwrap(),
        None
    );
    let second = claim(&store, "acme").await;
    assert_ne!(second.secret, first.secret);
    assert_eq!(
        store
            .domain_looked(&proved, &settings(false))
            .await
            .unwrap(),
        None
    );
    assert_eq!(state(&store, "acme").await, Pending);
}

async fn a_name_that_an_operator_gave_away_says_so_and_not_that_its_proof_was_gone(place: Place) {
    let store = place.open().await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
        claim(&store, tenant).await;
    }
    look(&store, "acme", PROVED, Seen::No, false).await;
    let due = store.domain_to_look_at(&pattern(NAME)).await.unwrap();
    let due = due.iter().find(|due| due.holder.is_some()).unwrap();
    let mut seen = looked(&due.claim, PROVED, due.holder.as_ref(), Seen::Yes);
    seen.holder.as_mut().unwrap().given_away = true;
    store.domain_looked(&seen, &settings(false)).await.unwrap();
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("globex"));
    let claims = store.domain(&pattern(NAME)).await.unwrap();
    let old = claims.iter().find(|it| it.state == Removed).unwrap();
    assert_eq!(old.reason, Reason::GivenAway.as_str());
    let audit = store.audit(None, 10).await.unwrap();
    let moved = audit.iter().find(|it| it.action == "domain.move");
    let why = Reason::GivenAway.text();
    let detail = format!("from acme to globex: {why}");
    assert_eq!(moved.unwrap().detail, detail);
}

async fn a_claim_without_proof_ends_after_its_time(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    place.clock.shift(7 * 24 * HOUR - 60_000);
    let outcome = look(&store, "acme", GONE, Seen::No, false).await.unwrap();
    assert_eq!(outcome.domain.state, Pending);
    let end = outcome.domain.since + 7 * 24 * HOUR;
    assert!(
        outcome.domain.next_look_at.unwrap() <= end,
        "the end is not missed"
    );
    place.clock.shift(60_001);
    look(&store, "acme", GONE, Seen::No, false).await;
    assert_eq!(state(&store, "acme").await, Removed);
    assert!(matches!(
        store.domain_to_look_at(&pattern(NAME)).await,
        Err(StoreError::UnknownDomain(_))
    ));
}

async fn a_name_that_leads_elsewhere_is_served_for_its_grace_and_comes_back_with_a_proof(
    place: Place,
) {
    let store = place.open().await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    look(&store, "acme", PROVED, Seen::No, false).await;
    look(&store, "acme", sight(Seen::No, Seen::Yes), Seen::No, false).await;
    assert_eq!(state(&store, "acme").await, Active, "pointing suffices now");
    look(&store, "acme", GONE, Seen::No, false).await;
    assert_eq!(state(&store, "acme").await, Degraded);
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
    place.clock.shift(3 * 24 * HOUR + 1);
    let start = store.cursor().await.unwrap();
    look(&store, "acme", GONE, Seen::No, false).await;
    assert_eq!(state(&store, "acme").await, Lapsed);
    assert_eq!(leads(&store, NAME).await, None);
    assert_eq!(changes(&store, start).await.len(), 1);
    look(&store, "acme", sight(Seen::No, Seen::Yes), Seen::No, false).await;
    assert_eq!(
        state(&store, "acme").await,
        Lapsed,
        "pointing alone brings nothing back"
    );
    look(&store, "acme", PROVED, Seen::No, false).await;
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
}

async fn a_trusted_name_stays_and_moves_by_the_operator_only(place: Place) {
    let store = place.open().await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
    }
    add(&store, "acme", NAME).await;
    claim(&store, "globex").await;
    for _ in 0..3 {
        look(&store, "acme", GONE, Seen::No, true).await;
        place.clock.shift(30 * 24 * HOUR);
    }
    assert_eq!(state(&store, "acme").await, Active);
    look(&store, "globex", PROVED, Seen::No, false).await;
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("acme"));
    store
        .move_domain(&pattern(NAME), &by("globex"))
        .await
        .unwrap();
    assert_eq!(leads(&store, NAME).await.as_deref(), Some("globex"));
    // A name that was proved does not move on anybody's word alone.
    store.remove_domain(&pattern(NAME), None).await.unwrap();
    claim(&store, "acme").await;
    look(&store, "acme", PROVED, Seen::No, false).await;
    assert!(matches!(
        store.move_domain(&pattern(NAME), &by("globex")).await,
        Err(StoreError::MoveNeedsProof { .. })
    ));
}

async fn a_removed_tenants_names_stop_at_once_whatever_their_state(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    claim(&store, "acme").await;
    look(&store, "acme", PROVED, Seen::No, true).await;
    store.remove_tenant(&by("acme")).await.unwrap();
    assert_eq!(state(&store, "acme").await, Removed);
    place.clock.shift(24 * HOUR);
    let due = store
        .domains_to_look_at(10, Duration::from_secs(60))
        .await
        .unwrap();
    assert!(due.is_empty(), "nobody looks at a tombstone");
}

async fn checks_are_kept_as_they_were_seen(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let claim = claim(&store, "acme").await;
    let check = Check {
        code: CheckCode::Proof,
        ok: false,
        expected: "vestibule-verify=…".into(),
        observed: "\"nothing\"".into(),
        hint: Some("set it".into()),
        seen_by: vec!["192.0.2.1".into()],
        at: 7,
    };
    let seen = LookedAt {
        checks: vec![check.clone()],
        ..looked(&claim, GONE, None, Seen::No)
    };
    store.domain_looked(&seen, &settings(true)).await.unwrap();
    let kept = store.domain(&pattern(NAME)).await.unwrap().remove(0);
    assert_eq!(*kept.checks, [check]);
    assert!(kept.checked_at.is_some());
    assert_eq!(kept.looks, 1);
}
