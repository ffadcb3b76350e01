//! The promise of the dates, and each plan.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp(1_800_000_000_000);
const LIFETIME: Duration = Duration::from_secs(60);

fn key(kid: &str, now: Timestamp) -> SigningKeyRecord {
    SigningKeyRecord {
        kid: kid.into(),
        public_key: kid.as_bytes().to_vec(),
        sealed_private_key: Vec::new(),
        created_at: now.0,
        active_from: now.0,
        retired_at: None,
    }
}

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn rotated(
    records: &mut Vec<SigningKeyRecord>,
    kid: &str,
    mode: Mode,
    now: Timestamp,
) -> Result<Vec<String>, KeyError> {
    rotate(records, mode, now, LIFETIME, |now| Ok(key(kid, now)))
}

fn retired(
    records: &mut Vec<SigningKeyRecord>,
    kid: &str,
    now: Timestamp,
) -> Result<Vec<String>, KeyError> {
    retire(records, kid, now, LIFETIME)
}

/// The states in the keys' order of making, as in `active next`.
fn states(records: &[SigningKeyRecord], now: Timestamp) -> String {
    let mut records = records.to_vec();
    records.sort_by(|a, b| a.kid.cmp(&b.kid));
    let names: Vec<_> = records
        .iter()
        .map(|key| state(key, &records, now).as_str())
        .collect();
    names.join(" ")
}

#[test]
fn a_scheduled_rotation_passes_through_all_states() {
    let mut keys = vec![key("a", START)];
    let notes = rotated(&mut keys, "b", Mode::Scheduled, START).unwrap();
    assert_eq!(
        notes,
        ["b is published and signs in 630 s, when every verifier can know it"]
    );
    for (seconds, expected) in [
        (0, "active next"),
        (629, "active next"),
        (630, "retiring active"),
        (630 + 60 + 599, "retiring active"),
        (630 + 60 + 600, "retired active"),
    ] {
        assert_eq!(states(&keys, after(seconds)), expected, "after {seconds} s");
    }
    let pending = rotated(&mut keys, "c", Mode::Scheduled, after(30)).unwrap_err();
    assert_eq!(
        pending.to_string(),
        "the signing key b is made already and signs in 600 s"
    );
}

#[test]
fn an_immediate_rotation_says_what_it_breaks() {
    let mut keys = vec![key("a", START)];
    let notes = rotated(&mut keys, "b", Mode::Now, after(1)).unwrap();
    assert!(
        notes[0].starts_with("b signs at once: a verifier that has the keys cached"),
        "{notes:?}"
    );
    assert_eq!(states(&keys, after(1)), "retiring active");

    // A key that waits already is put forward: some verifiers know it.
    let mut keys = vec![key("a", START)];
    rotated(&mut keys, "b", Mode::Scheduled, START).unwrap();
    rotated(&mut keys, "c", Mode::Now, after(400)).unwrap();
    assert_eq!(states(&keys, after(400)), "retiring active");
}

#[test]
fn the_first_key_signs_at_once_and_breaks_nothing() {
    let mut keys = Vec::new();
    let notes = rotated(&mut keys, "a", Mode::Scheduled, START).unwrap();
    assert!(notes.is_empty());
    assert_eq!(states(&keys, START), "active");
}

