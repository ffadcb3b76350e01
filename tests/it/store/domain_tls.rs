//! What names demand of their visitors: set for a claim, listed where it is routed, told in the feed.

use vestibule::config::TlsVersion;
use vestibule::model::DomainState;
use vestibule::store::{
    CertificateStore, Changed, Claim, NameTls, NameTlsPatch, Store, StoreError,
};

use super::{Place, add, by, changes, create, key, pattern};

on_both_engines!(
    demands_are_changed_one_by_one_and_taken_away,
    only_the_claim_that_is_routed_counts,
    below_a_wildcard_with_demands_claims_without_are_listed,
    a_change_is_told_to_the_nodes_where_it_counts,
);

fn minimum(version: Option<TlsVersion>) -> NameTlsPatch {
    NameTlsPatch {
        minimum: Some(version),
        ..NameTlsPatch::default()
    }
}

fn client_ca(pem: Option<&str>) -> NameTlsPatch {
    NameTlsPatch {
        client_ca: Some(pem.map(str::to_owned)),
        ..NameTlsPatch::default()
    }
}

async fn set(store: &Store, tenant: &str, name: &str, patch: NameTlsPatch) -> NameTls {
    let (tenant, name) = (by(tenant), pattern(name));
    let set = store.set_domain_tls(&name, Some(&tenant), patch);
    set.await.unwrap()
}

async fn listed(store: &Store) -> Vec<(String, NameTls)> {
    let list = store.name_tls().await.unwrap().into_iter();
    let mut list: Vec<_> = list.map(|(name, tls)| (name.to_string(), tls)).collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}

async fn demands_are_changed_one_by_one_and_taken_away(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    add(&store, "acme", "a.example.com").await;
    add(&store, "acme", "b.example.com").await;
    let newer = minimum(Some(TlsVersion::Tls13));
    set(&store, "acme", "a.example.com", newer).await;
    let both = set(&store, "acme", "a.example.com", client_ca(Some("pem"))).await;
    let expected = NameTls {
        minimum: Some(TlsVersion::Tls13),
        client_ca: Some("pem".into()),
    };
    assert_eq!(both, expected);
    assert_eq!(listed(&store).await, [("a.example.com".into(), expected)]);
    set(&store, "acme", "a.example.com", minimum(None)).await;
    let none = set(&store, "acme", "a.example.com", client_ca(None)).await;
    assert_eq!(none, NameTls::default());
    assert!(listed(&store).await.is_empty());
    let name = pattern("c.example.com");
    let unknown = store.set_domain_tls(&name, None, minimum(None)).await;
    assert!(matches!(unknown, Err(StoreError::UnknownDomain(_))));
}

async fn only_the_claim_that_is_routed_counts(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    create(&store, "globex").await;
    add(&store, "acme", "a.example.com").await;
    let pending = Claim {
        state: DomainState::Pending,
        trusted: false,
    };
    let (globex, name) = (by("globex"), pattern("a.example.com"));
    store.add_domain(&globex, &name, pending).await.unwrap();
    set(&store, "globex", "a.example.com", client_ca(Some("theirs"))).await;
    assert!(listed(&store).await.is_empty(), "nobody's visitors yet");
    // Without a tenant the one that is routed is meant.
    let own = store.set_domain_tls(&name, None, client_ca(Some("ours")));
    own.await.unwrap();
    let ca = |list: Vec<(String, NameTls)>| list[0].1.client_ca.clone();
    assert_eq!(ca(listed(&store).await).as_deref(), Some("ours"));
}

async fn below_a_wildcard_with_demands_claims_without_are_listed(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    for name in [
        "*.example.com",
        "x.example.com",
        "example.com",
        "x.example.net",
    ] {
        add(&store, "acme", name).await;
    }
    assert!(listed(&store).await.is_empty());
    set(&store, "acme", "*.example.com", client_ca(Some("pem"))).await;
    let listed = listed(&store).await;
    let names: Vec<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["*.example.com", "x.example.com"]);
    assert_eq!(listed[1].1, NameTls::default());
}

async fn a_change_is_told_to_the_nodes_where_it_counts(place: Place) {
    let store = place.open().await;
    let tenant = create(&store, "acme").await;
    add(&store, "acme", "a.example.com").await;
    let since = store.cursor().await.unwrap();
    set(&store, "acme", "a.example.com", client_ca(Some("pem"))).await;
    let told: Vec<_> = changes(&store, since).await;
    let names = vec![key("a.example.com")];
    let id = tenant.id;
    assert_eq!(told, [Changed::Tenant { id, names }]);
}
