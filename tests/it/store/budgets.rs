//! What CAs let us do, shared by all nodes; and rows of work that one node has at a time.

use std::time::Duration;

use futures_util::future::join_all;
use vestibule::clock::Timestamp;
use vestibule::model::DomainState;
use vestibule::store::{
    AccountClaim, AcmeAccount, AtCa, Bucket, CertificateOrder, Charge, Claim, Hold, ORDER_LEASE,
    OrderClass, OrderStage, Placing, Store,
};

use super::certificates::{sealer, started};
use super::{Place, by, create, pattern};

on_both_engines!(
    no_two_nodes_spend_the_same,
    what_is_given_back_can_be_spent_again,
    a_row_is_leased_to_one_node_until_its_lease_ends,
    tenants_have_their_turns,
    an_account_is_registered_by_one_node,
    a_ca_is_left_alone_for_as_long_as_any_node_was_told,
    rows_of_a_ca_that_is_gone_ask_the_first_one,
);

const BUCKET: Bucket = Bucket {
    name: "orders",
    capacity: 3,
    refill: Duration::from_secs(60),
};

fn charge(name: &str) -> Charge {
    Charge {
        ca: "ca".into(),
        bucket: BUCKET,
        name: name.into(),
    }
}

const ANY: OrderClass<'_> = OrderClass::New(AtCa {
    ca: "ca",
    first: true,
});

/// Gives `tenant` verified names, with their rows.
async fn want(store: &Store, tenant: &str, names: impl IntoIterator<Item = String>) {
    for name in names {
        let claim = Claim {
            state: DomainState::Verified,
            trusted: false,
        };
        store
            .add_domain(&by(tenant), &pattern(&name), claim)
            .await
            .unwrap();
    }
    store.sweep_domains(None, 1_000).await.unwrap();
}

async fn lease(store: &Store, holder: &str, many: u32) -> Vec<CertificateOrder> {
    store.lease_orders(ANY, holder, many).await.unwrap()
}

async fn left(store: &Store, charge: &Charge) -> u32 {
    let charges = std::slice::from_ref(charge);
    let room = store.acme_room(&charge.ca, charges).await.unwrap();
    room.left[0].0
}

fn names(orders: &[CertificateOrder]) -> Vec<String> {
    orders.iter().map(|it| it.pattern.to_string()).collect()
}

async fn no_two_nodes_spend_the_same(place: Place) {
    let (store, sealer) = started(&place).await;
    create(&store, "acme").await;
    want(&store, "acme", (0..12).map(|n| format!("n{n}.test"))).await;
    let others = [place.open().await, place.open().await];
    let orders = lease(&store, "node", 12).await;
    let charges = [charge(""), charge("more")];
    let place_one = |(number, order): (usize, &CertificateOrder)| {
        let (store, order) = (others[number % 2].clone(), order.clone());
        let (charges, sealer) = (charges.clone(), sealer.clone());
        async move {
            let placing = CertificateOrder {
                stage: OrderStage::Placing,
                ..order
            };
            let done = store.begin_placing(&placing, "node", &charges, &sealer);
            done.await.unwrap()
        }
    };
    let done = join_all(orders.iter().enumerate().map(place_one)).await;
    let paid = done.iter().filter(|it| **it == Placing::Paid).count();
    assert_eq!(paid, 3);
    let later = place.clock.now().plus(BUCKET.refill);
    assert!(done.iter().all(|it| match it {
        Placing::Short(short) => short.until <= later && short.bucket == BUCKET.name,
        other => *other == Placing::Paid,
    }));
    assert_eq!(left(&store, &charge("")).await, 0);
    place.clock.shift(60_000);
    assert_eq!(left(&store, &charge("")).await, 1);
}

async fn what_is_given_back_can_be_spent_again(place: Place) {
    let (store, sealer) = started(&place).await;
    create(&store, "acme").await;
    want(&store, "acme", ["a.test".to_owned()]).await;
    let order = lease(&store, "node", 1).await.remove(0);
    let charges = [charge(""), charge("x")];
    for _ in 0..3 {
        let done = store.begin_placing(&order, "node", &charges, &sealer).await;
        assert_eq!(done.unwrap(), Placing::Paid);
    }
    let price = store.acme_price("ca", &charges).await.unwrap();
    assert!(price.short.is_some_and(|it| it.until > place.clock.now()));
    store
        .save_order(&order, "node", Hold::Keep, &charges[1..])
        .await
        .unwrap();
    assert_eq!(left(&store, &charges[0]).await, 0);
    assert_eq!(left(&store, &charges[1]).await, 1);
    place.clock.shift(180_000);
    assert_eq!(store.prune_acme_budgets().await.unwrap(), 2);
    assert_eq!(left(&store, &charges[0]).await, 3);
}