#[test]
fn the_only_key_cannot_be_retired() {
    let mut keys = vec![key("a", START)];
    let refused = retired(&mut keys, "a", after(1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the signing key a is the only one; rotate first, then retire it"
    );
    assert!(matches!(
        retired(&mut keys, "x", after(1)),
        Err(KeyError::NoSuchKey(_))
    ));
}

#[test]
fn retiring_is_in_force_at_once_and_leaves_a_key_without_an_end() {
    // The active one, with another waiting: that one is put forward, and the plan says what it breaks.
    let mut keys = vec![key("a", START)];
    rotated(&mut keys, "b", Mode::Scheduled, START).unwrap();
    let notes = retired(&mut keys, "a", after(10)).unwrap();
    assert_eq!(states(&keys, after(10)), "retired active");
    assert!(
        notes.iter().any(|note| note.starts_with("b signs at once")),
        "{notes:?}"
    );

    // The waiting one: the rotation is off.
    let mut keys = vec![key("a", START)];
    rotated(&mut keys, "b", Mode::Scheduled, START).unwrap();
    assert!(retired(&mut keys, "b", after(10)).unwrap().is_empty());
    assert_eq!(states(&keys, after(100_000)), "active retired");

    // The active one, with its predecessor still known: that one signs again.
    let mut keys = vec![key("a", START)];
    rotated(&mut keys, "b", Mode::Scheduled, START).unwrap();
    let notes = retired(&mut keys, "b", after(700)).unwrap();
    assert_eq!(notes[0], "a signs again");
    assert_eq!(states(&keys, after(700)), "active retired");
    assert_eq!(states(&keys, after(100_000)), "active retired");

    // The one that goes anyway.
    let mut keys = vec![key("a", START)];
    rotated(&mut keys, "b", Mode::Scheduled, START).unwrap();
    retired(&mut keys, "a", after(700)).unwrap();
    assert_eq!(states(&keys, after(700)), "retired active");
    assert_eq!(
        retired(&mut keys, "a", after(701)).unwrap(),
        ["a was retired before"]
    );
}

#[test]
fn a_clock_set_back_does_not_leave_the_node_without_a_key() {
    let keys = [key("a", after(3600)), key("b", after(7200))];
    assert_eq!(signing(keys.iter(), START).unwrap().kid, "a");
    assert_eq!(states(&keys, START), "active next");
}

/// The names a JWKS fetched at `now` has.
fn published(history: &[(Timestamp, Vec<SigningKeyRecord>)], now: Timestamp) -> Vec<String> {
    let (_, records) = at(history, now);
    let live = records.iter().filter(|key| !key.is_retired(now.0));
    live.map(|key| key.kid.clone()).collect()
}

fn at(
    history: &[(Timestamp, Vec<SigningKeyRecord>)],
    now: Timestamp,
) -> &(Timestamp, Vec<SigningKeyRecord>) {
    history.iter().rfind(|(from, _)| *from <= now).unwrap()
}

proptest! {
    /// Rotations at any moments; assertions signed at any moment, verified at any moment of their life against a JWKS of any
    /// permitted age.
    #[test]
    fn a_verifier_with_a_cached_jwks_never_meets_an_unknown_key(
        gaps in proptest::collection::vec(0_u64..3000, 1..20),
        lifetime in 40_u64..2000,
        samples in proptest::collection::vec((0.0..1.0_f64, 0.0..=1.0_f64, 0_u64..=600), 100),
    ) {
        let life = Duration::from_secs(lifetime);
        let mut now = START;
        let mut history = vec![(now, vec![key("k0", now)])];
        for (number, gap) in gaps.iter().enumerate() {
            now = now.plus(Duration::from_secs(*gap));
            let mut records = at(&history, now).1.clone();
            let make = |now| Ok(key(&format!("k{}", number + 1), now));
            match rotate(&mut records, Mode::Scheduled, now, life, make) {
                Ok(_) => history.push((now, records)),
                Err(refused) => {
                    let pending = matches!(refused, KeyError::Pending { .. });
                    prop_assert!(pending);
                }
            }
        }
        let span = now.since(START).as_secs() + 4000;
        for (when, age, staleness) in samples {
            let signed = after((span as f64 * when) as u64);
            let kid = &signing(at(&history, signed).1.iter(), signed).unwrap().kid;
            let verified = signed.plus(Duration::from_secs((lifetime as f64 * age) as u64));
            let fetched = Timestamp((verified.0 - staleness as i64 * 1000).max(START.0));
            prop_assert!(published(&history, fetched).contains(kid));
        }
    }

    /// Any orders at any moments: there is a key that signs, and one that has no end.
    #[test]
    fn no_plan_leaves_the_node_without_a_key(
        orders in proptest::collection::vec((0_u64..1500, 0_u8..4, any::<prop::sample::Index>()), 1..40),
    ) {
        let mut now = START;
        let mut records = vec![key("k000", now)];
        for (number, (gap, order, choice)) in orders.into_iter().enumerate() {
            now = now.plus(Duration::from_secs(gap));
            let kid = format!("k{:03}", number + 1);
            let gone = records[choice.index(records.len())].kid.clone();
            let done = match order {
                0 => rotated(&mut records, &kid, Mode::Scheduled, now),
                1 => rotated(&mut records, &kid, Mode::Now, now),
                _ => retired(&mut records, &gone, now),
            };
            let left = done.is_ok() && order > 1;
            if left {
                let gone = records.iter().find(|key| key.kid == gone).unwrap();
                prop_assert_eq!(state(gone, &records, now), KeyState::Retired);
            }
            let active = records.iter().filter(|key| state(key, &records, now) == KeyState::Active);
            prop_assert_eq!(active.count(), 1);
            let far = now.plus(Duration::from_secs(1 << 30));
            let last = records.iter().filter(|key| !key.is_retired(far.0)).count();
            prop_assert_eq!(last, 1, "{:?}", records);
        }
    }
}
