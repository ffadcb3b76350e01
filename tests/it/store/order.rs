//! On PostgreSQL transactions run side by side and commit in any order: what the feed and the look-ups say all the same.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use tokio::time::timeout;
use vestibule::config::StoreUrl;
use vestibule::store::{Changed, Claim, FEED_LOCK, RouteSource, StoreError};

use super::feed::changed;
use super::{Place, by, changes, create, found, key, pattern};

/// A connection of the test's own, to be in the way with.
async fn intruder(place: &Place) -> PgConnection {
    let StoreUrl::Postgres(url) = &place.settings.url else {
        panic!()
    };
    PgConnection::connect(url.expose()).await.unwrap()
}

/// Returns once somebody waits for a lock in this database.
async fn somebody_waits(connection: &mut PgConnection) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let poll = async {
        while connection
            .fetch_one(waiting)
            .await
            .unwrap()
            .get::<i64, _>(0)
            == 0
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), poll)
        .await
        .expect("nobody waits");
}

/// A number is taken, its transaction is still open: nobody else may show a higher one before.
#[tokio::test]
async fn no_number_overtakes_one_that_is_not_yet_committed() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let start = store.cursor().await.unwrap();
    let (mut slow, mut eye) = (intruder(&place).await, intruder(&place).await);
    let mut open = slow.begin().await.unwrap();
    open.execute(AssertSqlSafe(format!(
        "select pg_advisory_xact_lock({FEED_LOCK})"
    )))
    .await
    .unwrap();
    open.execute(
        "insert into changes (position, at, kind, names) values (1, 0, 'signing_keys', '[]')",
    )
    .await
    .unwrap();

    let writer = tokio::spawn({
        let store = store.clone();
        async move { create(&store, "acme").await.id }
    });
    somebody_waits(&mut eye).await;
    assert_eq!(changes(&store, start).await, [], "neither is visible");
    assert_eq!(store.lookup(&key("acme")).await.unwrap().at, start);

    open.commit().await.unwrap();
    let id = writer.await.unwrap();
    assert_eq!(
        changes(&store, start).await,
        [Changed::SigningKeys, changed(id, &["acme"])]
    );
}

/// The one that began first commits last: its number is the higher one, although its rows were written before.
#[tokio::test]
async fn a_transaction_that_commits_late_is_numbered_late() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let early = create(&store, "early").await.id;
    let start = store.cursor().await.unwrap();
    let (mut slow, mut eye) = (intruder(&place).await, intruder(&place).await);
    let mut open = slow.begin().await.unwrap();
    open.execute("select 1 from tenants for update")
        .await
        .unwrap();

    let held = tokio::spawn({
        let store = store.clone();
        async move { store.suspend_tenant(&by("early")).await.unwrap() }
    });
    somebody_waits(&mut eye).await;
    let late = create(&store, "late").await.id;
    assert_eq!(changes(&store, start).await, [changed(late, &["late"])]);
    let behind_it = store.cursor().await.unwrap();

    open.rollback().await.unwrap();
    held.await.unwrap();
    assert_eq!(
        changes(&store, behind_it).await,
        [changed(early, &[])],
        "the follower has not passed it by"
    );
}

/// A domain that moves belongs to the one or the other in every look-up, never to nobody.
#[tokio::test]
async fn a_moving_domain_is_never_nobodys() {
    let place = Place::postgres().await;
    let store = Arc::new(place.open().await);
    create(&store, "acme").await;
    create(&store, "globex").await;
    let name = pattern("shop.example.com");
    store
        .add_domain(&by("acme"), &name, Claim::TRUSTED)
        .await
        .unwrap();
    let mover = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for to in ["globex", "acme"].into_iter().cycle().take(30) {
                store
                    .move_domain(&pattern("shop.example.com"), &by(to))
                    .await?;
            }
            Ok::<_, StoreError>(())
        }
    });
    while !mover.is_finished() {
        assert!(found(&store, "shop.example.com").await.is_some());
    }
    mover.await.unwrap().unwrap();
}
