//! Whose a certificate is: what a former tenant brought is of no use to the next one, and what nobody needs goes in the end.

use std::time::Duration;

use vestibule::clock::Timestamp;
use vestibule::model::DomainState::{Active, Verified};
use vestibule::model::certificate::CertificateSource;
use vestibule::model::{DomainPattern, DomainState};
use vestibule::seal::Sealer;
use vestibule::store::{
    CertificateChange, CertificateStore, Changed, Claim, NewCertificate, Store, StoreError,
};

use super::certificates::{import, started, valid};
use super::{Place, add, by, changes, create, pattern};

on_both_engines!(
    what_a_former_tenant_brought_is_nothing_to_the_next_ones_claim,
    what_was_ordered_serves_whoever_has_the_name,
    what_is_brought_beforehand_is_the_first_ones_who_has_the_name,
    a_removed_tenants_certificates_are_a_former_tenants,
    a_wildcard_of_one_tenant_counts_for_no_other_below_it,
    a_certificate_of_a_name_that_nobody_has_is_forgotten_after_a_grace,
    a_certificate_that_has_expired_unneeded_is_forgotten_at_once,
    what_the_operator_or_a_name_below_needs_is_spared,
    what_nobody_needs_does_not_count,
);

const NAME: &str = "app.acmecorp.com";
const DAY: i64 = 86_400_000;
const GRACE: Duration = Duration::from_secs(30 * 86_400);

/// Two tenants, and what seals.
async fn two(place: &Place) -> (Store, Sealer) {
    let (store, sealer) = started(place).await;
    for tenant in ["acme", "globex"] {
        create(&store, tenant).await;
    }
    (store, sealer)
}

fn brought(place: &Place, name: &str) -> NewCertificate {
    let now = place.clock.now().0;
    valid("brought", &[name], now - DAY, now + 89 * DAY)
}

fn ordered(place: &Place, name: &str) -> NewCertificate {
    NewCertificate {
        source: CertificateSource::Acme,
        fingerprint: "ordered".to_owned(),
        ..brought(place, name)
    }
}

/// `tenant` has the name from now on, by its proof.
async fn proved(store: &Store, tenant: &str, name: &str) {
    let claim = Claim {
        state: Verified,
        trusted: false,
    };
    let name = pattern(name);
    store.add_domain(&by(tenant), &name, claim).await.unwrap();
}

async fn leaves(store: &Store, name: &str) {
    store.remove_domain(&pattern(name), None).await.unwrap();
}

/// The state of who has the name, after those have gone into service whose certificate is in place.
async fn state(store: &Store, name: &str) -> DomainState {
    store.activate_certified(10).await.unwrap();
    store.domain(&pattern(name)).await.unwrap()[0].state
}

/// Whether a certificate is ordered for the name.
async fn is_wanted(store: &Store, name: &str) -> bool {
    store.sweep_domains(None, 10).await.unwrap();
    store.order(&pattern(name)).await.unwrap().is_some()
}

async fn what_a_former_tenant_brought_is_nothing_to_the_next_ones_claim(place: Place) {
    let (store, sealer) = two(&place).await;
    proved(&store, "acme", NAME).await;
    import(&store, &sealer, &[brought(&place, NAME)]).await;
    assert_eq!(state(&store, NAME).await, Active, "it is acme's own");
    assert!(!is_wanted(&store, NAME).await);
    leaves(&store, NAME).await;
    proved(&store, "globex", NAME).await;
    assert_eq!(state(&store, NAME).await, Verified);
    assert!(is_wanted(&store, NAME).await);
    let kept = store.certificate(&pattern(NAME)).await.unwrap();
    let acme = store.tenant(&by("acme")).await.unwrap().id;
    assert_eq!(kept.about.former_tenant, Some(acme));
    // Brought anew, it is globex's.
    import(&store, &sealer, &[brought(&place, NAME)]).await;
    assert_eq!(state(&store, NAME).await, Active);
    assert!(!is_wanted(&store, NAME).await);
    leaves(&store, NAME).await;
    // And whoever comes back has what was his.
    proved(&store, "globex", NAME).await;
    assert_eq!(state(&store, NAME).await, Active);
}

