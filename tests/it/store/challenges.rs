//! Open challenges: any node answers what another has published, exactly that, and no flood of questions reaches the store.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use vestibule::metrics::Metrics;
use vestibule::model::challenge::{delegation_label, txt_value};
use vestibule::model::{ChallengeKind, Hostname};
use vestibule::store::{Access, Challenge, ChallengeSource, OpenChallenges, Store, StoreError};

use super::Place;

on_both_engines!(
    g16_what_one_node_publishes_another_answers,
    only_the_exact_name_and_token_are_answered,
    a_challenge_asked_for_too_early_is_answered_the_next_time,
    an_order_for_a_name_and_its_wildcard_has_two_records,
    what_is_published_again_has_its_later_content,
    withdrawn_challenges_are_not_answered,
    expired_challenges_are_not_answered_and_go,
    a_flood_of_questions_is_a_few_statements,
);

const TOKEN: &str = "DGyRejmCefe7v4NfDGDKfA";
/// Later than any test.
const LATE: i64 = i64::MAX;

fn host(name: &str) -> Hostname {
    Hostname::parse(name).unwrap()
}

fn challenge(name: &str, kind: ChallengeKind, token: &str, key: &str) -> Challenge {
    Challenge {
        name: host(name),
        kind,
        token: token.to_owned(),
        key_authorization: format!("{token}.{key}"),
        expires_at: LATE,
    }
}

fn node(store: &Store) -> Arc<OpenChallenges> {
    let open = OpenChallenges::new(Handle::current());
    open.attach(store.clone());
    open
}

async fn publish(store: &Store, challenge: &Challenge) {
    store.publish_challenge(challenge).await.unwrap();
}

async fn g16_what_one_node_publishes_another_answers(place: Place) {
    let (here, there) = (place.open().await, place.open().await);
    let node = node(&there);
    for kind in ChallengeKind::ALL {
        publish(&here, &challenge("app.example.com", kind, TOKEN, "key")).await;
    }
    let (name, expected) = (host("app.example.com"), format!("{TOKEN}.key"));
    let http = node.http01(&name, TOKEN).await.unwrap();
    assert_eq!(http.as_deref(), Some(&*expected));
    let tls = node.tls_alpn01(&name).await.unwrap();
    assert_eq!(tls, std::slice::from_ref(&expected));
    let dns = node.dns01(&delegation_label(&name)).await.unwrap();
    assert_eq!(dns, [txt_value(&expected)]);
}

async fn only_the_exact_name_and_token_are_answered(place: Place) {
    let store = place.open().await;
    let node = node(&store);
    let one = challenge("app.example.com", ChallengeKind::Http01, TOKEN, "key");
    publish(&store, &one).await;
    let other = "DGyRejmCefe7v4NfDGDKfB";
    for (name, token) in [("example.com", TOKEN), ("app.example.com", other)] {
        let answer = node.http01(&host(name), token).await.unwrap();
        assert_eq!(answer, None, "{name} {token}");
    }
    let name = host("app.example.com");
    assert!(node.tls_alpn01(&name).await.unwrap().is_empty());
    let label = delegation_label(&name);
    assert!(node.dns01(&label).await.unwrap().is_empty());
}

async fn a_challenge_asked_for_too_early_is_answered_the_next_time(place: Place) {
    let (here, there) = (place.open().await, place.open().await);
    let (node, name) = (node(&there), host("app.example.com"));
    for round in 0..3 {
        let token = format!("DGyRejmCefe7v4NfDGDK_{round}");
        assert_eq!(node.http01(&name, &token).await.unwrap(), None);
        let new = challenge("app.example.com", ChallengeKind::Http01, &token, "key");
        publish(&here, &new).await;
        let answer = node.http01(&name, &token).await.unwrap();
        assert_eq!(answer, Some(new.key_authorization));
    }
}

