//! Opening: who may make a store, who may migrate it, and how many connections each holds.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::time::{Instant, sleep};

use crate::clock::Clock;
use crate::config::{self, StoreUrl};
use crate::metrics::Metrics;

use super::embedded::EmbeddedFile;
use super::{Followed, Inner, Pools, Store, StoreError, migrations};

/// Readers of an embedded store; the one writer has a connection of its own.
const SQLITE_READERS: u32 = 4;
/// How long several processes that open a new SQLite file at once may get in each other's way. Switching to WAL answers
/// `SQLITE_BUSY` without asking the busy handler.
const SQLITE_OPEN: Duration = Duration::from_secs(10);

/// What a process opens the store for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// `run`, `dev`: made and migrated where needed (by the owner's role where one is set, else only checked).
    Serve,
    /// Any other command: one that is there, of this program's version; one connection.
    Command,
    /// `store migrate`: made and migrated as the owner.
    Migrate,
}

impl Store {
    /// Opens the store. [`StoreError::Missing`] where `access` is `Command` and there is none. `Serve` and `Migrate` are safe for
    /// several processes at once.
    pub async fn open(
        settings: &config::Store,
        access: Access,
        clock: Clock,
        metrics: Option<Arc<Metrics>>,
    ) -> Result<Self, StoreError> {
        let url = match (access, &settings.owner_url) {
            (Access::Migrate, Some(owner)) => owner,
            _ => &settings.url,
        };
        let place = place(url)?;
        let (pools, followed) = match url {
            StoreUrl::Sqlite(file) => sqlite(file, settings, access, &place).await?,
            StoreUrl::Postgres(url) => postgres(url.expose(), settings, access)?,
        };
        let inner = Inner::new(settings, pools, followed, clock, metrics);
        let store = Self {
            inner: Arc::new(inner),
            actor: "system".into(),
            slug_cooloff: super::SLUG_COOLOFF,
        };
        let prepare = async {
            match access {
                Access::Command => migrations::check(&store.inner, &place).await,
                Access::Serve if settings.owner_url.is_some() => {
                    migrations::check(&store.inner, &place).await
                }
                Access::Serve => migrations::run(&store.inner).await,
                Access::Migrate => {
                    migrations::run(&store.inner).await?;
                    store.admit(settings).await
                }
            }
        };
        let prepared = store.timed("open", super::BULK, prepare).await;
        match prepared {
            Ok(()) => Ok(store),
            Err(error) => Err(store.explained(error, access, &place).await),
        }
    }

    /// Lets the role of `url` read and write the tables that the role of `owner_url` made.
    async fn admit(&self, settings: &config::Store) -> Result<(), StoreError> {
        let (StoreUrl::Postgres(url), Some(StoreUrl::Postgres(owner))) =
            (&settings.url, &settings.owner_url)
        else {
            return Ok(());
        };
        let role = options(url.expose())?.get_username().to_owned();
        if role == options(owner.expose())?.get_username() {
            return Ok(());
        }
        let mut tx = self.writing().await?;
        tx.grant(&role).await?;
        tx.finish_unannounced().await
    }
}

async fn sqlite(
    file: &Path,
    settings: &config::Store,
    access: Access,
    place: &str,
) -> Result<(Pools, Followed), StoreError> {
    let base = SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(settings.timeout)
        .synchronous(SqliteSynchronous::Normal)
        .create_if_missing(false);
    if access == Access::Command && !file.exists() {
        return Err(StoreError::Missing {
            place: place.into(),
        });
    }
    if access != Access::Command {
        make_file(file).map_err(|source| StoreError::Create {
            place: place.into(),
            source,
        })?;
    }
    let embedded = Arc::new(EmbeddedFile::new(file.to_owned()));
    let pool = |many| sqlite_pool(&embedded, settings, many);
    let (read, write) = if access == Access::Command {
        let only = pool(1).connect_lazy_with(base.clone());
        (only.clone(), only)
    } else {
        let write = sqlite_writer(&pool(1), &base).await;
        let write = write.map_err(|error| error.of_file(place))?;
        (pool(SQLITE_READERS).connect_lazy_with(base.clone()), write)
    };
    let followed = Followed::Sqlite(base, Arc::clone(&embedded));
    let pools = Pools::Sqlite {
        file: embedded,
        read,
        write,
    };
    Ok((pools, followed))
}

/// Connections that are kept for good, as long as they lead to the file that is there.
fn sqlite_pool(file: &Arc<EmbeddedFile>, settings: &config::Store, many: u32) -> SqlitePoolOptions {
    let file = Arc::clone(file);
    SqlitePoolOptions::new()
        .before_acquire(move |_, connection| {
            let leads_there = file.is_led_to(connection.age);
            Box::pin(async move { Ok(leads_there) })
        })
        .max_connections(many)
        .acquire_timeout(settings.timeout)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// The first connection switches the file to WAL.
async fn sqlite_writer(
    pool: &SqlitePoolOptions,
    base: &SqliteConnectOptions,
) -> Result<sqlx::SqlitePool, StoreError> {
    let wal = base.clone().journal_mode(SqliteJournalMode::Wal);
    let deadline = Instant::now() + SQLITE_OPEN;
    loop {
        let opened = pool.clone().connect_with(wal.clone()).await;
        match opened.map_err(StoreError::from) {
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {
                sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

/// Makes the file, empty, so that it and what SQLite puts beside it (which takes its mode) are its owner's only.
fn make_file(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map(drop)
}

fn postgres(
    url: &str,
    settings: &config::Store,
    access: Access,
) -> Result<(Pools, Followed), StoreError> {
    let many = match access {
        Access::Serve => settings.connections.max(1),
        Access::Command | Access::Migrate => 1,
    };
    // A separate address for LISTEN says that the other one leads to a transaction pooler.
    let pooler = access != Access::Migrate && settings.listen_url.is_some();
    let mut main = options(url)?;
    if pooler {
        main = main.statement_cache_capacity(0);
    } else {
        main = main.options([(
            "statement_timeout",
            settings.timeout.as_millis().to_string(),
        )]);
    }
    let listen = match &settings.listen_url {
        Some(StoreUrl::Postgres(listen)) => options(listen.expose())?,
        _ => options(url)?,
    };
    let pool = PgPoolOptions::new()
        .max_connections(many)
        .min_connections(u32::from(access == Access::Serve))
        .acquire_timeout(settings.timeout)
        .connect_lazy_with(main);
    Ok((Pools::Postgres { pool, pooler }, Followed::Postgres(listen)))
}

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(StoreError::Address)?;
    Ok(options.application_name("vestibule"))
}

/// Where the store is, for people: never with a password.
fn place(url: &StoreUrl) -> Result<String, StoreError> {
    Ok(match url {
        StoreUrl::Sqlite(file) => file.display().to_string(),
        StoreUrl::Postgres(url) => {
            let options = options(url.expose())?;
            let host = match options.get_socket() {
                Some(socket) => format!("[{}]", socket.display()),
                None => options.get_host().to_owned(),
            };
            let database = options.get_database().unwrap_or(options.get_username());
            let (user, port) = (options.get_username(), options.get_port());
            format!("postgres://{user}@{host}:{port}/{database}")
        }
    })
}
