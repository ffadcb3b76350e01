//! A node's clock beside the database's.

use vestibule::metrics::Metrics;
use vestibule::tasks::clocks::ClockTask;

use super::Place;

#[tokio::test]
async fn a_clock_that_is_far_off_is_told() {
    let place = Place::postgres().await;
    let task = ClockTask {
        store: place.open().await,
        metrics: Metrics::new(0).unwrap(),
    };
    assert!(!task.compare().await.unwrap(), "one machine, one clock");
    // A minute ahead of it, and a minute behind.
    for (shift, sign) in [(60_000, 1.0), (-120_000, -1.0)] {
        place.clock.shift(shift);
        assert!(task.compare().await.unwrap());
        let shown = task.metrics.clock_skew.get() * sign;
        assert!(shown > 40.0 && shown < 80.0, "{shown}");
    }
}

#[tokio::test]
async fn an_embedded_store_has_no_clock_of_its_own() {
    let place = Place::sqlite();
    let store = place.open().await;
    place.clock.shift(60_000);
    assert_eq!(store.clock_skew().await.unwrap(), None);
}