async fn what_was_ordered_serves_whoever_has_the_name(place: Place) {
    let (store, sealer) = two(&place).await;
    proved(&store, "acme", NAME).await;
    import(&store, &sealer, &[ordered(&place, NAME)]).await;
    assert_eq!(state(&store, NAME).await, Active);
    leaves(&store, NAME).await;
    proved(&store, "globex", NAME).await;
    assert_eq!(state(&store, NAME).await, Active, "nobody has its key");
    let kept = store.certificate(&pattern(NAME)).await.unwrap();
    assert_eq!(kept.about.former_tenant, None);
}

async fn what_is_brought_beforehand_is_the_first_ones_who_has_the_name(place: Place) {
    let (store, sealer) = two(&place).await;
    import(&store, &sealer, &[brought(&place, NAME)]).await;
    proved(&store, "acme", NAME).await;
    assert_eq!(state(&store, NAME).await, Active);
    leaves(&store, NAME).await;
    proved(&store, "globex", NAME).await;
    assert_eq!(state(&store, NAME).await, Verified);
}

async fn a_removed_tenants_certificates_are_a_former_tenants(place: Place) {
    let (store, sealer) = two(&place).await;
    proved(&store, "acme", NAME).await;
    import(&store, &sealer, &[brought(&place, NAME)]).await;
    assert_eq!(state(&store, NAME).await, Active);
    store.remove_tenant(&by("acme")).await.unwrap();
    proved(&store, "globex", NAME).await;
    assert_eq!(state(&store, NAME).await, Verified);
    assert!(is_wanted(&store, NAME).await);
}

async fn a_wildcard_of_one_tenant_counts_for_no_other_below_it(place: Place) {
    let (store, sealer) = two(&place).await;
    let (wild, other) = ("*.acmecorp.com", "shop.acmecorp.com");
    import(&store, &sealer, &[brought(&place, wild)]).await;
    // As long as nobody has the wildcard it is the operator's, for all.
    proved(&store, "globex", NAME).await;
    assert_eq!(state(&store, NAME).await, Active);
    proved(&store, "acme", wild).await;
    proved(&store, "globex", other).await;
    assert_eq!(state(&store, other).await, Verified);
    assert!(is_wanted(&store, other).await);
    leaves(&store, other).await;
    proved(&store, "acme", other).await;
    assert_eq!(state(&store, other).await, Active);
}

/// Nothing is the operator's own here.
async fn sweep(store: &Store) -> Vec<DomainPattern> {
    let swept = store.sweep_certificates((None, 10), &|_| false, GRACE);
    swept.await.unwrap().forgotten
}

async fn a_certificate_of_a_name_that_nobody_has_is_forgotten_after_a_grace(place: Place) {
    let (store, sealer) = two(&place).await;
    proved(&store, "acme", NAME).await;
    let long = NewCertificate {
        not_after: place.clock.now().0 + 200 * DAY,
        ..ordered(&place, NAME)
    };
    import(&store, &sealer, &[long]).await;
    assert_eq!(state(&store, NAME).await, Active);
    let grace = 30 * DAY;
    for _ in 0..2 {
        leaves(&store, NAME).await;
        place.clock.shift(grace - 60_000);
        assert!(sweep(&store).await.is_empty());
        // A name that comes back has its certificate, and the grace begins anew with the next farewell.
        proved(&store, "acme", NAME).await;
        assert_eq!(state(&store, NAME).await, Active);
        assert!(sweep(&store).await.is_empty());
    }
    leaves(&store, NAME).await;
    let start = store.cursor().await.unwrap();
    place.clock.shift(25 * DAY);
    assert!(sweep(&store).await.is_empty());
    place.clock.shift(5 * DAY);
    assert_eq!(sweep(&store).await, [pattern(NAME)]);
    let gone = store.certificate(&pattern(NAME)).await;
    assert!(matches!(gone, Err(StoreError::UnknownCertificate(_))));
    let gone = CertificateChange {
        pattern: pattern(NAME),
        present: false,
    };
    assert_eq!(
        changes(&store, start).await,
        [Changed::Certificates(vec![gone])]
    );
    let audit = store.audit(None, 1).await.unwrap();
    assert_eq!(
        (audit[0].action.as_str(), audit[0].subject.as_str()),
        ("cert.forget", NAME)
    );
    assert!(sweep(&store).await.is_empty());
}

