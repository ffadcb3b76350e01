//! Custom domains: claims, moves, the one that is routed.

use futures_util::future::join_all;
use vestibule::model::DomainState;
use vestibule::store::{Claim, StoreError};

use super::{Place, add, by, create, leads, pattern};

const PENDING: Claim = Claim {
    state: DomainState::Pending,
    trusted: false,
};

on_both_engines!(
    an_exact_name_and_a_wildcard_are_different_keys,
    a_routed_name_belongs_to_one_tenant,
    of_many_who_add_a_name_at_once_one_gets_it,
    a_claim_that_is_not_routed_blocks_nobody,
    a_move_leaves_the_old_claim_as_a_tombstone,
    a_removed_name_can_be_claimed_again,
    a_list_of_domains_comes_in_pages,
);

async fn an_exact_name_and_a_wildcard_are_different_keys(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    create(&store, "globex").await;
    add(&store, "acme", "*.example.com").await;
    add(&store, "globex", "shop.example.com").await;
    assert_eq!(
        leads(&store, "*.example.com").await.as_deref(),
        Some("acme")
    );
    assert_eq!(
        leads(&store, "shop.example.com").await.as_deref(),
        Some("globex")
    );
    for unknown in ["example.com", "other.example.com", "*.shop.example.com"] {
        assert_eq!(leads(&store, unknown).await, None, "{unknown}");
    }
}

async fn a_routed_name_belongs_to_one_tenant(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    create(&store, "globex").await;
    add(&store, "acme", "shop.example.com").await;
    let name = pattern("shop.example.com");
    let taken = store
        .add_domain(&by("globex"), &name, Claim::TRUSTED)
        .await
        .unwrap_err();
    assert!(matches!(&taken, StoreError::DomainTaken { tenant, .. } if tenant.as_str() == "acme"));
    assert!(
        taken
            .hint()
            .unwrap()
            .contains("domain move shop.example.com")
    );
    let again = store.add_domain(&by("acme"), &name, Claim::TRUSTED).await;
    assert!(matches!(again, Err(StoreError::DomainExists { .. })));
    store.remove_tenant(&by("globex")).await.unwrap();
    let removed = store
        .add_domain(&by("globex"), &pattern("x.example.com"), Claim::TRUSTED)
        .await;
    assert!(matches!(removed, Err(StoreError::TenantRemoved(_))));
}

async fn of_many_who_add_a_name_at_once_one_gets_it(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let tenants = ["t0", "t1", "t2", "t3", "t4", "t5"];
    for tenant in tenants {
        create(&one, tenant).await;
    }
    let name = pattern("shop.example.com");
    let adds = tenants
        .iter()
        .zip([&one, &two].into_iter().cycle())
        .map(|(tenant, store)| {
            let name = &name;
            async move { store.add_domain(&by(tenant), name, Claim::TRUSTED).await }
        });
    let results = join_all(adds).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert!(matches!(error, StoreError::DomainTaken { .. }), "{error:?}");
    }
}

async fn a_claim_that_is_not_routed_blocks_nobody(place: Place) {
    let store = place.open().await;
    create(&store, "squatter").await;
    create(&store, "acme").await;
    let name = pattern("shop.example.com");
    let cursor = store.cursor().await.unwrap();
    store
        .add_domain(&by("squatter"), &name, PENDING)
        .await
        .unwrap();
    assert_eq!(leads(&store, "shop.example.com").await, None);
    assert_eq!(
        store.cursor().await.unwrap(),
        cursor,
        "no answer changed, so nothing is announced"
    );
    add(&store, "acme", "shop.example.com").await;
    assert_eq!(
        leads(&store, "shop.example.com").await.as_deref(),
        Some("acme")
    );
    let claims = store.domain(&name).await.unwrap();
    let states: Vec<_> = claims
        .iter()
        .map(|claim| (claim.tenant_slug.as_str(), claim.state))
        .collect();
    assert_eq!(
        states,
        [
            ("acme", DomainState::Active),
            ("squatter", DomainState::Pending)
        ]
    );
    store
        .remove_domain(&name, Some(&by("squatter")))
        .await
        .unwrap();
    assert_eq!(
        leads(&store, "shop.example.com").await.as_deref(),
        Some("acme")
    );
}

async fn a_move_leaves_the_old_claim_as_a_tombstone(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    create(&store, "globex").await;
    add(&store, "acme", "shop.example.com").await;
    let name = pattern("shop.example.com");
    let moved = store.move_domain(&name, &by("globex")).await.unwrap();
    assert_eq!(
        (moved.tenant_slug.as_str(), moved.state, moved.trusted),
        ("globex", DomainState::Active, true)
    );
    assert_eq!(
        leads(&store, "shop.example.com").await.as_deref(),
        Some("globex")
    );
    let claims = store.domain(&name).await.unwrap();
    assert_eq!((claims.len(), claims[1].state), (2, DomainState::Removed));
    assert!(matches!(
        store.move_domain(&name, &by("globex")).await,
        Err(StoreError::DomainExists { .. })
    ));
    store.move_domain(&name, &by("acme")).await.unwrap();
    assert_eq!(
        leads(&store, "shop.example.com").await.as_deref(),
        Some("acme")
    );
    let unknown = store
        .move_domain(&pattern("x.example.com"), &by("acme"))
        .await;
    assert!(matches!(unknown, Err(StoreError::UnknownDomain(_))));
}

async fn a_removed_name_can_be_claimed_again(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    add(&store, "acme", "shop.example.com").await;
    let name = pattern("shop.example.com");
    let removed = store.remove_domain(&name, None).await.unwrap();
    assert_eq!(removed.state, DomainState::Active, "what it was");
    assert_eq!(leads(&store, "shop.example.com").await, None);
    assert!(matches!(
        store.remove_domain(&name, None).await,
        Err(StoreError::UnknownDomain(_))
    ));
    assert_eq!(
        store.domain(&name).await.unwrap()[0].state,
        DomainState::Removed
    );
    add(&store, "acme", "shop.example.com").await;
    assert_eq!(
        leads(&store, "shop.example.com").await.as_deref(),
        Some("acme")
    );
}

async fn a_list_of_domains_comes_in_pages(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    create(&store, "globex").await;
    for name in ["a.example.com", "b.example.com", "c.example.com"] {
        add(&store, "acme", name).await;
    }
    store
        .add_domain(&by("globex"), &pattern("b.example.com"), PENDING)
        .await
        .unwrap();
    store
        .remove_domain(&pattern("c.example.com"), None)
        .await
        .unwrap();
    let first = store.domains(None, None, 2).await.unwrap();
    let second = store.domains(None, first.next.as_ref(), 2).await.unwrap();
    let names: Vec<_> = (first.items.iter().chain(&second.items))
        .map(|domain| format!("{} {}", domain.pattern, domain.tenant_slug))
        .collect();
    assert_eq!(
        names,
        [
            "a.example.com acme",
            "b.example.com acme",
            "b.example.com globex"
        ]
    );
    assert_eq!(second.next, None);
    let own = store.domains(Some(&by("globex")), None, 10).await.unwrap();
    assert_eq!(own.items.len(), 1);
    let json = serde_json::to_value(&own.items[0]).unwrap();
    assert_eq!(json["hostname"], "b.example.com");
}
