//! Opening: who makes a store, who only finds one, which schemas are refused, how many connections are held.

use std::os::unix::fs::PermissionsExt;

use futures_util::future::join_all;
use sqlx::{Connection, Executor, PgConnection, Row};
use vestibule::config::StoreUrl;
use vestibule::store::{Access, StoreError};

use super::{Place, create, leads, postgres_url};

on_both_engines!(
    a_command_makes_no_store,
    a_command_finds_what_a_node_has_made,
    many_that_start_at_once_make_one_store,
    a_schema_of_another_version_is_refused,
    migrating_twice_changes_nothing,
);

async fn a_command_makes_no_store(place: Place) {
    let missing = place.try_open(Access::Command).await.err().unwrap();
    let StoreError::Missing { place: named } = &missing else {
        panic!("{missing:?}")
    };
    match &place.settings.url {
        StoreUrl::Sqlite(file) => {
            assert_eq!(*named, file.display().to_string());
            assert!(!file.parent().unwrap().exists());
        }
        StoreUrl::Postgres(_) => assert!(
            named.starts_with("postgres://postgres@127.0.0.1:"),
            "{named}"
        ),
    }
    assert!(missing.hint().is_some());
}

async fn a_command_finds_what_a_node_has_made(place: Place) {
    let node = place.open().await;
    let command = place.try_open(Access::Command).await.unwrap();
    create(&command, "acme").await;
    assert_eq!(leads(&node, "acme").await.as_deref(), Some("acme"));
}

async fn many_that_start_at_once_make_one_store(place: Place) {
    let stores = join_all((0..8).map(|_| place.open())).await;
    let cursor = stores[0].cursor().await.unwrap();
    for store in &stores {
        assert_eq!(store.cursor().await.unwrap(), cursor, "one epoch");
    }
    create(&stores[3], "acme").await;
    assert_eq!(leads(&stores[5], "acme").await.as_deref(), Some("acme"));
}

async fn a_schema_of_another_version_is_refused(place: Place) {
    place.open().await.close().await;
    place
        .tamper("insert into vestibule_schema (version, name, applied_at) values (99, 'future', 0)")
        .await;
    for access in [Access::Serve, Access::Command, Access::Migrate] {
        let refused = place.try_open(access).await.err().unwrap();
        assert!(
            matches!(refused, StoreError::SchemaNewer { found: 99, .. }),
            "{access:?} {refused:?}"
        );
        assert!(refused.hint().is_some());
    }
    place.tamper("delete from vestibule_schema").await;
    let refused = place.try_open(Access::Command).await.err().unwrap();
    assert!(
        matches!(refused, StoreError::SchemaOlder { found: 0, .. }),
        "{refused:?}"
    );
}

async fn migrating_twice_changes_nothing(place: Place) {
    let first = place.try_open(Access::Migrate).await.unwrap();
    create(&first, "acme").await;
    let cursor = first.cursor().await.unwrap();
    let second = place.try_open(Access::Migrate).await.unwrap();
    assert_eq!(second.cursor().await.unwrap(), cursor);
    assert_eq!(leads(&second, "acme").await.as_deref(), Some("acme"));
}

#[tokio::test]
async fn an_embedded_store_is_its_owners_only() {
    let place = Place::sqlite();
    let store = place.open().await;
    create(&store, "acme").await;
    let StoreUrl::Sqlite(file) = &place.settings.url else {
        panic!()
    };
    let mut files = 0;
    for entry in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
        files += 1;
    }
    assert_eq!(files, 3, "the database, its log and its index");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let place = Place::sqlite();
    let StoreUrl::Sqlite(file) = &place.settings.url else {
        panic!()
    };
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let text = "these are my notes, ".repeat(100);
    std::fs::write(file, &text).unwrap();
    for access in [Access::Serve, Access::Command] {
        assert!(matches!(
            place.try_open(access).await,
            Err(StoreError::NotADatabase { .. })
        ));
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), text);
}

#[tokio::test]
async fn a_database_that_is_not_there_is_a_missing_store() {
    let mut place = Place::postgres().await;
    let StoreUrl::Postgres(url) = &place.settings.url else {
        panic!()
    };
    let elsewhere = format!("{}_not", url.expose());
    place.settings.url = postgres_url(&elsewhere);
    let missing = place.try_open(Access::Command).await;
    assert!(matches!(missing, Err(StoreError::Missing { place }) if place.ends_with("_not")));
}

#[tokio::test]
async fn a_command_holds_one_connection() {
    let mut place = Place::postgres().await;
    place.settings.connections = 4;
    place.open().await.close().await;
    let command = place.try_open(Access::Command).await.unwrap();
    join_all((0..6).map(|number| {
        let command = &command;
        async move { create(command, &format!("t{number}")).await }
    }))
    .await;
    let StoreUrl::Postgres(url) = &place.settings.url else {
        panic!()
    };
    let mut eye = PgConnection::connect(url.expose()).await.unwrap();
    let count = eye
        .fetch_one(
            "select count(*) from pg_stat_activity where datname = current_database() \
             and application_name = 'vestibule' and pid <> pg_backend_pid()",
        )
        .await
        .unwrap();
    assert_eq!(count.get::<i64, _>(0), 1);
}

/// The owner makes and migrates, the node's role only reads and writes.
#[tokio::test]
async fn a_node_needs_no_right_to_change_the_schema() {
    let mut place = Place::postgres().await;
    let StoreUrl::Postgres(owner) = place.settings.url.clone() else {
        panic!()
    };
    let role = "node_\"of_the\"_tests";
    let mut admin = PgConnection::connect(owner.expose()).await.unwrap();
    sqlx::raw_sql(
        "do $$ begin create role \"node_\"\"of_the\"\"_tests\" login; exception when duplicate_object then null; end $$",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    let node = owner
        .expose()
        .replace("postgres@", &format!("{}@", role.replace('"', "%22")));
    place.settings.owner_url = Some(StoreUrl::Postgres(owner));
    place.settings.url = postgres_url(&node);
    let early = place.try_open(Access::Serve).await;
    assert!(
        matches!(early, Err(StoreError::Missing { .. })),
        "a node does not migrate where an owner is named"
    );
    place.try_open(Access::Migrate).await.unwrap();
    let store = place.open().await;
    create(&store, "acme").await;
    assert_eq!(leads(&store, "acme").await.as_deref(), Some("acme"));
}
