//! Many names and their renewals, over two months: what the CA publishes is never exceeded, and no renewal comes too late.

use std::collections::HashMap;

use super::fairness::import;
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

#[tokio::test]
async fn g18_many_names_never_exceed_the_limits_and_no_renewal_is_late() {
    simulate(800).await;
}

/// As many as an operator with a large shop imports in one go.
#[tokio::test]
#[ignore = "takes minutes: the same as above with more names"]
async fn g18_five_thousand_names_never_exceed_the_limits_and_no_renewal_is_late() {
    simulate(5_000).await;
}

#[expect(
    clippy::print_stdout,
    reason = "the figure is for whoever runs it alone"
)]
async fn simulate(many: usize) {
    let started = std::time::Instant::now();
    let mut world = World::new(Place::sqlite(), 1).await;
    world.look_every = DAY;
    create(&world.store, "big").await;
    create(&world.store, "other").await;
    import(&world.store, "big", many - 200).await;
    import(&world.store, "other", 140).await;
    // Below one registered domain, of which the CA certifies 50 a week.
    for number in 0..60 {
        world
            .verified("other", &format!("n{number}.one-domain.test"))
            .await;
    }
    let node = world.node();
    world.work(&node, DAY * 58).await;
    let orders = world.ca().books(|books| books.orders.clone());
    println!("{} orders in {:?}", orders.len(), started.elapsed());
    let mut by_name: HashMap<String, Vec<i64>> = HashMap::new();
    for order in &orders {
        by_name
            .entry(order.name.to_string())
            .or_default()
            .push(order.at);
    }
    assert_eq!(by_name.len(), many, "every name has a certificate");
    let new: Vec<i64> = by_name.values().map(|times| times[0]).collect();
    let sorted = |mut times: Vec<i64>| {
        times.sort_unstable();
        times
    };
    let new = sorted(new);
    assert_eq!(exceeds(&new, 300, Duration::from_secs(36)), None);
    // Nearly 300 at once, the others one every 36 s: that is as fast as the CA lets it be, but for a second's chance here and there.
    let took = new[many - 61] - new[0];
    assert!(
        took < 36_000 * i64::try_from(many).unwrap() - 3_600_000,
        "{took}"
    );
    let domain = by_name
        .iter()
        .filter(|(name, _)| name.ends_with("one-domain.test"));
    let domain = sorted(domain.map(|(_, times)| times[0]).collect());
    assert_eq!(exceeds(&domain, 50, MINUTE * 202), None);
    for (name, times) in &by_name {
        assert_eq!(exceeds(times, 5, HOUR * 34), None, "{name}");
        // 90 days of life less an hour: between 55.5 and 60 days, and the slots that others had.
        for pair in times.windows(2) {
            let after = (pair[1] - pair[0]) / 3_600_000;
            assert!((24 * 55..24 * 60 + 1).contains(&after), "{name}: {after} h");
        }
    }
    let renewed = by_name.values().filter(|times| times.len() == 2).count();
    assert!(renewed > many / 10, "{renewed}");
    let all = sorted(orders.iter().map(|order| order.at).collect());
    // Ours, and so without room for what is long on its way.
    assert_eq!(exceeds(&all, 60, Duration::from_secs(1)), None);
}
