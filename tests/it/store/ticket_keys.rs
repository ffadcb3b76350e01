//! Keys of session tickets: one for all nodes, a new one when it is time, and none for longer than it must be.

use std::time::Duration;

use futures_util::future::join_all;
use uuid::Uuid;
use vestibule::store::{Store, StoreError, TicketKeyLife, TicketKeyRecord, ticket_key_purpose};

use super::Place;

on_both_engines!(
    of_many_nodes_that_start_at_once_one_makes_the_key,
    a_new_key_comes_with_each_period_and_old_ones_go,
    a_key_that_nobody_can_open_is_as_good_as_none,
    what_is_sealed_anew_takes_no_ticket_key_along,
    without_a_sealing_key_there_is_none,
);

const HOUR: Duration = Duration::from_secs(3600);
const LIFE: TicketKeyLife = TicketKeyLife {
    period: Duration::from_secs(12 * 3600),
    keep: Duration::from_secs(25 * 3600),
};

fn seal(id: Uuid) -> Option<Vec<u8>> {
    Some(ticket_key_purpose(id).into_bytes())
}

async fn keys(store: &Store) -> Vec<TicketKeyRecord> {
    store.ticket_keys(LIFE, |_| true, seal).await.unwrap()
}

async fn of_many_nodes_that_start_at_once_one_makes_the_key(place: Place) {
    let nodes = join_all((0..6).map(|_| place.open())).await;
    let seen = join_all(nodes.iter().map(keys)).await;
    assert_eq!(seen[0].len(), 1);
    assert!(seen.iter().all(|keys| *keys == seen[0]), "{seen:?}");
    assert_eq!(seen[0][0].sealed_key, seen[0][0].purpose().into_bytes());
}

async fn a_new_key_comes_with_each_period_and_old_ones_go(place: Place) {
    let store = place.open().await;
    let first = keys(&store).await;
    let mut seen = vec![first[0].id];
    let mut held = Vec::new();
    for _ in 0..5 {
        place.clock.shift(12 * 3_600_000);
        let now = keys(&store).await;
        assert_eq!(keys(&store).await, now, "nothing is due a moment later");
        seen.push(now.last().unwrap().id);
        held.push(now.len());
    }
    // The one in use and the two before it, of which the older one goes an hour later.
    assert_eq!(held, [2, 3, 3, 3, 3]);
    seen.dedup();
    assert_eq!(seen.len(), 6);
    place.clock.shift(HOUR.as_millis().try_into().unwrap());
    let left: Vec<_> = keys(&store).await.iter().map(|key| key.id).collect();
    assert_eq!(left, seen[4..]);
}

async fn a_key_that_nobody_can_open_is_as_good_as_none(place: Place) {
    let store = place.open().await;
    let foreign = keys(&store).await;
    let own = |key: &TicketKeyRecord| key.id != foreign[0].id;
    let both = store.ticket_keys(LIFE, own, seal).await.unwrap();
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], foreign[0], "others may be able to");
}

async fn what_is_sealed_anew_takes_no_ticket_key_along(place: Place) {
    let store = place.open().await;
    let before = keys(&store).await;
    let same = |_: &str, sealed: &[u8]| Ok::<_, StoreError>(sealed.to_vec());
    let resealed = store.reseal(|keys| Ok(keys.to_vec()), same).await.unwrap();
    assert_eq!(resealed, (0, 0));
    assert_ne!(keys(&store).await[0].id, before[0].id);
}

async fn without_a_sealing_key_there_is_none(place: Place) {
    let store = place.open().await;
    let none = store.ticket_keys(LIFE, |_| true, |_| None).await.unwrap();
    assert!(none.is_empty());
    assert_eq!(keys(&store).await.len(), 1);
}
