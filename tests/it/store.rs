//! What the store promises, on both engines: each behaviour is one function, run on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use vestibule::clock::Clock;
use vestibule::config::{self, SecretText, StoreUrl};
use vestibule::model::{DomainPattern, Hostname, LookupKey, Route, Slug, Tenant};
use vestibule::store::{
    Access, Changed, Changes, Claim, Cursor, NewTenant, RouteSource, SLUG_COOLOFF, Store,
    StoreError, TenantRef,
};

use crate::harness::postgres;

/// Runs each of the named behaviours on both engines. One that is not named here is unused, which the lints refuse.
macro_rules! on_both_engines {
    ($($behaviour:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $behaviour() { super::$behaviour(crate::store::Place::sqlite()).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $behaviour() { super::$behaviour(crate::store::Place::postgres().await).await })*
        }
    };
}

pub(crate) use on_both_engines;

mod backup;
mod budgets;
mod certificate_owners;
mod certificates;
mod challenges;
mod domain_life;
mod domain_tls;
mod domains;
mod feed;
mod import;
mod keys;
mod names;
mod opening;
mod order;
mod outage;
mod skew;
mod tenants;
mod ticket_keys;
mod watch;
mod webhooks;

/// Where a store is or will be.
pub(crate) struct Place {
    pub(crate) settings: config::Store,
    pub(crate) clock: Clock,
    folder: TempDir,
}

impl Place {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("deep/store.db"));
        Self::at(url, folder)
    }

    pub(crate) async fn postgres() -> Self {
        let url = postgres_url(&postgres::database().await);
        Self::at(url, tempfile::tempdir().unwrap())
    }

    fn at(url: StoreUrl, folder: TempDir) -> Self {
        let settings = config::Store {
            url,
            owner_url: None,
            listen_url: None,
            secret_key_file: folder.path().join("var/secret.key"),
            connections: 4,
            timeout: Duration::from_secs(20),
            // So long that a test which waits for it hangs: what wakes must be the change.
            poll: Duration::from_secs(3600),
            heartbeat: Duration::from_secs(15),
        };
        Self {
            settings,
            clock: Clock::system(),
            folder,
        }
    }

    /// Opens it as a node does; each time like another process, with connections of its own.
    pub(crate) async fn open(&self) -> Store {
        self.try_open(Access::Serve).await.unwrap()
    }

    async fn try_open(&self, access: Access) -> Result<Store, StoreError> {
        Store::open(&self.settings, access, self.clock.clone(), None).await
    }

    /// Runs a statement past the store, as an operator with `sqlite3` or `psql` might.
    async fn tamper(&self, sql: &'static str) {
        match &self.settings.url {
            StoreUrl::Sqlite(file) => {
                let mut connection = sqlite_connection(file).await;
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
            StoreUrl::Postgres(url) => {
                let mut connection = PgConnection::connect(url.expose()).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
        }
    }
}

impl Place {
    /// The `text` of the first row that a query past the store finds.
    async fn text(&self, sql: &'static str) -> String {
        match &self.settings.url {
            StoreUrl::Sqlite(file) => {
                let mut connection = sqlite_connection(file).await;
                let found = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                found.unwrap()
            }
            StoreUrl::Postgres(url) => {
                let mut connection = PgConnection::connect(url.expose()).await.unwrap();
                let found = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
                found.unwrap()
            }
        }
    }
}

fn postgres_url(url: &str) -> StoreUrl {
    StoreUrl::Postgres(SecretText::new(url.to_owned()))
}

async fn sqlite_connection(file: &Path) -> sqlx::SqliteConnection {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap()
}

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

pub(crate) fn by(text: &str) -> TenantRef {
    text.parse().unwrap()
}

pub(crate) fn pattern(text: &str) -> DomainPattern {
    DomainPattern::parse(text).unwrap()
}

/// `slug`, `*.parent` or a name with a dot.
fn key(text: &str) -> LookupKey {
    match text.strip_prefix("*.") {
        Some(parent) => LookupKey::Wildcard(Hostname::parse(parent).unwrap()),
        None if text.contains('.') => LookupKey::Domain(Hostname::parse(text).unwrap()),
        None => LookupKey::Slug(slug(text)),
    }
}

pub(crate) async fn create(store: &Store, text: &str) -> Tenant {
    store
        .create_tenant(NewTenant::new(slug(text)))
        .await
        .unwrap()
}

async fn add(store: &Store, tenant: &str, name: &str) {
    store
        .add_domain(&by(tenant), &pattern(name), Claim::TRUSTED)
        .await
        .unwrap();
}

/// What a visitor's name leads to.
async fn found(store: &Store, text: &str) -> Option<Route> {
    store.lookup(&key(text)).await.unwrap().route
}

/// The slug of whom a visitor's name leads to.
async fn leads(store: &Store, text: &str) -> Option<String> {
    found(store, text).await.map(|route| route.slug.to_string())
}

/// Lets the time pass after which a slug is free.
fn cool_off(place: &Place) {
    let past = SLUG_COOLOFF + Duration::from_secs(1);
    place.clock.shift(i64::try_from(past.as_millis()).unwrap());
}

/// Everything behind `since`; panics where the way back is lost.
async fn changes(store: &Store, since: Cursor) -> Vec<Changed> {
    match store.changes_after(since).await.unwrap() {
        Changes::Next(list) => list.into_iter().map(|change| change.what).collect(),
        Changes::Lost(cursor) => panic!("lost: {since:?} {cursor:?}"),
    }
}
