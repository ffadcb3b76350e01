//! Signing keys come and go while both nodes sign.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use vestibule::sign::keys::PUBLISHED_FIRST;

use super::Fleet;
use crate::harness::assertion::Assertion;
use crate::harness::edge::Edge;
use crate::harness::{eventually, on_both_stores};

on_both_stores!(
    d9_a_new_key_is_known_before_any_node_signs_with_it,
    d9_a_rotation_at_once_and_a_retirement_are_in_force_on_every_node,
    keys_that_are_sealed_anew_are_used_on,
);

async fn d9_a_new_key_is_known_before_any_node_signs_with_it(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme"]).await;
    let old = kids(&fleet.nodes[0].jwks().await);
    fleet.command("key rotate").await;
    let both = fleet.publish("the new key", |kids| kids.len() == 2).await;
    for node in &fleet.nodes {
        assert!(old.contains(&fleet.signed_by(node).await), "not yet");
    }
    let known_to_all = i64::try_from(PUBLISHED_FIRST.as_millis()).unwrap();
    for node in &fleet.nodes {
        node.clock.shift(known_to_all);
    }
    for node in &fleet.nodes {
        let kid = fleet.signed_by(node).await;
        assert!(both.contains(&kid) && !old.contains(&kid), "{kid}");
    }
}

async fn d9_a_rotation_at_once_and_a_retirement_are_in_force_on_every_node(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme"]).await;
    let old = fleet.signed_by(&fleet.nodes[1]).await;
    fleet.command("key rotate --now").await;
    fleet.publish("the new key", |kids| kids.len() == 2).await;
    for node in &fleet.nodes {
        let new = eventually("a signature of the new key", async || {
            let kid = fleet.signed_by(node).await;
            (kid != old).then_some(kid)
        });
        new.await;
    }
    fleet.command(&format!("key retire {old}")).await;
    let left = fleet
        .publish("one key less", |kids| !kids.contains(&old))
        .await;
    for node in &fleet.nodes {
        assert!(left.contains(&fleet.signed_by(node).await));
    }
}

/// The nodes have a file each: one of them gets the new key with the command, the other must go on with what it has opened, and signs
/// with the keys that it has been given once it has the file.
async fn keys_that_are_sealed_anew_are_used_on(store: Option<&str>) {
    let fleet = Fleet::of(store, &["acme"]).await;
    let key = fleet.signed_by(&fleet.nodes[0]).await;
    fleet.command("key reseal").await;
    for node in &fleet.nodes {
        assert_eq!(fleet.signed_by(node).await, key);
    }
    let [first, second] = fleet.nodes.each_ref();
    let file = |node: &Edge| node.config.store.secret_key_file.clone();
    std::fs::copy(file(first), file(second)).unwrap();
    fleet.command("key rotate --now").await;
    fleet.publish("the new key", |kids| kids.len() == 2).await;
    for node in &fleet.nodes {
        eventually("a signature of the new key", async || {
            (fleet.signed_by(node).await != key).then_some(())
        })
        .await;
    }
}

impl Fleet {
    /// Waits until every node publishes the same set of keys, one that is as it should be.
    async fn publish(&self, what: &str, right: impl Fn(&[String]) -> bool) -> Vec<String> {
        eventually(what, async || {
            let [first, second] = self.nodes.each_ref();
            let (first, second) = (kids(&first.jwks().await), kids(&second.jwks().await));
            (first == second && right(&first)).then_some(first)
        })
        .await
    }

    /// The key that `node` signs with now; the signature is right by the other node's keys, too.
    async fn signed_by(&self, node: &Edge) -> String {
        node.comes_to("acme.localhost", 200).await;
        let seen = self.upstream.requests();
        let assertion = Assertion::of(seen.last().unwrap());
        for node in &self.nodes {
            let jwks = node.jwks().await;
            assert!(assertion.is_signed_by_one_of(&jwks), "{assertion:?} {jwks}");
        }
        assertion.kid().to_owned()
    }
}

fn kids(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().unwrap();
    let kid = |key: &Value| key["kid"].as_str().unwrap().to_owned();
    let mut kids: Vec<_> = keys.iter().map(kid).collect();
    kids.sort();
    kids
}