async fn an_order_for_a_name_and_its_wildcard_has_two_records(place: Place) {
    let store = place.open().await;
    let node = node(&store);
    let other = "DGyRejmCefe7v4NfDGDKfB";
    for token in [TOKEN, other] {
        let one = challenge("example.com", ChallengeKind::Dns01, token, "key");
        publish(&store, &one).await;
    }
    let label = delegation_label(&host("example.com"));
    let mut values = node.dns01(&label).await.unwrap();
    values.sort();
    let mut expected = [TOKEN, other].map(|token| txt_value(&format!("{token}.key")));
    expected.sort();
    assert_eq!(values, expected);
}

async fn what_is_published_again_has_its_later_content(place: Place) {
    let store = place.open().await;
    for key in ["old", "new"] {
        let one = challenge("app.example.com", ChallengeKind::TlsAlpn01, TOKEN, key);
        publish(&store, &one).await;
    }
    let answer = node(&store).tls_alpn01(&host("app.example.com")).await;
    assert_eq!(answer.unwrap(), [format!("{TOKEN}.new")]);
}

async fn withdrawn_challenges_are_not_answered(place: Place) {
    let store = place.open().await;
    let (name, other) = (host("app.example.com"), "DGyRejmCefe7v4NfDGDKfB");
    for (name, token) in [
        ("app.example.com", TOKEN),
        ("app.example.com", other),
        ("b.test", TOKEN),
    ] {
        publish(
            &store,
            &challenge(name, ChallengeKind::TlsAlpn01, token, "key"),
        )
        .await;
    }
    let gone = store.withdraw_challenges(&name, Some(TOKEN)).await;
    assert_eq!(gone.unwrap(), 1);
    let left = node(&store).tls_alpn01(&name).await.unwrap();
    assert_eq!(left, [format!("{other}.key")]);
    assert_eq!(store.withdraw_challenges(&name, None).await.unwrap(), 1);
    let node = node(&store);
    assert!(node.tls_alpn01(&name).await.unwrap().is_empty());
    assert_eq!(node.tls_alpn01(&host("b.test")).await.unwrap().len(), 1);
}

async fn expired_challenges_are_not_answered_and_go(place: Place) {
    let store = place.open().await;
    let now = place.clock.now().0;
    let name = host("app.example.com");
    for (token, expires_at) in [(TOKEN, now), ("DGyRejmCefe7v4NfDGDKfB", now + 3_600_000)] {
        let one = challenge("app.example.com", ChallengeKind::TlsAlpn01, token, "key");
        publish(&store, &Challenge { expires_at, ..one }).await;
    }
    let answer = node(&store).tls_alpn01(&name).await.unwrap();
    assert_eq!(answer, ["DGyRejmCefe7v4NfDGDKfB.key"]);
    assert_eq!(store.prune_challenges().await.unwrap(), 1);
    place.clock.shift(3_600_001);
    assert!(node(&store).tls_alpn01(&name).await.unwrap().is_empty());
    assert_eq!(store.prune_challenges().await.unwrap(), 1);
}

/// Whoever asks while a reading is under way waits for the next one, all of them for the same.
async fn a_flood_of_questions_is_a_few_statements(place: Place) {
    let metrics = Metrics::new(10).unwrap();
    let clock = place.clock.clone();
    let store = Store::open(
        &place.settings,
        Access::Serve,
        clock,
        Some(Arc::clone(&metrics)),
    );
    let store = store.await.unwrap();
    let (node, name) = (node(&store), host("app.example.com"));
    let tokens: Vec<_> = (0..2_000).map(|n| format!("{n:022}")).collect();
    let answers = join_all(tokens.iter().map(|token| node.http01(&name, token))).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(None))));
    let statements = metrics
        .store_query
        .with_label_values(&["challenges"])
        .get_sample_count();
    assert_eq!(statements, 1, "nobody had begun to read when all had asked");
}

#[tokio::test]
async fn without_a_store_nothing_is_known() {
    let node = OpenChallenges::new(Handle::current());
    let answer = node.http01(&host("app.example.com"), TOKEN).await;
    assert!(matches!(answer, Err(StoreError::NotOpen)), "{answer:?}");
}
