//! The bounds, and what must not be mixed up.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::{Route, Source};
use crate::sign::tests::{host, route};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(60);

fn reuse(capacity: usize) -> Reuse {
    Reuse::new(LIFETIME, capacity, RandomState::new())
}

fn assertion(text: &str) -> Assertion {
    Assertion {
        value: HeaderValue::from_str(text).unwrap(),
        issued: NOW.0,
        renew_at: NOW.0 + 30_000,
    }
}

fn claims(host: &Hostname) -> Claims<'_> {
    Claims {
        route: None,
        upstream: "default",
        sources: Sources::default(),
        host,
    }
}

fn keep(reuse: &mut Reuse, name: &str, now: Timestamp) {
    let host = host(name);
    let place = reuse.place(&claims(&host));
    reuse.keep(place, &claims(&host), assertion(name), now);
}

fn find(reuse: &mut Reuse, name: &str) -> Option<HeaderValue> {
    let host = host(name);
    let place = reuse.place(&claims(&host));
    let entry = reuse.get(place, &claims(&host), NOW)?;
    Some(entry.value().clone())
}

#[test]
fn it_holds_two_generations_and_keeps_what_is_asked_for() {
    let mut reuse = reuse(10);
    keep(&mut reuse, "loved.test", NOW);
    for number in 0..1000 {
        keep(&mut reuse, &format!("host{number}.test"), NOW);
        assert!(find(&mut reuse, "loved.test").is_some());
        assert!(reuse.young.len() <= 10 && reuse.old.len() <= 10);
    }
    assert!(find(&mut reuse, "host999.test").is_some());
    assert!(find(&mut reuse, "host0.test").is_none());
    reuse.clear();
    assert!(find(&mut reuse, "loved.test").is_none());
}

#[test]
fn what_nobody_asks_for_is_gone_after_two_lifetimes() {
    let mut reuse = reuse(1000);
    for number in 0..100 {
        keep(&mut reuse, &format!("host{number}.test"), NOW);
    }
    for turn in 1..=3 {
        keep(&mut reuse, "other.test", NOW.plus(LIFETIME * turn));
    }
    assert!(reuse.young.len() + reuse.old.len() <= 2);
    // A clock set back far does not stop that.
    keep(&mut reuse, "past.test", Timestamp(0));
    assert_eq!(reuse.turned_at, Timestamp(0));
}

#[test]
fn equal_hashes_are_not_equal_claims() {
    let mut reuse = reuse(10);
    let (ours, theirs) = (host("ours.test"), host("theirs.test"));
    let route = route(1);
    let place = Place(7);
    reuse.keep(place, &claims(&ours), assertion("ours"), NOW);
    assert!(reuse.get(place, &claims(&theirs), NOW).is_none());
    let named = Claims {
        route: Some(&route),
        ..claims(&ours)
    };
    assert!(reuse.get(place, &named, NOW).is_none());
    let elsewhere = Claims {
        upstream: "api",
        ..claims(&ours)
    };
    assert!(reuse.get(place, &elsewhere, NOW).is_none());
    let found = reuse.get(place, &claims(&ours), NOW).unwrap();
    assert_eq!(found.value(), "ours");
}

/// Everything that makes one statement another: tenant (0 is nobody) and version of its row, sources, upstream, host.
type Said = (u128, u64, [bool; 4], bool, bool);

/// Of each part so few that most statements differ in one only.
fn said() -> impl Strategy<Value = Said> {
    (
        0..3_u128,
        1..3_u64,
        any::<[bool; 4]>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(tenant, version, agree, api, other)| {
            // Nobody has no row.
            (
                tenant,
                if tenant == 0 { 0 } else { version },
                agree,
                api,
                other,
            )
        })
}

/// Asks for what says `said` and makes it where there is none, as the signer does; answers whose words were handed out.
fn hand_out(reuse: &mut Reuse, slot: &mut Slot, said: &Said, collide: bool) -> [HeaderValue; 2] {
    let (tenant, version, agree, api, other) = *said;
    let row = Route {
        tenant: TenantId(Uuid::from_u128(tenant)),
        ..route(version)
    };
    let host = host(if other { "other.test" } else { "acme.test" });
    let claims = Claims {
        route: (tenant != 0).then_some(&row),
        upstream: if api { "api" } else { "default" },
        sources: Source::ALL
            .into_iter()
            .zip(agree)
            .filter_map(|(source, names)| names.then_some(source))
            .collect(),
        host: &host,
    };
    let place = if collide {
        Place(7)
    } else {
        reuse.place(&claims)
    };
    let entry = match reuse.get(place, &claims, NOW) {
        Some(entry) => entry,
        None => reuse.keep(place, &claims, assertion(&format!("{said:?}")), NOW),
    };
    if slot.get(1, &claims, NOW).is_none() {
        slot.keep(1, Arc::clone(&entry));
    }
    let kept = slot.get(1, &claims, NOW).unwrap().clone();
    [entry.value().clone(), kept]
}

proptest! {
    #[test]
    fn g6_no_two_statements_share_an_assertion(
        all in prop::collection::vec((said(), any::<bool>()), 1..60)
    ) {
        let (mut reuse, mut slot) = (reuse(10), Slot::default());
        for (said, collide) in &all {
            let wanted = format!("{said:?}");
            for handed in hand_out(&mut reuse, &mut slot, said, *collide) {
                prop_assert_eq!(handed.to_str().unwrap(), &wanted);
            }
        }
    }
}
