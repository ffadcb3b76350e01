//! Random walks through the life of one name that three tenants want.

use proptest::prelude::*;
use vestibule::model::domain_life::Seen;
use vestibule::store::Domain;

use super::super::{Place, by, create, leads, pattern};
use super::{HOUR, NAME, PENDING, looked, settings, sight};

/// One thing that happens to a name which three tenants want.
#[derive(Clone, Copy, Debug)]
enum Event {
    Claim(usize),
    Withdraw(usize),
    Look(usize, Seen, Seen, Seen),
    Hours(i64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let seen = || prop_oneof![Just(Seen::Yes), Just(Seen::No), Just(Seen::Unknown)];
    prop_oneof![
        2 => (0..3_usize).prop_map(Event::Claim),
        1 => (0..3_usize).prop_map(Event::Withdraw),
        6 => (0..3_usize, seen(), seen(), seen()).prop_map(|(who, a, b, c)| Event::Look(who, a, b, c)),
        2 => (1..100_i64).prop_map(Event::Hours),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens, in rows as in the pure rules: one tenant has the name at most, and nobody is routed without a proof that was
    /// seen since the claim began.
    #[test]
    fn no_two_tenants_ever_have_one_name(events in prop::collection::vec(any_event(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(walk(events));
    }
}

async fn walk(events: Vec<Event>) {
    const TENANTS: [&str; 3] = ["one", "two", "three"];
    let place = Place::sqlite();
    let store = place.open().await;
    for tenant in TENANTS {
        create(&store, tenant).await;
    }
    let mut proved = [false; 3];
    for event in events {
        match event {
            Event::Hours(hours) => place.clock.shift(hours * HOUR),
            Event::Claim(who) => {
                let added = store
                    .add_domain(&by(TENANTS[who]), &pattern(NAME), PENDING)
                    .await;
                proved[who] &= added.is_err();
            }
            Event::Withdraw(who) => {
                let _ = store
                    .remove_domain(&pattern(NAME), Some(&by(TENANTS[who])))
                    .await;
            }
            Event::Look(who, proof, pointing, holder) => {
                let due = store
                    .domain_to_look_at(&pattern(NAME))
                    .await
                    .unwrap_or_default();
                let own = due
                    .iter()
                    .find(|due| due.claim.tenant_slug.as_str() == TENANTS[who]);
                let Some(own) = own else { continue };
                let seen = looked(
                    &own.claim,
                    sight(proof, pointing),
                    own.holder.as_ref(),
                    holder,
                );
                store.domain_looked(&seen, &settings(false)).await.unwrap();
                proved[who] |= proof == Seen::Yes;
            }
        }
        let claims = store.domain(&pattern(NAME)).await.unwrap_or_default();
        let holding: Vec<&Domain> = claims.iter().filter(|claim| claim.state.holds()).collect();
        assert!(holding.len() <= 1, "{holding:?}");
        let routed = leads(&store, NAME).await;
        for (who, tenant) in TENANTS.iter().enumerate() {
            assert!(
                routed.as_deref() != Some(*tenant) || proved[who],
                "{tenant} without proof"
            );
        }
    }
    store.close().await;
}
