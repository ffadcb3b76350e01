//! What leaves the signer, checked as an application would: with another library.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::model::{
    Hostname, Isolation, Placement, Route, Slug, Source, Sources, TenantId, TenantState,
};

/// A moment to start from; whole seconds, so that expectations are readable.
pub(in crate::sign) const START: Timestamp = Timestamp(1_800_000_000_000);

pub(in crate::sign) fn sealer() -> Sealer {
    let folder = tempfile::tempdir().unwrap();
    Sealer::create(&folder.path().join("secret.key")).unwrap()
}

pub(in crate::sign) fn route(version: u64) -> Route {
    Route {
        tenant: TenantId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
        slug: Slug::parse("acme").unwrap(),
        state: TenantState::Active,
        progress: 0,
        removed_at: None,
        plan: Some("gold".into()),
        upstream: None,
        limits: Default::default(),
        placement: Placement {
            isolation: Isolation::Schema,
            schema: Some("t_acme".into()),
            database: None,
            version: Some("0042".into()),
        },
        meta: Some(r#"{"region":"eu","seats":7}"#.into()),
        version,
    }
}

pub(in crate::sign) fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

pub(in crate::sign) fn signing(algorithm: SigningAlgorithm, seconds: u64) -> Signing {
    Signing {
        algorithm,
        issuer: "vestibule".into(),
        lifetime: Duration::from_secs(seconds),
        publish_on_edge: true,
    }
}

fn signer() -> Arc<Signer> {
    Signer::new(&signing(SigningAlgorithm::EdDsa, 60), &[], None).unwrap()
}

pub(in crate::sign) fn with_key() -> (Arc<Signer>, SigningKeyRecord, Sealer) {
    let (signer, sealer) = (signer(), sealer());
    let key = keys::generate(&sealer, START).unwrap();
    signer.load(std::slice::from_ref(&key), &sealer).unwrap();
    (signer, key, sealer)
}

fn both() -> Sources {
    [Source::Subdomain, Source::Token].into_iter().collect()
}

pub(in crate::sign) fn claims<'a>(route: &'a Route, host: &'a Hostname) -> Claims<'a> {
    Claims {
        route: Some(route),
        upstream: "default",
        sources: both(),
        host,
    }
}

pub(in crate::sign) fn part(assertion: &HeaderValue, place: usize) -> Value {
    let text = assertion.to_str().unwrap().split('.').nth(place).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

/// Verifies all but the time, which here is not the present.
pub(in crate::sign) fn verifies(assertion: &HeaderValue, jwks: &[u8]) -> Option<Value> {
    let text = assertion.to_str().unwrap();
    let set: JwkSet = serde_json::from_slice(jwks).ok()?;
    let kid = jsonwebtoken::decode_header(text).ok()?.kid?;
    let key = DecodingKey::from_jwk(set.find(&kid)?).ok()?;
    decode(text, &key, Algorithm::EdDSA)
}

pub(in crate::sign) fn decode(
    text: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
) -> Option<Value> {
    let mut rules = Validation::new(algorithm);
    rules.set_audience(&["default"]);
    rules.set_issuer(&["vestibule"]);
    rules.validate_exp = false;
    let token = jsonwebtoken::decode(text, key, &rules).ok()?;
    Some(token.claims)
}

#[test]
fn an_assertion_says_what_the_contract_says() {
    let (signer, key, _) = with_key();
    let (route, host) = (route(3), host("acme.example.com"));
    let value = signer
        .thread()
        .assertion(&claims(&route, &host), START)
        .unwrap();
    let header = json!({"alg": "EdDSA", "typ": "tenant+jwt", "kid": key.kid});
    assert_eq!(part(&value, 0), header);
    let expected = json!({
        "iss": "vestibule", "aud": "default",
        "sub": "01900000-0000-7000-8000-000000000001", "slug": "acme",
        "via": "subdomain", "agree": ["subdomain", "token"], "host": "acme.example.com",
        "iat": 1_800_000_000, "exp": 1_800_000_060, "plan": "gold",
        "placement": {"isolation": "schema", "schema": "t_acme", "version": "0042"},
        "meta": {"region": "eu", "seats": 7},
    });
    assert_eq!(part(&value, 1), expected);
    assert_eq!(verifies(&value, &signer.jwks(START)), Some(expected));
    assert!(!format!("{value:?}").contains("ey"), "it can be replayed");
}

#[test]
fn nobody_has_no_subject() {
    let (signer, ..) = with_key();
    let claims = Claims {
        route: None,
        upstream: "default",
        sources: Sources::default(),
        host: &host("app.example.com"),
    };
    let value = signer.thread().assertion(&claims, START).unwrap();
    let expected = json!({
        "iss": "vestibule", "aud": "default", "via": "none", "agree": [],
        "host": "app.example.com", "iat": 1_800_000_000, "exp": 1_800_000_060,
    });
    assert_eq!(part(&value, 1), expected);
}

#[test]
fn an_assertion_is_sent_again_only_where_it_would_say_the_same() {
    let (signer, ..) = with_key();
    let thread = signer.thread();
    let (route, acme, www) = (route(3), host("acme.example.com"), host("www.acme.test"));
    let same = claims(&route, &acme);
    let first = thread.assertion(&same, START).unwrap();
    let later = START.plus(Duration::from_millis(29_999));
    assert_eq!(thread.assertion(&same, later).unwrap(), first);
    let half = START.plus(Duration::from_secs(30));
    assert_ne!(thread.assertion(&same, half).unwrap(), first);

    let changed = Route {
        version: 4,
        plan: None,
        ..route.clone()
    };
    let other = Route {
        tenant: TenantId(Uuid::from_u128(7)),
        ..route.clone()
    };
    let token = [Source::Token].into_iter().collect();
    let different = [
        Claims {
            route: Some(&changed),
            ..same
        },
        Claims {
            route: Some(&other),
            ..same
        },
        Claims {
            route: None,
            ..same
        },
        Claims {
            upstream: "api",
            ..same
        },
        Claims {
            sources: token,
            ..same
        },
        Claims { host: &www, ..same },
    ];
    for claims in different {
        let value = thread.assertion(&claims, START).unwrap();
        let says = part(&value, 1);
        assert_ne!(value, first);
        assert_eq!(says["host"], claims.host.as_str());
        assert_eq!(says["aud"], claims.upstream);
        assert_eq!(says["via"], claims.sources.via_str());
        assert_eq!(
            says.get("plan").is_some(),
            claims.route.is_some_and(|r| r.plan.is_some())
        );
        let sub = claims.route.map(|route| json!(route.tenant));
        assert_eq!(says.get("sub").cloned(), sub);
    }
}

#[test]
fn what_one_thread_has_signed_the_others_send_too() {
    let (signer, key, sealer) = with_key();
    let [one, other] = [signer.thread(), signer.thread()];
    let (first, host) = (route(1), host("acme.example.com"));
    let second = |seconds: u64| START.plus(Duration::from_secs(seconds));
    let of = |thread: &ThreadSigner, route: &Route, at: u64| {
        thread.assertion(&claims(route, &host), second(at)).unwrap()
    };
    // Signed anew it would be of another second.
    let made = of(&one, &first, 0);
    assert_eq!(of(&other, &first, 1), made);
    assert_eq!(of(&other, &first, 2), made);
    // Whoever comes first renews it for both.
    let renewed = of(&other, &first, 30);
    assert_ne!(renewed, made);
    assert_eq!(of(&one, &first, 31), renewed);
    // Another version of the row says something else, another ring may hold another key.
    let changed = of(&one, &route(2), 32);
    assert_ne!(changed, renewed);
    assert_eq!(of(&other, &route(2), 33), changed);
    signer.load(&[key], &sealer).unwrap();
    assert_ne!(of(&other, &route(2), 34), changed);
}

#[test]
fn a_restored_store_makes_threads_forget() {
    let (signer, ..) = with_key();
    let thread = signer.thread();
    let host = host("acme.example.com");
    let before = thread.assertion(&claims(&route(3), &host), START).unwrap();
    let restored = Route {
        plan: Some("free".into()),
        ..route(3)
    };
    assert_eq!(
        thread.assertion(&claims(&restored, &host), START).unwrap(),
        before
    );
    signer.forget();
    let after = thread.assertion(&claims(&restored, &host), START).unwrap();
    assert_eq!(part(&after, 1)["plan"], "free");
}

#[test]
fn a_retired_key_stops_with_the_next_request() {
    let (signer, first, sealer) = with_key();
    let thread = signer.thread();
    let (route, host) = (route(3), host("acme.example.com"));
    let before = thread.assertion(&claims(&route, &host), START).unwrap();
    assert_eq!(part(&before, 0)["kid"], first.kid.as_str());

    let later = START.plus(Duration::from_secs(1));
    let second = keys::generate(&sealer, later).unwrap();
    let retired = SigningKeyRecord {
        retired_at: Some(later.0),
        ..first
    };
    signer.load(&[retired, second.clone()], &sealer).unwrap();
    let after = thread.assertion(&claims(&route, &host), later).unwrap();
    assert_eq!(part(&after, 0)["kid"], second.kid.as_str());
    assert!(
        verifies(&before, &signer.jwks(later)).is_none(),
        "an unknown kid fails closed"
    );
    assert!(verifies(&after, &signer.jwks(later)).is_some());
}

#[test]
fn both_keys_verify_in_the_overlap() {
    let (signer, first, sealer) = with_key();
    let (route, host) = (route(3), host("acme.example.com"));
    let lifetime = Duration::from_secs(60);
    let mut records = vec![first];
    let make = |now| keys::generate(&sealer, now);
    keys::rotate(&mut records, keys::Mode::Scheduled, START, lifetime, make).unwrap();
    signer.load(&records, &sealer).unwrap();
    let thread = signer.thread();
    let turn = START.plus(keys::PUBLISHED_FIRST);
    let just_before = Timestamp(turn.0 - 1);
    let old = thread
        .assertion(&claims(&route, &host), just_before)
        .unwrap();
    let new = thread
        .assertion(&claims(&route, &host), turn.plus(lifetime))
        .unwrap();
    assert_ne!(part(&old, 0)["kid"], part(&new, 0)["kid"]);
    for now in [START, just_before, turn, turn.plus(lifetime)] {
        let jwks = signer.jwks(now);
        assert!(verifies(&old, &jwks).is_some() && verifies(&new, &jwks).is_some());
    }
    let end = turn.plus(lifetime).plus(keys::PUBLISHED_AFTER);
    assert!(verifies(&old, &signer.jwks(end)).is_none());
    assert!(verifies(&new, &signer.jwks(end)).is_some());
}

/// Making one for every case would take longer than all else.
static KEY: LazyLock<(Sealer, SigningKeyRecord)> = LazyLock::new(|| {
    let sealer = sealer();
    let key = keys::generate(&sealer, START).unwrap();
    (sealer, key)
});

proptest! {
    /// Whatever the clock does between two requests.
    #[test]
    fn an_assertion_is_neither_of_the_future_nor_about_to_end(
        lifetime in 40_u64..4000,
        steps in proptest::collection::vec(-100_000_i64..100_000, 1..50),
    ) {
        let (sealer, key) = &*KEY;
        let signer = Signer::new(&signing(SigningAlgorithm::EdDsa, lifetime), &[], None).unwrap();
        signer.load(std::slice::from_ref(key), sealer).unwrap();
        let thread = signer.thread();
        let (route, host) = (route(3), host("acme.example.com"));
        let mut now = START;
        for step in steps {
            now = Timestamp(now.0 + step);
            let says = part(&thread.assertion(&claims(&route, &host), now).unwrap(), 1);
            let (iat, exp) = (says["iat"].as_i64().unwrap(), says["exp"].as_i64().unwrap());
            prop_assert!(iat * 1000 <= now.0);
            prop_assert!(exp * 1000 - now.0 >= 30_000);
            prop_assert_eq!(exp - iat, lifetime as i64);
        }
    }
}
