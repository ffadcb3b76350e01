//! Waiting for a change: only shortens the wait, whoever follows the feed asks again after it anyway.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, Row, SqliteConnection};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::changes::CHANNEL;
use super::embedded::{EmbeddedFile, FileId};
use super::{Followed, Store};
use crate::model::Causes;

/// How often an embedded store is asked whether another process has written: often enough that a change by the command line is in
/// force before anybody has typed the next line.
const SQLITE_POLL: Duration = Duration::from_millis(50);
/// How long such a trial, or a new connection, may take.
const TRIAL: Duration = Duration::from_secs(2);

/// Waits for changes of the store; see [`Store::watch`].
pub struct ChangeWatch {
    /// Writes of this process.
    written: watch::Receiver<u64>,
    poll: Duration,
    /// How often a silent LISTEN connection is tried: one that a firewall has forgotten would never say so.
    heartbeat: Duration,
    source: Source,
}

enum Source {
    Sqlite {
        options: sqlx::sqlite::SqliteConnectOptions,
        file: Arc<EmbeddedFile>,
        connection: Option<Watched>,
    },
    Postgres {
        options: Box<sqlx::postgres::PgConnectOptions>,
        listener: Option<PgListener>,
        /// When it is tried next.
        trial: Instant,
    },
}

/// A connection to an embedded store.
struct Watched {
    open: SqliteConnection,
    /// The file that was there when it was made.
    id: Option<FileId>,
    /// The data version when it was last asked.
    seen: i64,
}

impl Store {
    /// A watch of its own connection, made when it is first used.
    pub fn watch(&self) -> ChangeWatch {
        let source = match self.inner.followed.clone() {
            Followed::Sqlite(options, file) => Source::Sqlite {
                options,
                file,
                connection: None,
            },
            Followed::Postgres(options) => Source::Postgres {
                options: Box::new(options),
                listener: None,
                trial: Instant::now() + self.inner.heartbeat,
            },
        };
        ChangeWatch {
            written: self.inner.written.subscribe(),
            poll: self.inner.poll,
            heartbeat: self.inner.heartbeat,
            source,
        }
    }
}

impl ChangeWatch {
    /// Returns when something may have changed since it last returned: a write of this process at once, one of another as soon as
    /// it is noticed, on PostgreSQL also after the poll interval, and when the connection was lost or has been made (what happened
    /// meanwhile was not seen). Never fails: without a store it waits for the poll interval. Can be dropped while it waits.
    pub async fn changed(&mut self) {
        let times = (self.poll, self.heartbeat);
        tokio::select! {
            // Nobody writes any more once the last handle on the store is gone; the branch then is no more.
            Ok(()) = self.written.changed() => {}
            () = self.source.changed(times) => {}
        }
    }
}

impl Source {
    async fn changed(&mut self, (poll, heartbeat): (Duration, Duration)) {
        match self {
            Self::Sqlite {
                options,
                file,
                connection,
            } => sqlite(options, file, connection, poll).await,
            Self::Postgres {
                options,
                listener,
                trial,
            } => {
                if postgres(options, listener, *trial, poll).await {
                    *trial = Instant::now() + heartbeat;
                }
            }
        }
    }
}

async fn sqlite(
    options: &sqlx::sqlite::SqliteConnectOptions,
    file: &EmbeddedFile,
    connection: &mut Option<Watched>,
    poll: Duration,
) {
    let Some(Watched { open, id, seen }) = connection else {
        // Before it is opened: where it is replaced in between, that is noticed at the next look.
        let id = file.look();
        if let Ok(mut open) = options.connect().await
            && let Ok(seen) = data_version(&mut open).await
        {
            *connection = Some(Watched { open, id, seen });
            return;
        }
        return sleep(poll).await;
    };
    loop {
        sleep(SQLITE_POLL).await;
        if file.look() != *id {
            // What is open is nobody's store any more, and says of itself that nothing changes.
            *connection = None;
            return;
        }
        match data_version(open).await {
            Ok(version) if version == *seen => {}
            Ok(version) => {
                *seen = version;
                return;
            }
            Err(error) => {
                tracing::warn!(error = %Causes(&error), "the store could not be watched, it is opened again");
                *connection = None;
                return;
            }
        }
    }
}

/// Grows with every commit of another connection, of this process or another.
async fn data_version(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    connection
        .fetch_one("pragma data_version")
        .await?
        .try_get(0)
}

/// True where the connection has just been tried or made.
async fn postgres(
    options: &sqlx::postgres::PgConnectOptions,
    listener: &mut Option<PgListener>,
    trial: Instant,
    poll: Duration,
) -> bool {
    let Some(open) = listener else {
        match timeout(TRIAL, listen(options)).await {
            Ok(Ok(open)) => *listener = Some(open),
            Ok(Err(error)) => {
                tracing::debug!(error = %Causes(&error), "no connection to listen on");
                sleep(poll).await;
            }
            Err(_) => {}
        }
        return listener.is_some();
    };
    let (alive, tried) = tokio::select! {
        received = open.try_recv() => (matches!(received, Ok(Some(_))), false),
        () = sleep_until(trial) => {
            let answer = timeout(TRIAL, open.execute("select 1")).await;
            (matches!(answer, Ok(Ok(_))), true)
        }
        () = sleep(poll) => (true, false),
    };
    if alive {
        while open.next_buffered().is_some() {}
    } else {
        *listener = None;
    }
    tried
}

async fn listen(options: &sqlx::postgres::PgConnectOptions) -> sqlx::Result<PgListener> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    // It is made anew here instead, so that the first wait behind a lost connection ends at once.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}
