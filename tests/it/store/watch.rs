//! Waiting for changes. The poll interval is an hour here: what ends a wait is the change.

use std::time::Duration;

use tokio::time::timeout;
use vestibule::store::{ChangeWatch, Store};

use super::{Place, create};

on_both_engines!(
    a_write_of_this_process_wakes,
    a_write_of_another_process_wakes,
    nothing_wakes_without_a_change
);

async fn woken(watch: &mut ChangeWatch) {
    timeout(Duration::from_secs(20), watch.changed())
        .await
        .expect("the wait ends");
}

/// Waits through what connecting gives, until only a change can wake.
async fn ready(store: &Store) -> ChangeWatch {
    let mut watch = store.watch();
    woken(&mut watch).await;
    watch
}

async fn a_write_of_this_process_wakes(place: Place) {
    let store = place.open().await;
    let mut watch = ready(&store).await;
    for number in 0..3 {
        create(&store, &format!("t{number}")).await;
        woken(&mut watch).await;
    }
}

async fn a_write_of_another_process_wakes(place: Place) {
    let (node, other) = (place.open().await, place.open().await);
    let mut watch = ready(&node).await;
    for number in 0..3 {
        let before = node.cursor().await.unwrap();
        create(&other, &format!("t{number}")).await;
        woken(&mut watch).await;
        assert_eq!(node.cursor().await.unwrap().position, before.position + 1);
    }
}

async fn nothing_wakes_without_a_change(place: Place) {
    let store = place.open().await;
    create(&store, "acme").await;
    let mut watch = ready(&store).await;
    store.cursor().await.unwrap();
    let quiet = timeout(Duration::from_millis(300), watch.changed()).await;
    assert!(quiet.is_err());
}
