//! Keys that come and go while requests flow.

use serde_json::Value;
use vestibule::model::KeyState;
use vestibule::seal::Sealer;
use vestibule::sign::keys::{self, KeyError, Mode};
use vestibule::store::StoreError;

use super::Bench;
use crate::harness::eventually;

/// How long a verifier may keep the key set.
const MAX_AGE: i64 = 300_000;

/// An application server that fetches the keys when those it has are too old, and refuses what it does not know.
struct Verifier {
    jwks: Value,
    fetched: i64,
}

impl Verifier {
    async fn new(bench: &Bench) -> Self {
        Self {
            jwks: bench.jwks().await,
            fetched: bench.edge.clock.now().0,
        }
    }

    /// Whether one more request's assertion verifies; and the key that it was signed with.
    async fn takes(&mut self, bench: &Bench) -> Result<String, String> {
        if bench.edge.clock.now().0 - self.fetched >= MAX_AGE {
            *self = Self::new(bench).await;
        }
        let assertion = bench.ask("acme.localhost").await;
        let kid = assertion.kid().to_owned();
        if assertion.is_signed_by_one_of(&self.jwks) {
            Ok(kid)
        } else {
            Err(kid)
        }
    }
}

/// What `change` does to the keys in the store, as the command line does it.
async fn change(
    bench: &Bench,
    change: impl Fn(
        &mut Vec<vestibule::model::SigningKeyRecord>,
        &Sealer,
    ) -> Result<Vec<String>, KeyError>,
) {
    let sealer = Sealer::open(&bench.edge.config.store.secret_key_file)
        .unwrap()
        .unwrap();
    let plan = |all: &mut Vec<_>| change(all, &sealer).map_err(Failed::Key);
    bench
        .edge
        .store
        .update_signing_keys("test", plan)
        .await
        .unwrap();
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown where a test fails")]
enum Failed {
    Key(KeyError),
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn rotate(bench: &Bench, mode: Mode) {
    let (now, lifetime) = (bench.edge.clock.now(), bench.edge.config.signing.lifetime);
    let plan = |all: &mut Vec<_>, sealer: &Sealer| {
        keys::rotate(all, mode, now, lifetime, |at| keys::generate(sealer, at))
    };
    change(bench, plan).await;
}

async fn retire(bench: &Bench, kid: &str) {
    let (now, lifetime) = (bench.edge.clock.now(), bench.edge.config.signing.lifetime);
    change(bench, |all, _| keys::retire(all, kid, now, lifetime)).await;
}

fn kids(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| key["kid"].as_str().unwrap().to_owned())
        .collect()
}

/// Waits until the edge shows as many keys.
async fn shown(bench: &Bench, count: usize) -> Value {
    eventually("so many keys", async || {
        let jwks = bench.jwks().await;
        (kids(&jwks).len() == count).then_some(jwks)
    })
    .await
}

#[tokio::test]
async fn d9_a_scheduled_rotation_loses_no_request_of_a_verifier_that_caches() {
    let bench = Bench::start(|plan| plan).await;
    // Verifiers fetched the set at different times before the rotation.
    let mut verifiers = Vec::new();
    for _ in 0..3 {
        verifiers.push(Verifier::new(&bench).await);
        bench.edge.clock.shift(100_000);
    }
    let first = bench.ask("acme.localhost").await.kid().to_owned();
    rotate(&bench, Mode::Scheduled).await;
    shown(&bench, 2).await;
    let mut signed_by = vec![first];
    for step in 0..180 {
        for verifier in &mut verifiers {
            let kid = verifier.takes(&bench).await;
            let kid =
                kid.unwrap_or_else(|kid| panic!("step {step}: {kid} is not known yet or any more"));
            if signed_by.last() != Some(&kid) {
                signed_by.push(kid);
            }
        }
        bench.edge.clock.shift(10_000);
    }
    assert_eq!(
        signed_by.len(),
        2,
        "one key took over from the other: {signed_by:?}"
    );
    // Half an hour on the old one is gone.
    assert_eq!(kids(&shown(&bench, 1).await), [signed_by[1].clone()]);
}

#[tokio::test]
async fn d9_a_rotation_at_once_costs_a_verifier_one_look_at_the_keys() {
    let bench = Bench::start(|plan| plan).await;
    let mut verifier = Verifier::new(&bench).await;
    let old = verifier.takes(&bench).await.unwrap();
    rotate(&bench, Mode::Now).await;
    shown(&bench, 2).await;
    let new = verifier.takes(&bench).await.unwrap_err();
    assert_ne!(new, old);
    verifier = Verifier::new(&bench).await;
    assert_eq!(verifier.takes(&bench).await, Ok(new.clone()));
    // What was signed with the old one just now is still good: both are shown.
    assert!(kids(&verifier.jwks).contains(&old));
    let records = bench.edge.store.signing_keys().await.unwrap();
    let now = bench.edge.clock.now();
    for record in &records {
        let expected = if record.kid == new {
            KeyState::Active
        } else {
            KeyState::Retiring
        };
        assert_eq!(keys::state(record, &records, now), expected);
    }
}

#[tokio::test]
async fn a_retired_key_neither_signs_nor_is_shown() {
    let bench = Bench::start(|plan| plan).await;
    let old = bench.ask("acme.localhost").await;
    rotate(&bench, Mode::Now).await;
    shown(&bench, 2).await;
    let new = bench.ask("acme.localhost").await;
    // The one that signs is lost to somebody: the one before it takes its place again.
    retire(&bench, new.kid()).await;
    let left = shown(&bench, 1).await;
    assert_eq!(kids(&left), [old.kid()]);
    let again = bench.ask("acme.localhost").await;
    assert_eq!(again.kid(), old.kid());
    assert!(again.is_signed_by_one_of(&left) && !new.is_signed_by_one_of(&left));
}

#[tokio::test]
async fn the_command_line_rotates_and_retires_under_a_running_edge() {
    let bench = Bench::start(|plan| plan).await;
    let old = bench.ask("acme.localhost").await;
    bench.edge.command("key rotate --now").await.succeeds();
    let both = shown(&bench, 2).await;
    let new = bench.ask("acme.localhost").await;
    assert!(new.kid() != old.kid() && new.is_signed_by_one_of(&both));
    let retire = format!("key retire {}", old.kid());
    bench.edge.command(&retire).await.succeeds();
    let left = shown(&bench, 1).await;
    assert!(new.is_signed_by_one_of(&left) && !old.is_signed_by_one_of(&left));
    assert_eq!(bench.ask("acme.localhost").await.kid(), new.kid());
}
