//! Many names and their renewals, over two months: what the CA publishes is never exceeded, and no renewal comes too late.

use std::collections::HashMap;

use rand::Rng;
use vestibule::model::Slug;
use vestibule::store::{ImportLine, NewTenant};

use super::ca::Order;
use super::*;

/// A bucket of the CA's own, counted otherwise than ours: whether of `times`, in order, ever more than `capacity` plus what came back in
/// between lies in any span.
fn exceeds(times: &[i64], capacity: usize, refill: Duration) -> Option<(i64, i64)> {
    let refill = i64::try_from(refill.as_millis()).unwrap();
    let most = i64::try_from(capacity).unwrap() * refill;
    // Counted in time: each takes `refill`, and none is left where more than `most` is missing.
    let (mut missing, mut last) = (0, times.first().copied()?);
    for time in times {
        missing = (missing - (time - last)).max(0) + refill;
        if missing > most {
            return Some((last, *time));
        }
        last = *time;
    }
    None
}

#[test]
fn the_cas_own_bucket_is_strict() {
    let second = Duration::from_secs(1);
    assert_eq!(exceeds(&[0, 0, 1_000, 2_000], 2, second), None);
    assert_eq!(exceeds(&[0, 0, 999], 2, second), Some((0, 999)));
}

/// What is due within this time is done in one go, as by a node that was away for a while.
const STRIDE: Duration = Duration::from_secs(20 * 60);

/// As [`World::work`], but in strides of any length up to [`STRIDE`], where that goes from one thing to do to the next: of five thousand
/// names each is worked on by itself then, and most of the time goes by between.
async fn stride(world: &World, node: &Certificates, span: Duration) {
    let mut rng = StdRng::seed_from_u64(18);
    let end = world.now().plus(span);
    while world.now() < end {
        let passed = node.pass().await.unwrap();
        if passed.next <= world.now() {
            continue;
        }
        let least = world.now().plus(STRIDE.mul_f64(rng.random_range(0.0..1.0)));
        let most = world.now().plus(world.look_every).min(end);
        let next = passed.next.max(least).min(most);
        world.place.clock.shift((next.0 - world.now().0).max(0));
    }
}

/// As many as an operator with a large shop imports in one go, and as long as it takes until each is renewed.
#[tokio::test]
async fn g18_five_thousand_names_never_exceed_the_limits_and_no_renewal_is_late() {
    const MANY: usize = 5_000;
    let mut world = World::new(Place::sqlite(), 1).await;
    world.look_every = DAY * 10;
    add(
        &world,
        "big",
        (0..MANY - 200).map(|it| format!("shop.big-{it}.test")),
    )
    .await;
    // Of another tenant, and below one registered domain, of which the CA certifies 50 a week.
    let below_one = (0..60).map(|it| format!("n{it}.one-domain.test"));
    let others = (0..140).map(|it| format!("shop.other-{it}.test"));
    add(&world, "other", others.chain(below_one)).await;
    let node = world.node();
    stride(&world, &node, DAY * 63).await;
    let orders = world.ca().books(|books| books.orders.clone());
    let mut by_name: HashMap<String, Vec<i64>> = HashMap::new();
    for order in &orders {
        let times = by_name.entry(order.name.to_string()).or_default();
        times.push(order.at);
    }
    assert_eq!(by_name.len(), MANY, "every name has a certificate");
    never_exceeds_what_the_ca_publishes(&orders, &by_name);
    for (name, times) in &by_name {
        let [first, second] = times[..] else {
            panic!("{name} is renewed once in these days: {times:?}");
        };
        // 90 days of life less an hour: between 55.5 and 60 days, and the strides and the slots that others had.
        let after = (second - first) / 3_600_000;
        assert!((24 * 55..24 * 60 + 1).contains(&after), "{name}: {after} h");
    }
}

/// Verified names of a tenant that is new.
async fn add(world: &World, tenant: &str, names: impl Iterator<Item = String>) {
    let line = ImportLine {
        number: 1,
        tenant: NewTenant::new(Slug::parse(tenant).unwrap()),
        domains: names.map(|name| pattern(&name)).collect(),
    };
    let claim = Claim {
        state: DomainState::Verified,
        trusted: false,
    };
    let import = world.store.import([Ok(line)], claim);
    import.await.unwrap();
}

/// By buckets that are counted otherwise than ours, and as large as the CA says they are.
fn never_exceeds_what_the_ca_publishes(orders: &[Order], by_name: &HashMap<String, Vec<i64>>) {
    let sorted = |mut times: Vec<i64>| {
        times.sort_unstable();
        times
    };
    let first_of = |times: &Vec<i64>| times[0];
    let new = sorted(by_name.values().map(first_of).collect());
    assert_eq!(exceeds(&new, 300, Duration::from_secs(36)), None);
    // Nearly 300 at once, the others one every 36 s: that is as fast as the CA lets it be, but for a second's chance here and there.
    let many = by_name.len();
    let took = new[many - 61] - new[0];
    let most = 36_000 * i64::try_from(many).unwrap() - 3_600_000;
    assert!(took < most, "{took}");
    let of_one = |(name, _): &(&String, &Vec<i64>)| name.ends_with("one-domain.test");
    let of_one = by_name.iter().filter(of_one);
    let of_one = sorted(of_one.map(|(_, times)| times[0]).collect());
    assert_eq!(exceeds(&of_one, 50, MINUTE * 202), None);
    for (name, times) in by_name {
        assert_eq!(exceeds(times, 5, HOUR * 34), None, "{name}");
    }
    let all = sorted(orders.iter().map(|order| order.at).collect());
    // Ours, and so without room for what is long on its way.
    assert_eq!(exceeds(&all, 60, Duration::from_secs(1)), None);
}
