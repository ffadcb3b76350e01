//! Why a PostgreSQL server could not be had: the pool only says that its time was up, so the server is asked once more, directly.

use std::io;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::open::Access;
use super::{Followed, Store, StoreError};

/// How long the second question may take. A node that starts waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

impl Store {
    /// `error`, which came of opening the store at `place`, as whoever has to do something about it needs to read it.
    pub(super) async fn explained(
        &self,
        error: StoreError,
        access: Access,
        place: &str,
    ) -> StoreError {
        let Followed::Postgres(_) = &self.inner.followed else {
            return error.of_file(place);
        };
        let cause = match error {
            StoreError::TimedOut { .. } | StoreError::Unavailable(sqlx::Error::PoolTimedOut) => {
                match self.ask_directly().await {
                    Some(cause) => cause,
                    // It answers now, or all connections were busy: nothing better can be said.
                    None => return error,
                }
            }
            StoreError::Unavailable(cause) | StoreError::Query(cause) => cause,
            other => return other,
        };
        named(cause, access, place)
    }

    async fn ask_directly(&self) -> Option<sqlx::Error> {
        let super::Pools::Postgres { pool, .. } = &self.inner.pools else {
            return None;
        };
        let options: PgConnectOptions = PgConnectOptions::clone(&pool.connect_options());
        match timeout(PATIENCE, options.connect()).await {
            Ok(Ok(connection)) => {
                let _ = timeout(PATIENCE, connection.close()).await;
                None
            }
            Ok(Err(cause)) => Some(cause),
            Err(_) => {
                let silence = io::Error::new(io::ErrorKind::TimedOut, "nobody answers there");
                Some(sqlx::Error::Io(silence))
            }
        }
    }
}

/// The codes are PostgreSQL's: class 28 is a refused login, 3D000 a database that is not there, class 08 a connection that failed,
/// 53300 too many of them, 57P03 a server that starts or stops.
fn named(cause: sqlx::Error, access: Access, place: &str) -> StoreError {
    let place = place.to_owned();
    let code = match &cause {
        sqlx::Error::Database(error) => error.code().map(std::borrow::Cow::into_owned),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            return StoreError::Unreachable {
                place,
                source: cause,
            };
        }
        _ => None,
    };
    match code.as_deref() {
        Some("3D000") if access == Access::Command => StoreError::Missing { place },
        Some("3D000") => StoreError::NoDatabase { place },
        Some(code) if code.starts_with("28") => StoreError::LoginRefused {
            place,
            source: cause,
        },
        Some("53300" | "57P03") => StoreError::Unreachable {
            place,
            source: cause,
        },
        Some(code) if code.starts_with("08") => StoreError::Unreachable {
            place,
            source: cause,
        },
        _ => cause.into(),
    }
}

/// What to look at where the server cannot be reached because of `cause`.
pub(super) fn hint(cause: &sqlx::Error) -> &'static str {
    match cause {
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nothing listens there: is PostgreSQL running, and are host and port in [store] url right?"
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "is PostgreSQL running on this machine, and is that its socket?"
        }
        sqlx::Error::Tls(_) => "`?sslmode=` in [store] url says how TLS is used",
        sqlx::Error::Database(_) => "the server is there and takes nobody now; try again",
        _ => {
            "are host and port in [store] url right, and is there a way to them from this machine?"
        }
    }
}
