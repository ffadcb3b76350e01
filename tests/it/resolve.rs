//! The resolver and the feed's follower over the real store, with a gate between them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use vestibule::model::{DomainPattern, Hostname, LookupKey, SigningKeyRecord, Slug};
use vestibule::store::{Claim, NewTenant, Store, TenantRef};

use node::{Database, Node, eventually, slug_of};

/// Runs each of the named behaviours on both engines. One that is not named here is unused, which the lints refuse.
macro_rules! on_both_engines {
    ($($behaviour:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour(crate::resolve::Database::sqlite()).await })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() { super::$behaviour(crate::resolve::Database::postgres().await).await })*
        }
    };
}

mod changes;
mod gate;
mod node;
mod outage;

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

fn tenant(text: &str) -> TenantRef {
    TenantRef::Slug(slug(text))
}

fn pattern(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

fn domain(text: &str) -> LookupKey {
    LookupKey::Domain(Hostname::parse(text).unwrap())
}

async fn create(store: &Store, name: &str) {
    store
        .create_tenant(NewTenant::new(slug(name)))
        .await
        .unwrap();
}

/// Two tenants, the first with the domain `shop.example`.
async fn two_tenants(store: &Store) -> LookupKey {
    create(store, "acme").await;
    create(store, "globex").await;
    let shop = pattern("shop.example");
    store
        .add_domain(&tenant("acme"), &shop, Claim::TRUSTED)
        .await
        .unwrap();
    domain("shop.example")
}

async fn move_to_globex(store: &Store) {
    store
        .move_domain(&pattern("shop.example"), &tenant("globex"))
        .await
        .unwrap();
}

fn signing_key() -> SigningKeyRecord {
    SigningKeyRecord {
        kid: "k1".into(),
        public_key: vec![1; 32],
        sealed_private_key: vec![2; 60],
        created_at: 1,
        active_from: 2,
        retired_at: None,
    }
}
