//! A database that goes away, is locked or may not be written: clean errors in bounded time, and healing without a restart.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection, Executor};
use tokio::time::timeout;
use vestibule::config::StoreUrl;
use vestibule::metrics::Metrics;
use vestibule::store::{Access, NewTenant, RouteSource, Store, StoreError};

use super::{Place, create, key, leads, postgres_url, slug, sqlite_connection};
use crate::harness::postgres::Postgres;

/// Long enough for a slow machine to answer in, short enough for a test to wait for.
const SHORT: Duration = Duration::from_secs(2);

async fn until_it_heals(store: &Store) {
    let heal = async {
        while let Err(error) = store.lookup(&key("acme")).await {
            assert!(error.is_unavailable(), "{error:?}");
        }
    };
    timeout(Duration::from_secs(60), heal)
        .await
        .expect("it heals");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_comes_back_is_used_again() {
    let mut server = Postgres::private();
    let database = server.database().await;
    let mut place = Place::at(postgres_url(&database), tempfile::tempdir().unwrap());
    place.settings.timeout = SHORT;
    place.settings.poll = Duration::from_millis(100);
    let metrics = Metrics::new(10).unwrap();
    let open = Store::open(
        &place.settings,
        Access::Serve,
        place.clock.clone(),
        Some(Arc::clone(&metrics)),
    );
    let store = open.await.unwrap();
    create(&store, "acme").await;
    assert_eq!(metrics.store_up.get(), 1);
    let mut watch = store.watch();
    watch.changed().await;

    for violently in [false, true] {
        match violently {
            false => server.stop(),
            true => server.kill9(),
        }
        let lost = store.lookup(&key("acme")).await.unwrap_err();
        assert!(lost.is_unavailable(), "{lost:?}");
        assert_eq!(metrics.store_up.get(), 0);
        timeout(Duration::from_secs(20), watch.changed())
            .await
            .expect("a lost connection ends the wait");

        server.start();
        until_it_heals(&store).await;
        assert_eq!(metrics.store_up.get(), 1);
        let name = format!("after-{violently}");
        create(&store, &name).await;
        assert_eq!(
            leads(&store, &name).await.as_deref(),
            Some(&*name),
            "what it says is kept"
        );
    }
    let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
    assert!(text.contains("vestibule_store_query_seconds_count{query=\"lookup\"}"));
}

/// With an hour between polls only LISTEN can wake, so it must have been set up again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_listens_again_after_a_restart() {
    let mut server = Postgres::private();
    let database = server.database().await;
    let mut place = Place::at(postgres_url(&database), tempfile::tempdir().unwrap());
    let (node, other) = (place.open().await, place.open().await);
    let mut watch = node.watch();
    watch.changed().await;
    server.stop();
    timeout(Duration::from_secs(20), watch.changed())
        .await
        .expect("a lost connection ends the wait");
    server.start();
    timeout(Duration::from_secs(20), watch.changed())
        .await
        .expect("a new connection ends the wait");
    place.settings.timeout = SHORT;
    create(&other, "acme").await;
    timeout(Duration::from_secs(20), watch.changed())
        .await
        .expect("a change ends the wait");
}

#[tokio::test]
async fn a_socket_leads_to_a_store_as_well() {
    let server = Postgres::private();
    let place = Place::at(
        postgres_url(&server.socket_url("postgres")),
        tempfile::tempdir().unwrap(),
    );
    let store = place.open().await;
    create(&store, "acme").await;
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
}

/// Behind a pooler (told by a `listen_url`) nothing is prepared by name and every read is a transaction.
#[tokio::test]
async fn a_pooler_finds_no_prepared_statements() {
    let mut place = Place::postgres().await;
    place.settings.listen_url = Some(place.settings.url.clone());
    let store = place.open().await;
    create(&store, "acme").await;
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
    assert_eq!(store.names().await.unwrap().names.len(), 1);
    let mut watch = store.watch();
    watch.changed().await;
    create(&store, "globex").await;
    timeout(Duration::from_secs(20), watch.changed())
        .await
        .expect("a change ends the wait");
}

#[tokio::test]
async fn a_locked_file_refuses_writes_in_time_and_goes_on_reading() {
    let mut place = Place::sqlite();
    place.settings.timeout = Duration::from_millis(200);
    let store = place.open().await;
    create(&store, "acme").await;
    let StoreUrl::Sqlite(file) = &place.settings.url else {
        panic!()
    };
    let mut intruder = sqlite_connection(file).await;
    intruder.execute("begin immediate").await.unwrap();
    let refused = store
        .create_tenant(NewTenant::new(slug("globex")))
        .await
        .unwrap_err();
    assert!(refused.is_unavailable(), "{refused:?}");
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
    intruder.execute("rollback").await.unwrap();
    create(&store, "globex").await;
}

/// More look-ups than connections, none of which gets an answer: they end in time and leave the connections usable.
#[tokio::test]
async fn a_database_that_does_not_answer_is_given_up_in_time() {
    let mut place = Place::postgres().await;
    place.settings.timeout = Duration::from_millis(300);
    let store = place.open().await;
    create(&store, "acme").await;
    let StoreUrl::Postgres(url) = &place.settings.url else {
        panic!()
    };
    let mut intruder = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    intruder
        .execute("begin; lock table tenants in access exclusive mode")
        .await
        .unwrap();
    let look_ups = (0..12).map(|_| async { store.lookup(&key("acme")).await.unwrap_err() });
    for error in join_all(look_ups).await {
        assert!(error.is_unavailable(), "{error:?}");
    }
    intruder.execute("rollback").await.unwrap();
    until_it_heals(&store).await;
    let again = join_all((0..12).map(|_| leads(&store, "acme"))).await;
    assert!(again.iter().all(Option::is_some));
}

#[tokio::test]
async fn a_database_that_may_not_be_written_goes_on_being_read() {
    let place = Place::postgres().await;
    let StoreUrl::Postgres(url) = &place.settings.url else {
        panic!()
    };
    place.open().await.close().await;
    let mut admin = sqlx::PgConnection::connect(url.expose()).await.unwrap();
    sqlx::raw_sql(
        "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let store = place.open().await;
    let refused = store
        .create_tenant(NewTenant::new(slug("acme")))
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert_eq!(leads(&store, "acme").await, None);
}

/// Nobody listens there: the answer comes within the time that is set.
#[tokio::test]
async fn a_server_that_is_not_there_is_an_outage() {
    let mut place = Place::at(
        postgres_url("postgres://nobody@127.0.0.1:1/none"),
        tempfile::tempdir().unwrap(),
    );
    place.settings.timeout = Duration::from_millis(200);
    for access in [Access::Serve, Access::Command] {
        let error = place.try_open(access).await.err().unwrap();
        assert!(error.is_unavailable(), "{error:?}");
    }
}
