//! A certificate from the first wish to the last renewal.

use vestibule::model::Secret;
use vestibule::model::certificate::CertificateSource;
use vestibule::shutdown::{Phase, Shutdown};
use vestibule::store::NewCertificate;

use super::*;

on_both_engines!(
    a_verified_name_gets_a_certificate,
    a_former_tenants_certificate_is_replaced_by_one_of_the_ca,
    a_wildcard_is_shown_by_dns_only,
    the_operators_own_names_are_ordered_and_dropped_names_forgotten,
    an_imported_certificate_is_left_alone_until_the_last_third_of_its_life,
    a_certificate_is_renewed_at_a_third_of_its_life,
    a_ca_that_says_when_is_obeyed,
    a_renewal_that_an_operator_wants_is_due_at_once,
    a_certificate_that_was_taken_away_is_ordered_again,
    a_name_that_is_wanted_no_more_keeps_no_certificate_that_comes_too_late,
    sealing_anew_takes_orders_and_accounts_along,
    who_is_woken_orders_at_once_and_ends_when_the_node_drains,
);

async fn a_verified_name_gets_a_certificate(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world
        .claimed("acme", "pending.acme.test", DomainState::Pending)
        .await;
    let node = world.node();
    world.work(&node, MINUTE).await;
    assert!(world.is_kept("shop.acme.test").await);
    let found = world
        .store
        .certificate(&pattern("shop.acme.test"))
        .await
        .unwrap();
    assert_eq!(found.about.source, CertificateSource::Acme);
    assert_eq!(
        found.about.ca.as_deref(),
        Some("https://one.test/directory")
    );
    assert!(world.life.0.lock().unwrap().contains("shop.acme.test"));
    assert!(world.board.is_empty(), "challenges are taken down again");
    // No unproved name is ever ordered for, or looked at.
    let pending = world.store.order(&pattern("pending.acme.test")).await;
    assert_eq!(pending.unwrap(), None);
    assert_eq!(world.ca().many(), 1);
    let audit = world.store.audit(None, 10).await.unwrap();
    assert!(audit.iter().any(|it| it.action == "cert.issue"));
}

async fn a_former_tenants_certificate_is_replaced_by_one_of_the_ca(place: Place) {
    let world = World::new(place, 1).await;
    for tenant in ["acme", "globex"] {
        create(&world.store, tenant).await;
    }
    let name = pattern("shop.acme.test");
    world.verified("acme", "shop.acme.test").await;
    let now = world.now();
    let sealer = Sealer::open(&world.place.settings.secret_key_file).unwrap();
    let brought = NewCertificate {
        names: vec![name.clone()],
        chain: "a chain".to_owned(),
        key: Secret::new(b"a key".to_vec()),
        not_before: now.0,
        not_after: now.plus(DAY * 90).0,
        source: CertificateSource::Import,
        fingerprint: "brought".to_owned(),
        ca: None,
    };
    let list = [brought];
    let import = world
        .store
        .import_certificates(&list, sealer.as_ref().unwrap());
    import.await.unwrap();
    let node = world.node();
    world.work(&node, HOUR).await;
    assert_eq!(world.ca().many(), 0);
    world.store.remove_domain(&name, None).await.unwrap();
    world.verified("globex", "shop.acme.test").await;
    world.work(&world.node(), HOUR).await;
    assert!(world.is_kept("shop.acme.test").await);
    let shown = world.store.certificate(&name).await.unwrap().about;
    assert_eq!(
        (shown.source, shown.former_tenant),
        (CertificateSource::Acme, None)
    );
}

async fn a_wildcard_is_shown_by_dns_only(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "*.acme.test").await;
    world.verified("acme", "acme.test").await;
    let node = world.node();
    world.work(&node, MINUTE).await;
    let told = |name: &str| world.ca().orders_of(name)[0].told;
    assert_eq!(told("*.acme.test"), Some(ChallengeKind::Dns01));
    assert_eq!(told("acme.test"), Some(ChallengeKind::Http01));
    assert!(world.is_kept("*.acme.test").await && world.is_kept("acme.test").await);
}

async fn the_operators_own_names_are_ordered_and_dropped_names_forgotten(place: Place) {
    let mut world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    world.own = vec![pattern("app.example.test"), pattern("*.example.test")];
    let node = world.node();
    // On a slow machine a minute has few passes in it.
    world.work(&node, MINUTE * 10).await;
    assert!(world.is_kept("app.example.test").await && world.is_kept("*.example.test").await);
    assert!(world.is_kept("shop.acme.test").await);
    world
        .store
        .remove_domain(&pattern("shop.acme.test"), None)
        .await
        .unwrap();
    world.own.pop();
    let node = world.node();
    world.work(&node, MINUTE * 20).await;
    for gone in ["shop.acme.test", "*.example.test"] {
        assert_eq!(world.store.order(&pattern(gone)).await.unwrap(), None);
    }
    assert!(world.is_kept("app.example.test").await);
    // And back: the certificate that is there will do.
    world.verified("acme", "shop.acme.test").await;
    world.work(&world.node(), MINUTE * 20).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().orders_of("shop.acme.test").len(), 1);
}

async fn an_imported_certificate_is_left_alone_until_the_last_third_of_its_life(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let now = world.now();
    let sealer = Sealer::open(&world.place.settings.secret_key_file).unwrap();
    let brought = NewCertificate {
        names: vec![pattern("*.acme.test")],
        chain: "a chain".to_owned(),
        key: Secret::new(b"a key".to_vec()),
        not_before: now.0,
        not_after: now.plus(DAY * 90).0,
        source: CertificateSource::Import,
        fingerprint: "brought".to_owned(),
        ca: None,
    };
    world
        .store
        .import_certificates(&[brought], &sealer.unwrap())
        .await
        .unwrap();
    let node = world.node();
    world.work(&node, DAY * 59).await;
    assert_eq!(world.ca().many(), 0);
    // It can be served all the same.
    assert!(world.life.0.lock().unwrap().contains("shop.acme.test"));
    world.work(&node, DAY * 2).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_ne!(world.shown("shop.acme.test").await.unwrap(), "brought");
}