async fn a_certificate_that_has_expired_unneeded_is_forgotten_at_once(place: Place) {
    let (store, sealer) = two(&place).await;
    let now = place.clock.now().0;
    let short = NewCertificate {
        not_after: now + DAY,
        ..ordered(&place, NAME)
    };
    import(&store, &sealer, &[short, brought(&place, "b.test")]).await;
    assert!(sweep(&store).await.is_empty());
    place.clock.shift(DAY);
    assert_eq!(sweep(&store).await, [pattern(NAME)]);
    place.clock.shift(200 * DAY);
    assert!(
        sweep(&store).await.is_empty(),
        "what somebody brought somebody takes away"
    );
}

async fn what_the_operator_or_a_name_below_needs_is_spared(place: Place) {
    let (store, sealer) = two(&place).await;
    let (base, wild) = ("*.example.com", "*.acmecorp.com");
    let list = [ordered(&place, base), ordered(&place, wild)];
    import(&store, &sealer, &list).await;
    add(&store, "acme", NAME).await;
    let own = pattern(base);
    let sweep = async || {
        let page = (None, 10);
        let spared = |name: &DomainPattern| *name == own;
        let swept = store.sweep_certificates(page, &spared, GRACE).await;
        swept.unwrap().forgotten
    };
    for _ in 0..3 {
        assert!(sweep().await.is_empty());
        place.clock.shift(31 * DAY);
    }
    // Once the name has its own nobody needs that of the wildcard.
    import(&store, &sealer, &[ordered(&place, NAME)]).await;
    assert_eq!(sweep().await, [], "it has come to nobody's need only now");
    place.clock.shift(31 * DAY);
    assert_eq!(sweep().await, [pattern(wild)]);
    assert!(store.certificate(&own).await.is_ok());
}

async fn what_nobody_needs_does_not_count(place: Place) {
    let (store, sealer) = two(&place).await;
    let now = place.clock.now();
    let of_six_days = NewCertificate {
        not_before: now.0,
        not_after: now.0 + 6 * DAY,
        ..ordered(&place, "short.test")
    };
    let long = ordered(&place, "b.test");
    let end = long.not_after;
    let list = [brought(&place, NAME), long, of_six_days];
    let late = now.0 + 5 * DAY;
    import(&store, &sealer, &list).await;
    for name in [NAME, "b.test", "short.test"] {
        add(&store, "acme", name).await;
    }
    let summary = async |at: Timestamp| store.certificate_summary(at).await.unwrap();
    let all = summary(now).await;
    assert_eq!((all.valid, all.outside_validity), (3, 0));
    assert_eq!(all.soonest, Some(now.0 + 6 * DAY));
    assert_eq!(all.late_at, Some(late), "a day before it expires");
    // Expired, it is late all the more.
    let expired = summary(Timestamp(now.0 + 7 * DAY)).await;
    assert_eq!((expired.valid, expired.late_at), (2, Some(late)));
    leaves(&store, "short.test").await;
    leaves(&store, NAME).await;
    let left = summary(now).await;
    assert_eq!((left.valid, left.outside_validity), (1, 0));
    // Ninety days: two weeks before the end, which is a little less than a sixth.
    assert_eq!(left.late_at, Some(end - 14 * DAY));
    // What was brought for nobody counts until it is seen that nobody needs it.
    import(&store, &sealer, &[brought(&place, "nobodys.test")]).await;
    assert_eq!(summary(now).await.valid, 2);
    sweep(&store).await;
    assert_eq!(summary(now).await.valid, 1);
    add(&store, "globex", "nobodys.test").await;
    assert_eq!(summary(now).await.valid, 2);
}
