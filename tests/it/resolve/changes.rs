//! Changes come into force, whatever is on its way meanwhile.

use std::sync::atomic::Ordering;

use vestibule::model::certificate::CertificateSource;
use vestibule::model::{LookupKey, Match, Secret};
use vestibule::seal::Sealer;
use vestibule::store::{Claim, ImportLine, NewCertificate, NewTenant};

use super::*;

on_both_engines!(
    g3_ten_thousand_first_requests_for_one_cold_host_make_one_query,
    a_first_fill_held_back_while_the_domain_moves_is_neither_given_nor_kept,
    a_revalidation_held_back_while_the_domain_moves_is_not_kept,
    g2_an_absence_held_back_while_the_domain_comes_is_not_kept,
    what_another_process_writes_comes_into_force,
    a_restored_database_ends_everything_that_was_known,
    a_change_of_certificates_leaves_routes_alone,
);

async fn g3_ten_thousand_first_requests_for_one_cold_host_make_one_query(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    node.gate.set_open(false);
    let visitors: Vec<_> = (0..10_000).map(|_| node.visitor(&shop)).collect();
    eventually("it is asked for", || node.gate.read() == 1).await;
    // The first of them goes away; the query stays.
    visitors[0].abort();
    node.gate.set_open(true);
    for visitor in visitors.into_iter().skip(1) {
        assert_eq!(slug_of(&visitor.await.unwrap()).as_deref(), Some("acme"));
    }
    assert_eq!(node.gate.asked(&shop), 1);
}

async fn a_first_fill_held_back_while_the_domain_moves_is_neither_given_nor_kept(
    database: Database,
) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    node.gate.set_open(false);
    let visitor = node.visitor(&shop);
    eventually("it is read", || node.gate.read() == 1).await;
    let generation = node.resolver.generation();
    move_to_globex(&store).await;
    eventually("the move is in force", || {
        node.resolver.generation() > generation
    })
    .await;
    node.gate.set_open(true);
    assert_eq!(slug_of(&visitor.await.unwrap()).as_deref(), Some("globex"));
    let kept = node.resolver.peek(&shop).unwrap();
    assert_eq!(slug_of(&kept).as_deref(), Some("globex"));
}

async fn a_revalidation_held_back_while_the_domain_moves_is_not_kept(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    node.clock.shift(61_000);
    node.gate.set_open(false);
    assert_eq!(
        node.slug(&shop).await.as_deref(),
        Some("acme"),
        "served while stale"
    );
    eventually("it is read again", || node.gate.read() == 2).await;
    let generation = node.resolver.generation();
    move_to_globex(&store).await;
    eventually("the move is in force", || {
        node.resolver.generation() > generation
    })
    .await;
    node.gate.set_open(true);
    assert_eq!(node.slug(&shop).await.as_deref(), Some("globex"));
}

async fn g2_an_absence_held_back_while_the_domain_comes_is_not_kept(database: Database) {
    let store = database.open().await;
    create(&store, "acme").await;
    let node = Node::starting(&database, None).await;
    node.gate.withhold_names();
    node.gate.set_away(false);
    node.ready().await;
    let shop = domain("shop.example");
    node.gate.set_open(false);
    let visitor = node.visitor(&shop);
    eventually("it is read", || node.gate.read() == 1).await;
    let generation = node.resolver.generation();
    let name = pattern("shop.example");
    store
        .add_domain(&tenant("acme"), &name, Claim::TRUSTED)
        .await
        .unwrap();
    eventually("it is in force", || node.resolver.generation() > generation).await;
    node.gate.set_open(true);
    assert_eq!(slug_of(&visitor.await.unwrap()).as_deref(), Some("acme"));
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
}

async fn what_another_process_writes_comes_into_force(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    node.names_loaded().await;
    let fresh = LookupKey::Slug(slug("fresh"));
    assert_eq!(node.resolver.find(&fresh).await, Match::Absent);
    assert_eq!(
        node.gate.asked(&fresh),
        0,
        "no query for a name that is not there"
    );
    create(&store, "fresh").await;
    node.comes_to(&fresh, Some("fresh")).await;

    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    store.remove_tenant(&tenant("acme")).await.unwrap();
    node.comes_to(&shop, None).await;

    let line = ImportLine {
        number: 1,
        tenant: NewTenant::new(slug("imported")),
        domains: vec![pattern("imported.example")],
    };
    store.import([Ok(line)], Claim::TRUSTED).await.unwrap();
    node.comes_to(&domain("imported.example"), Some("imported"))
        .await;
    node.names_loaded().await;
    assert_eq!(
        node.resolver.find(&LookupKey::Slug(slug("nobody"))).await,
        Match::Absent
    );

    let before = node.key_changes.load(Ordering::SeqCst);
    assert_eq!(before, 1, "told once at the start");
    store.insert_signing_key(&signing_key()).await.unwrap();
    eventually("the signing keys are asked for", || {
        node.key_changes.load(Ordering::SeqCst) > before
    })
    .await;
}

async fn a_restored_database_ends_everything_that_was_known(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    let before = node.resolver.cursor().unwrap();
    store.new_epoch().await.unwrap();
    eventually("the new epoch is followed", || {
        node.resolver
            .cursor()
            .is_some_and(|cursor| cursor.epoch != before.epoch)
    })
    .await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    assert_eq!(node.gate.asked(&shop), 2);
}

async fn a_change_of_certificates_leaves_routes_alone(database: Database) {
    let store = database.open().await;
    let shop = two_tenants(&store).await;
    let node = Node::new(&database).await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    let sealer = Sealer::create(&database.snapshot().with_extension("key")).unwrap();
    // One with its names in the feed, and one with too many.
    for many in [1, 300] {
        let names = (0..many).map(|number| pattern(&format!("n{number}.example")));
        let new = NewCertificate {
            names: names.collect(),
            chain: "a chain".to_owned(),
            key: Secret::new(b"a key".to_vec()),
            not_before: 0,
            not_after: 1,
            source: CertificateSource::Import,
            fingerprint: "a fingerprint".to_owned(),
            ca: None,
        };
        store.import_certificates(&[new], &sealer).await.unwrap();
    }
    let end = store.cursor().await.unwrap();
    eventually("both are in force", || node.resolver.cursor() == Some(end)).await;
    assert_eq!(node.slug(&shop).await.as_deref(), Some("acme"));
    assert_eq!(node.gate.asked(&shop), 1);
}
