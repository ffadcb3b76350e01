//! Slugs: who has them, old ones, reserved ones, and what a removed tenant leaves behind.

use futures_util::future::join_all;
use vestibule::model::{LookupKey, Tenant, TenantState};
use vestibule::store::{Date, NewTenant, RouteSource, SLUG_COOLOFF, Store, StoreError};

use super::{Place, add, by, cool_off, create, found, key, leads, slug};

on_both_engines!(
    a_slug_has_one_tenant,
    of_many_who_want_a_slug_at_once_one_gets_it,
    an_old_slug_goes_on_leading_to_its_tenant,
    an_old_slug_is_free_after_its_cool_off,
    a_tenant_takes_its_old_slug_back_at_once,
    a_removed_tenants_slug_stays_reserved_and_says_so,
    a_removed_tenant_comes_back_as_it_was,
    a_slug_that_went_to_another_does_not_come_back,
    every_name_is_listed,
    a_name_that_is_none_is_named,
    many_names_lead_where_each_of_them_leads,
);

async fn a_slug_has_one_tenant(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let second = store.create_tenant(NewTenant::new(slug("acme"))).await;
    assert!(matches!(second, Err(StoreError::SlugTaken(taken)) if taken == slug("acme")));
    create(&store, "other").await;
    let renamed = store.rename_tenant(&by("other"), &slug("acme")).await;
    assert!(matches!(renamed, Err(StoreError::SlugTaken(_))));
    assert_eq!(leads(&store, "other").await.as_deref(), Some("other"));
}

async fn of_many_who_want_a_slug_at_once_one_gets_it(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let stores = [&one, &two, &one, &two, &one, &two];
    let wanted = stores.map(|store| store.create_tenant(NewTenant::new(slug("acme"))));
    let results = join_all(wanted).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, StoreError::SlugTaken(_)), "{error:?}");
    }
    assert_eq!(one.tenants(None, None, 10).await.unwrap().items.len(), 1);
}

async fn an_old_slug_goes_on_leading_to_its_tenant(place: Place) {
    let store = place.open().await;
    let made = create(&store, "acme").await;
    let renamed = store
        .rename_tenant(&by("acme"), &slug("globex"))
        .await
        .unwrap();
    assert_eq!(
        (renamed.id, renamed.aliases.clone()),
        (made.id, vec![slug("acme")])
    );
    for name in ["acme", "globex"] {
        let route = found(&store, name).await.unwrap();
        assert_eq!(
            (route.slug, route.tenant),
            (slug("globex"), made.id),
            "{name}"
        );
        assert_eq!(store.tenant(&by(name)).await.unwrap(), renamed);
    }
    let clash = store
        .create_tenant(NewTenant::new(slug("acme")))
        .await
        .unwrap_err();
    let until = Date(renamed.updated_at + i64::try_from(SLUG_COOLOFF.as_millis()).unwrap());
    let StoreError::SlugIsAlias {
        slug: which,
        tenant,
        until: named,
    } = &clash
    else {
        panic!("{clash:?}");
    };
    assert_eq!((which, tenant), (&slug("acme"), &slug("globex")));
    assert_eq!(named.to_string(), until.to_string());
}

async fn an_old_slug_is_free_after_its_cool_off(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    store
        .rename_tenant(&by("acme"), &slug("globex"))
        .await
        .unwrap();
    cool_off(&place);
    assert_eq!(
        leads(&store, "acme").await.as_deref(),
        Some("globex"),
        "until somebody takes it"
    );
    create(&store, "acme").await;
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
    assert!(
        store
            .tenant(&by("globex"))
            .await
            .unwrap()
            .aliases
            .is_empty()
    );
}

async fn a_tenant_takes_its_old_slug_back_at_once(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    store
        .rename_tenant(&by("acme"), &slug("globex"))
        .await
        .unwrap();
    let back = store
        .rename_tenant(&by("globex"), &slug("acme"))
        .await
        .unwrap();
    assert_eq!(
        (back.slug, back.aliases),
        (slug("acme"), vec![slug("globex")])
    );
    assert_eq!(leads(&store, "globex").await.as_deref(), Some("acme"));
}

async fn a_removed_tenants_slug_stays_reserved_and_says_so(place: Place) {
    let store = place.open().await;
    let made = create(&store, "acme").await;
    store
        .rename_tenant(&by("acme"), &slug("globex"))
        .await
        .unwrap();
    add(&store, "globex", "shop.example.com").await;
    add(&store, "globex", "*.example.org").await;
    let removed = store.remove_tenant(&by("globex")).await.unwrap();
    for name in [key("globex"), key("acme"), LookupKey::Id(made.id)] {
        let route = store.lookup(&name).await.unwrap().route.unwrap();
        assert_eq!(
            (route.state, route.removed_at),
            (TenantState::Removed, removed.removed_at),
            "{name}"
        );
    }
    assert_eq!(
        leads(&store, "shop.example.com").await,
        None,
        "its domains stop at once"
    );
    assert_eq!(leads(&store, "*.example.org").await, None);
    let taken = store.create_tenant(NewTenant::new(slug("globex"))).await;
    assert!(
        matches!(taken, Err(StoreError::SlugReserved { .. })),
        "{taken:?}"
    );
    assert!(matches!(
        store.remove_tenant(&by("globex")).await,
        Err(StoreError::Transition { .. })
    ));
    assert!(matches!(
        store.rename_tenant(&by("globex"), &slug("new")).await,
        Err(StoreError::TenantRemoved(_))
    ));
}