async fn a_row_is_leased_to_one_node_until_its_lease_ends(place: Place) {
    let (store, _) = started(&place).await;
    create(&store, "acme").await;
    want(&store, "acme", (0..5).map(|n| format!("n{n}.test"))).await;
    let mut first = lease(&store, "one", 3).await;
    let second = lease(&store, "two", 5).await;
    assert_eq!((first.len(), second.len()), (3, 2));
    // Who saves keeps the lease; who does not loses it.
    let long = i64::try_from(ORDER_LEASE.as_millis()).unwrap();
    place.clock.shift(long - 1_000);
    let mine = first.remove(0);
    let save = async |hold| {
        let saved = store.save_order(&mine, "one", hold, &[]).await;
        saved.unwrap()
    };
    assert!(save(Hold::Keep).await);
    place.clock.shift(2_000);
    let taken = lease(&store, "two", 5).await;
    assert_eq!(taken.len(), 4);
    assert!(!names(&taken).contains(&mine.pattern.to_string()));
    let late = store.save_order(&first[0], "one", Hold::Keep, &[]).await;
    assert!(!late.unwrap(), "it is another's now");
    assert!(save(Hold::Release).await);
    assert_eq!(lease(&store, "two", 5).await, [mine]);
    let due = store.due_stages().await.unwrap();
    assert!(!due.due && !due.in_flight && !due.kept);
}

async fn tenants_have_their_turns(place: Place) {
    let (store, _) = started(&place).await;
    for tenant in ["a", "b", "c"] {
        create(&store, tenant).await;
    }
    want(&store, "a", (0..50).map(|n| format!("a{n:02}.test"))).await;
    place.clock.shift(1_000);
    want(&store, "b", (0..2).map(|n| format!("b{n}.test"))).await;
    want(&store, "c", ["c.test".to_owned()]).await;
    let mut served = Vec::new();
    for _ in 0..6 {
        served.extend(names(&lease(&store, "node", 1).await));
    }
    served[..3].sort_unstable();
    assert_eq!(served[..3], ["a00.test", "b0.test", "c.test"]);
    served[3..5].sort_unstable();
    assert_eq!(served[3..], ["a01.test", "b1.test", "a02.test"]);
    // Somebody new does not wait behind those who were served before.
    create(&store, "d").await;
    want(&store, "d", ["d.test".to_owned()]).await;
    assert_eq!(names(&lease(&store, "node", 1).await), ["d.test"]);
}

async fn an_account_is_registered_by_one_node(place: Place) {
    let store = place.open().await;
    let sealer = sealer(&place, &store).await;
    let claim = async |holder: &str| store.claim_acme_account("ca", holder).await.unwrap();
    assert_eq!(claim("one").await, AccountClaim::Register);
    assert_eq!(claim("two").await, AccountClaim::Busy);
    store.release_acme_account("ca", "two").await.unwrap();
    assert_eq!(claim("two").await, AccountClaim::Busy);
    store.release_acme_account("ca", "one").await.unwrap();
    assert_eq!(claim("two").await, AccountClaim::Register);
    // Who dies over it is succeeded.
    place.clock.shift(61_000);
    assert_eq!(claim("one").await, AccountClaim::Register);
    let account = AcmeAccount {
        url: "https://ca.test/1".into(),
        sealed_credentials: sealer.seal(&AcmeAccount::purpose("ca"), b"x"),
    };
    store
        .keep_acme_account("ca", &account, &sealer)
        .await
        .unwrap();
    assert_eq!(claim("two").await, AccountClaim::Kept(account.clone()));
    let url = store.acme_account_url("ca").await.unwrap();
    assert_eq!(url, Some(account.url));
}

async fn a_ca_is_left_alone_for_as_long_as_any_node_was_told(place: Place) {
    let store = place.open().await;
    let now = place.clock.now();
    let (long, short) = (
        now.plus(Duration::from_secs(100)),
        now.plus(Duration::from_secs(10)),
    );
    store.hold_ca("ca", long).await.unwrap();
    store.hold_ca("ca", short).await.unwrap();
    assert_eq!(store.acme_room("ca", &[]).await.unwrap().held_until, long);
    let room = store.acme_room("other", &[]).await.unwrap();
    assert_eq!(room.held_until, Timestamp(0));
}

async fn rows_of_a_ca_that_is_gone_ask_the_first_one(place: Place) {
    let (store, _) = started(&place).await;
    create(&store, "acme").await;
    want(&store, "acme", ["a.test".to_owned()]).await;
    let mut order = lease(&store, "node", 1).await.remove(0);
    order.ca = Some("gone".into());
    store
        .save_order(&order, "node", Hold::Release, &[])
        .await
        .unwrap();
    assert!(lease(&store, "node", 1).await.is_empty());
    store.ask_only(&["ca", "other"]).await.unwrap();
    assert_eq!(lease(&store, "node", 1).await[0].ca, None);
}
