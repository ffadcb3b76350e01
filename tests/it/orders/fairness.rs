//! Whose turn it is.

use super::*;

on_both_engines!(g14_a_tenant_with_two_thousand_names_delays_anothers_one_by_no_more_than_a_few);

async fn g14_a_tenant_with_two_thousand_names_delays_anothers_one_by_no_more_than_a_few(
    place: Place,
) {
    const MANY: usize = 2_000;
    let world = World::new(place, 1).await;
    create(&world.store, "big").await;
    import(&world.store, "big", MANY).await;
    let node = world.node();
    // The budget is spent on them.
    world.work(&node, HOUR).await;
    let before = world.ca().many();
    assert!((300..500).contains(&before), "{before}");
    create(&world.store, "small").await;
    world.verified("small", "shop.small.test").await;
    let told = world.node();
    world.work(&told, MINUTE * 5).await;
    let later: Vec<_> = world.ca().books(|books| {
        let names = books.orders[before..].iter();
        names.map(|order| order.name.to_string()).collect()
    });
    let place = later.iter().position(|name| name == "shop.small.test");
    assert!(
        place.is_some_and(|place| place <= 2),
        "{place:?} of {later:?}"
    );
    assert!(world.is_kept("shop.small.test").await);
}

/// Gives `tenant` so many verified names, each below a registered domain of its own.
async fn import(store: &Store, tenant: &str, many: usize) {
    let claim = Claim {
        state: DomainState::Verified,
        trusted: false,
    };
    for number in 0..many {
        let name = pattern(&format!("shop.{tenant}-{number}.test"));
        store.add_domain(&by(tenant), &name, claim).await.unwrap();
    }
}