async fn a_removed_tenant_comes_back_as_it_was(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    store.suspend_tenant(&by("acme")).await.unwrap();
    add(&store, "acme", "shop.example.com").await;
    assert!(matches!(
        store.restore_tenant(&by("acme")).await,
        Err(StoreError::Transition { .. })
    ));
    store.remove_tenant(&by("acme")).await.unwrap();
    let back = store.restore_tenant(&by("acme")).await.unwrap();
    assert_eq!(
        (back.state, back.removed_at),
        (TenantState::Suspended, None),
        "removal lifts no suspension"
    );
    assert_eq!(
        leads(&store, "shop.example.com").await,
        None,
        "its domains must be claimed anew"
    );
    cool_off(&place);
    let taken = store.create_tenant(NewTenant::new(slug("acme"))).await;
    assert!(
        matches!(taken, Err(StoreError::SlugTaken(_))),
        "its slug is its own again"
    );
}

async fn a_slug_that_went_to_another_does_not_come_back(place: Place) {
    let store = place.open().await;
    let old = create(&store, "acme").await;
    store.remove_tenant(&by("acme")).await.unwrap();
    cool_off(&place);
    let new = create(&store, "acme").await;
    assert_ne!(new.id, old.id);
    let back = store.restore_tenant(&by(&old.id.to_string())).await;
    assert!(matches!(back, Err(StoreError::SlugGone(_))), "{back:?}");
    assert_eq!(found(&store, "acme").await.unwrap().tenant, new.id);
    let by_id = store
        .lookup(&LookupKey::Id(old.id))
        .await
        .unwrap()
        .route
        .unwrap();
    assert_eq!(
        by_id.state,
        TenantState::Removed,
        "an id is never somebody else's"
    );
}

/// A tenant called `globex` that was `acme` before, with a domain and a wildcard, and one that was removed.
async fn names_of_every_kind(store: &Store) -> Tenant {
    let acme = create(store, "acme").await;
    create(store, "gone").await;
    store
        .rename_tenant(&by("acme"), &slug("globex"))
        .await
        .unwrap();
    add(store, "globex", "shop.example.com").await;
    add(store, "gone", "gone.example.com").await;
    add(store, "globex", "*.example.org").await;
    store.remove_tenant(&by("gone")).await.unwrap();
    acme
}

async fn every_name_is_listed(place: Place) {
    let store = place.open().await;
    names_of_every_kind(&store).await;
    let names = store.names().await.unwrap();
    assert_eq!(names.at, store.cursor().await.unwrap());
    let mut listed = names.names;
    listed.sort();
    let mut expected: Vec<_> = [
        "acme",
        "globex",
        "gone",
        "shop.example.com",
        "*.example.org",
    ]
    .into_iter()
    .map(key)
    .collect();
    expected.sort();
    assert_eq!(
        listed, expected,
        "every name that a look-up finds, and no other"
    );
}

/// Such a row can only be made by hand. It must neither be taken for two names nor keep the others from ever being listed.
async fn a_name_that_is_none_is_named(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    for slug in ["zoo b", "b zoo"] {
        let tampered = format!("update slugs set slug = '{slug}' where kind = 'current'");
        place.tamper(tampered.leak()).await;
        let named = store.names().await.map(|names| names.names);
        assert!(
            matches!(named, Err(StoreError::Corrupt { .. })),
            "{slug:?}: {named:?}"
        );
    }
}

async fn many_names_lead_where_each_of_them_leads(place: Place) {
    let store = place.open().await;
    let acme = names_of_every_kind(&store).await;
    let names = [
        "acme",
        "nobody",
        "shop.example.com",
        "gone",
        "gone.example.com",
        "*.example.org",
        "example.org",
        "acme",
        "globex",
    ];
    let all: Vec<LookupKey> = names
        .into_iter()
        .map(key)
        .chain([LookupKey::Id(acme.id)])
        .chain((0..300).map(|number| key(&format!("nobody-{number}"))))
        .collect();
    // As a whole; of each kind by itself; and where nothing is found.
    for keys in [
        &all[..],
        &all[2..3],
        &all[4..5],
        &all[9..10],
        &all[10..20],
        &[],
    ] {
        let many = store.lookup_many(keys).await.unwrap();
        assert_eq!(many.len(), keys.len());
        for (key, looked) in keys.iter().zip(many) {
            assert_eq!(looked, store.lookup(key).await.unwrap(), "{key}");
        }
    }
}
