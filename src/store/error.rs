//! What can go wrong in the store, named; the operator's message, and a hint where there is one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::model::{Causes, DomainPattern, DomainState, Slug, SlugError, TenantState};
use crate::seal::SealError;

use super::backup::BackupError;
use super::import::ImportFault;
use super::reach;

/// Failures of the store.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum StoreError {
    // The place.
    #[error("there is no store at {place}")]
    Missing { place: String },
    #[error("the store at {place} cannot be reached")]
    Unreachable {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the store at {place} refuses the login")]
    LoginRefused {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the file at {place} is no SQLite database")]
    NotADatabase {
        place: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("there is no database {place}")]
    NoDatabase { place: String },
    #[error("the store's address cannot be used")]
    Address(#[source] sqlx::Error),
    #[error("{place} cannot be made")]
    Create {
        place: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the store has schema version {found}, this program needs {known}")]
    SchemaOlder { found: i64, known: i64 },
    #[error("the store has schema version {found}, this program knows only up to {known}")]
    SchemaNewer { found: i64, known: i64 },

    // The database.
    #[error("the store cannot be reached or cannot work now")]
    Unavailable(#[source] sqlx::Error),
    #[error("the store did not answer within {after:?}")]
    TimedOut { after: Duration },
    #[error("the store is not open yet")]
    NotOpen,
    /// One failure that several waited for.
    #[error(transparent)]
    Shared(Arc<StoreError>),
    #[error("the store refused a statement")]
    Query(#[source] sqlx::Error),
    #[error("the store holds a {what} that cannot be read: {value:?}")]
    Corrupt { what: &'static str, value: String },

    // Backups.
    #[error("the backup cannot be written")]
    BackupWrite(#[source] std::io::Error),
    #[error("the backup cannot be restored")]
    Backup(#[from] BackupError),
    #[error("the store holds {tenants} tenants, which the backup would replace")]
    NotEmpty { tenants: u64 },

    // Tenants and their names.
    #[error("there is no tenant {0:?}")]
    UnknownTenant(String),
    #[error("the tenant {0} is removed")]
    TenantRemoved(Slug),
    #[error("{0:?} is neither an id nor a slug")]
    BadReference(String, #[source] SlugError),
    #[error("the slug {0} is taken")]
    SlugTaken(Slug),
    #[error("the slug {slug} belonged to a removed tenant and stays reserved until {until}")]
    SlugReserved { slug: Slug, until: Date },
    #[error(
        "the slug {slug} is an alias of {tenant}, which was called so; it stays so until {until}"
    )]
    SlugIsAlias {
        slug: Slug,
        tenant: Slug,
        until: Date,
    },
    #[error("the slug {0} has gone to another tenant, so this one cannot come back under it")]
    SlugGone(Slug),
    #[error("the tenant {slug} is {from}, from there it cannot become {to}", from = from.as_str(), to = to.as_str())]
    Transition {
        slug: Slug,
        from: TenantState,
        to: TenantState,
    },
    #[error("meta is {0} bytes as JSON, more than the {max} that fit in an assertion", max = crate::model::tenant::MAX_META)]
    MetaTooLarge(usize),
    #[error("{field} {reason}")]
    BadText {
        field: &'static str,
        reason: &'static str,
    },
    #[error("{} of the lines cannot be imported, so none was", .0.len())]
    Import(Vec<ImportFault>),
    #[error("somebody else took one of these names meanwhile")]
    Overtaken,

    // Custom domains.
    #[error("nobody has the domain {0}")]
    UnknownDomain(DomainPattern),
    #[error("{tenant} does not claim {pattern}")]
    NotClaimed {
        pattern: DomainPattern,
        tenant: Slug,
    },
    #[error("the domain {pattern} belongs to {tenant}")]
    DomainTaken {
        pattern: DomainPattern,
        tenant: Slug,
    },
    #[error("{tenant} has the domain {pattern} already")]
    DomainExists {
        pattern: DomainPattern,
        tenant: Slug,
    },

    #[error("{pattern} {}, and moves to {tenant} only with {tenant}'s own proof", if state.holds() { "was proved" } else { "is nobody's yet" })]
    MoveNeedsProof {
        pattern: DomainPattern,
        tenant: Slug,
        state: DomainState,
    },

    // Certificates.
    #[error("there is no certificate for {0}")]
    UnknownCertificate(DomainPattern),
    #[error("no certificate is ordered for {0}")]
    NotOrdered(DomainPattern),
    #[error("no certificate is ordered for {pattern}, which is {} and needs its proof first", state.as_str())]
    Unproved {
        pattern: DomainPattern,
        state: DomainState,
    },

    // Webhooks.
    #[error("there is no webhook {0}")]
    UnknownWebhook(Uuid),
    #[error("there is no delivery {0}")]
    UnknownDelivery(i64),

    // Keys.
    #[error("the store was sealed anew, and the sealing key at hand does not open it any more")]
    SealedAnew,
    #[error("there is a signing key {0:?} already")]
    KeyExists(String),
    #[error("no first signing key can be made")]
    FirstKey(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the store holds sealed secrets, and the key that opens them is not at {path}", path = path.display())]
    SealingKeyMissing { path: PathBuf },
    #[error("the key at {path} is not the one that sealed the store's secrets", path = path.display())]
    SealingKeyWrong { path: PathBuf },
}

/// A moment in an error message: the day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(pub i64);

impl StoreError {
    /// Whether the database could not be asked, as opposed to having said no.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_unavailable(),
            Self::Unreachable { .. }
            | Self::Unavailable(_)
            | Self::TimedOut { .. }
            | Self::NotOpen => true,
            _ => false,
        }
    }

    /// What the operator can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Shared(error) => return error.hint(),
            Self::Missing { .. } => "`vestibule run`, `vestibule dev` and `vestibule store migrate` make one; is [store] url right?".into(),
            Self::Unreachable { source, .. } => reach::hint(source).into(),
            Self::LoginRefused { .. } => {
                "are user and password in [store] url right, and does pg_hba.conf let this user in from here?".into()
            }
            Self::NotADatabase { .. } => {
                "does [store] url name the right file? If so it is damaged: move it away and `vestibule store restore` a backup".into()
            }
            Self::NoDatabase { .. } => "make it with `createdb`; its tables come by themselves".into(),
            Self::SchemaOlder { .. } => "run `vestibule store migrate` with this version".into(),
            Self::SchemaNewer { .. } => "a newer version has migrated this store; run that one".into(),
            Self::Transition { from: TenantState::Removed, .. } => "`vestibule tenant restore` brings a removed tenant back".into(),
            Self::TenantRemoved(_) => "`vestibule tenant restore` brings it back".into(),
            Self::DomainTaken { pattern, .. } => format!("`vestibule domain move {pattern} TENANT` moves it"),
            Self::NotClaimed { pattern, .. } => format!("`vestibule domain show {pattern}` says who does"),
            Self::DomainExists { pattern, tenant } => format!(
                "`vestibule domain show {pattern}` says where it stands; it begins anew, as with --trusted, once \
                 `vestibule domain remove {pattern} --tenant {tenant}` has ended it"
            ),
            Self::MoveNeedsProof { pattern, .. } => format!("`vestibule domain show {pattern}` says what to set; it moves when that is seen and `domain move` is run again"),
            Self::SealingKeyMissing { path } | Self::SealingKeyWrong { path } => format!(
                "copy [store] secret_key_file from a node that runs with this store (or from the backup) to {}",
                path.display()
            ),
            Self::NotEmpty { .. } => "`--yes` replaces them; `vestibule store backup` keeps them".into(),
            Self::Backup(BackupError::NewerFormat { .. } | BackupError::NewerSchema { .. }) => {
                "restore it with the version that made it".into()
            }
            Self::Overtaken | Self::SealedAnew => "try again".into(),
            Self::UnknownCertificate(_) => "`vestibule cert list` lists those in the store; files of [tls] directory are not among them".into(),
            Self::NotOrdered(_) => "certificates are ordered by `vestibule run` where [[acme]] is set, for domains that are verified and for the operator's own names; one that was imported is renewed by importing the next".into(),
            Self::Unproved { pattern, .. } => format!("`vestibule domain doctor {pattern}` says which record to set; the certificate is ordered by itself when it is seen"),
            Self::UnknownWebhook(_) => "`vestibule webhook list` lists them".into(),
            Self::UnknownDelivery(_) => "`vestibule webhook show ID` lists the last ones of a webhook".into(),
            _ => return None,
        })
    }

    /// `self`, naming `place` where that is a file which SQLite does not know as its own (code 26, `SQLITE_NOTADB`).
    pub(super) fn of_file(self, place: &str) -> Self {
        match self {
            Self::Query(source)
                if source
                    .as_database_error()
                    .is_some_and(|error| error.code().as_deref() == Some("26")) =>
            {
                let place = place.to_owned();
                Self::NotADatabase { place, source }
            }
            other => other,
        }
    }

    /// Whether a statement failed because a row with the same key is there.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Query(error) if error.as_database_error().is_some_and(|e| e.is_unique_violation()))
    }
}

/// What was read of a row, `None` where it cannot be: that is told in the log and is no reason to stop for all others, who may be many. A
/// node of a later version may have written it.
pub(super) fn readable<T>(
    read: Result<T, StoreError>,
    what: &'static str,
) -> Result<Option<T>, StoreError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(error = %Causes(&error), what, "a row of the store cannot be read and is passed over");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => match database.code() {
                Some(code) if is_outage(&code) => Self::Unavailable(error),
                _ => Self::Query(error),
            },
            sqlx::Error::Configuration(_) => Self::Address(error),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Query(error),
        }
    }
}

/// Whether a database's error code speaks of its own state and not of the statement: PostgreSQL's classes 08 (connection),
/// 53 (resources) and 57 (operator), 25006 (read-only) and 40001/40P01 (lost a race); SQLite's primary codes for busy, locked,
/// read-only, I/O, full, cannot open, protocol.
fn is_outage(code: &str) -> bool {
    if let Ok(number) = code.parse::<u32>()
        && code.len() < 5
    {
        return matches!(number & 0xff, 5 | 6 | 8 | 10 | 13 | 14 | 15);
    }
    matches!(code.get(..2), Some("08" | "53" | "57")) || matches!(code, "25006" | "40001" | "40P01")
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(86_400_000));
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_in_a_calendar() {
        for (millis, text) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_709_164_799_999, "2024-02-28"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(Date(millis).to_string(), text);
        }
    }

    #[test]
    fn an_outage_is_told_from_a_refusal() {
        for code in [
            "08006", "53300", "57P01", "57014", "25006", "5", "261", "8", "13", "1032",
        ] {
            assert!(is_outage(code), "{code}");
        }
        for code in ["23505", "42P01", "22021", "1", "19", "2067", "1555"] {
            assert!(!is_outage(code), "{code}");
        }
    }
}