async fn a_certificate_is_renewed_at_a_third_of_its_life(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, DAY * 55).await;
    assert_eq!(world.ca().many(), 1);
    let first = world.shown("shop.acme.test").await;
    world.work(&node, DAY * 6).await;
    assert_eq!(world.ca().many(), 2, "between 55.5 and 60 days");
    assert!(world.is_kept("shop.acme.test").await);
    assert_ne!(world.shown("shop.acme.test").await, first);
}

async fn a_ca_that_says_when_is_obeyed(place: Place) {
    let world = World::new(place, 1).await;
    world
        .ca()
        .books(|books| books.window = Some((DAY * 20, DAY * 22)));
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, DAY * 4).await;
    // Every six hours, as it says, and not more often.
    let asked = world.ca().books(|books| books.asked_for_windows);
    assert!((14..=17).contains(&asked), "{asked}");
    let moment = world.row("shop.acme.test").await.renew_at;
    world.work(&node, DAY * 15).await;
    assert_eq!(world.ca().many(), 1);
    assert_eq!(
        world.row("shop.acme.test").await.renew_at,
        moment,
        "the same moment of the same window"
    );
    world.work(&node, DAY * 4).await;
    let orders = world.ca().orders_of("shop.acme.test");
    assert_eq!(orders.len(), 2);
    assert!(orders[1].replaces);
    // A window that has moved into the past means now.
    world
        .ca()
        .books(|books| books.window = Some((DAY, DAY * 2)));
    world.work(&node, HOUR * 8).await;
    assert_eq!(world.ca().many(), 3);
}

async fn a_renewal_that_an_operator_wants_is_due_at_once(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, DAY).await;
    let name = pattern("shop.acme.test");
    world.store.renew_certificate(&name).await.unwrap();
    world.work(&node, MINUTE).await;
    assert_eq!(world.ca().many(), 2);
    assert!(world.is_kept("shop.acme.test").await);
    let nobody = world.store.renew_certificate(&pattern("x.test")).await;
    assert!(matches!(
        nobody,
        Err(vestibule::store::StoreError::NotOrdered(_))
    ));
}

async fn a_certificate_that_was_taken_away_is_ordered_again(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    world.work(&node, MINUTE).await;
    let name = pattern("shop.acme.test");
    world.store.remove_certificate(&name).await.unwrap();
    world.work(&node, DAY).await;
    assert_eq!(world.ca().many(), 2);
    assert!(world.is_kept("shop.acme.test").await);
}

async fn a_name_that_is_wanted_no_more_keeps_no_certificate_that_comes_too_late(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    // The order is placed and the CA told.
    node.pass().await.unwrap();
    node.pass().await.unwrap();
    assert_eq!(world.ca().many(), 1);
    let name = pattern("shop.acme.test");
    world.store.remove_domain(&name, None).await.unwrap();
    world.work(&world.node(), MINUTE).await;
    assert_eq!(world.shown("shop.acme.test").await, None);
    assert_eq!(world.store.order(&name).await.unwrap(), None);
}

async fn sealing_anew_takes_orders_and_accounts_along(place: Place) {
    let world = World::new(place, 1).await;
    create(&world.store, "acme").await;
    world.verified("acme", "shop.acme.test").await;
    let node = world.node();
    while world.ca().many() == 0 {
        node.pass().await.unwrap();
    }
    let file = &world.place.settings.secret_key_file;
    let old = Sealer::open(file).unwrap().unwrap();
    std::fs::remove_file(file).unwrap();
    let new = Sealer::create(file).unwrap();
    let keys = |keys: &[SigningKeyRecord]| {
        let again = |key: &SigningKeyRecord| SigningKeyRecord {
            sealed_private_key: new.seal("signing-key", b"x"),
            ..key.clone()
        };
        Ok::<_, vestibule::store::StoreError>(keys.iter().map(again).collect())
    };
    let again = |purpose: &str, sealed: &[u8]| {
        let plain = old.unseal(purpose, sealed)?;
        Ok::<_, vestibule::store::StoreError>(new.seal(purpose, plain.expose()))
    };
    // The account's, and that of the order under way.
    assert_eq!(world.store.reseal(keys, again).await.unwrap(), (1, 2));
    world.work(&world.node(), MINUTE).await;
    assert!(world.is_kept("shop.acme.test").await);
    assert_eq!(world.ca().books(|books| books.accounts), 1);
}

/// In the time that it takes, and not by hand: the CA is looked at after a second, and once more.
async fn who_is_woken_orders_at_once_and_ends_when_the_node_drains(place: Place) {
    let mut world = World::new(place, 1).await;
    world.look_every = DAY;
    create(&world.store, "acme").await;
    let (shutdown, stopping) = Shutdown::new();
    let wake = Arc::<Wake>::default();
    let running = tokio::spawn(world.woken_by(&wake).run(stopping));
    world.verified("acme", "shop.acme.test").await;
    wake.names([pattern("shop.acme.test")]);
    let told = tokio::time::timeout(MINUTE, world.life.1.notified());
    told.await.expect("it is in place");
    assert!(world.is_kept("shop.acme.test").await);
    shutdown.enter(Phase::Draining);
    let ended = tokio::time::timeout(MINUTE, running).await;
    ended.expect("it ends").unwrap();
}
