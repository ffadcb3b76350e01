//! `[store]` and `[cache]`: where routes are kept and what is remembered of them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::notes::Reason;
use super::raw::Place;
use super::secret_file;
use super::section::Section;

/// Which database engine, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// An embedded database in this file.
    Sqlite(PathBuf),
    /// A PostgreSQL server; the text is the whole URL and may hold a password.
    Postgres(SecretText),
}

/// Text that must not be shown, such as a URL with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// `[store]`
#[derive(Debug, Clone)]
pub struct Store {
    /// What the node reads and writes.
    pub url: StoreUrl,
    /// The role that owns the tables and migrates.
    pub owner_url: Option<StoreUrl>,
    /// A direct connection for LISTEN where `url` goes through a pooler.
    pub listen_url: Option<StoreUrl>,
    /// The key that seals secrets at rest.
    pub secret_key_file: PathBuf,
    /// Connections kept to PostgreSQL by a node. A command holds one whatever this says.
    pub connections: u32,
    /// How long to wait for a free connection, and for one statement.
    pub timeout: Duration,
    /// How often the change feed is polled (PostgreSQL, where notifications shorten the wait).
    pub poll: Duration,
    /// How often a silent LISTEN connection is tried (PostgreSQL).
    pub heartbeat: Duration,
}

/// `[cache]`
#[derive(Debug, Clone)]
pub struct Cache {
    /// Routes kept.
    pub capacity: u64,
    /// Age after which a route is looked up again in the background while it is still served.
    pub ttl: Duration,
    /// How long a name is known not to exist.
    pub negative_ttl: Duration,
    /// How long known routes are served without contact with the store.
    pub stale_if_error: Duration,
    /// Where routes survive a restart.
    pub snapshot_file: PathBuf,
    /// How often the snapshot is written.
    pub snapshot_interval: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

impl Store {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let url = address(section, "url", "url_file");
        let owner_url = address(section, "owner_url", "owner_url_file");
        let listen_url = address(section, "listen_url", "listen_url_file");
        let url = match url {
            Some((url, _)) => url,
            None => StoreUrl::Sqlite(PathBuf::from("var/vestibule.db")),
        };
        for (name, other) in [("owner_url", &owner_url), ("listen_url", &listen_url)] {
            if let Some((other, place)) = other {
                same_engine(section, name, &url, other, *place);
            }
        }
        Self {
            url,
            owner_url: owner_url.map(|(url, _)| url),
            listen_url: listen_url.map(|(url, _)| url),
            secret_key_file: section
                .text("secret_key_file", file)
                .unwrap_or_else(|| PathBuf::from("var/secret.key")),
            connections: section.number("connections", 10, 1..=1000),
            timeout: section.duration("timeout", SECOND * 2, MILLISECOND..=SECOND * 60),
            // A committed change is in force within one second, also where no notification arrives.
            poll: section.duration("poll", MILLISECOND * 500, MILLISECOND * 10..=SECOND),
            heartbeat: section.duration("heartbeat", SECOND * 15, MILLISECOND..=SECOND * 3600),
        }
    }
}

impl Cache {
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            capacity: section.number("capacity", 1_000_000, 1..=1_000_000_000),
            ttl: section.duration("ttl", SECOND * 60, MILLISECOND..=DAY),
            negative_ttl: section.duration("negative_ttl", SECOND * 10, MILLISECOND..=DAY),
            stale_if_error: section.duration("stale_if_error", DAY, Duration::ZERO..=DAY * 365),
            snapshot_file: section
                .text("snapshot_file", file)
                .unwrap_or_else(|| PathBuf::from("var/routes.snapshot")),
            snapshot_interval: section.duration(
                "snapshot_interval",
                SECOND * 30,
                MILLISECOND * 10..=DAY,
            ),
        }
    }
}

/// A database's address, written here or in a file. Its text never appears in a fault: it may hold a password.
fn address(
    section: &Section<'_>,
    key: &'static str,
    file_key: &'static str,
) -> Option<(StoreUrl, Place)> {
    let written = section.text(key, store_url);
    let place = section.place_of(key);
    let in_file = section.text(file_key, |path| {
        let secret = secret_file::read(path, 1)?;
        let text = secret
            .expose_str()
            .ok_or("leads to a file that is no text")?;
        store_url(text)
    });
    if section.has(key) && in_file.is_some() {
        let what = format!(
            "`{}` and `{}` exclude each other",
            section.name(key),
            section.name(file_key)
        );
        section.flaw(section.place_of(file_key), what);
    }
    match in_file {
        Some(url) => Some((url, section.place_of(file_key))),
        None => written.map(|url| (url, place)),
    }
}

fn store_url(text: &str) -> Result<StoreUrl, Reason> {
    if let Some(path) = text.strip_prefix("sqlite:") {
        return sqlite_path(path).map(StoreUrl::Sqlite);
    }
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        // The reader's own message may quote a part of the address.
        return match sqlx::postgres::PgConnectOptions::from_str(text) {
            Ok(_) => Ok(StoreUrl::Postgres(SecretText::new(text.to_owned()))),
            Err(_) => Err(Reason::with_hint(
                "is not a PostgreSQL address",
                "postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters of the password as %XX",
            )),
        };
    }
    Err(Reason::with_hint(
        "names no database that is supported",
        "write \"sqlite:var/vestibule.db\" or \"postgres://user@host/database\"",
    ))
}

fn sqlite_path(path: &str) -> Result<PathBuf, Reason> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains(":memory:") || path.is_empty() {
        let hint =
            "the command line and every node open the same file: \"sqlite:var/vestibule.db\"";
        return Err(Reason::with_hint("needs a file", hint));
    }
    if path.contains(['?', '\0']) {
        return Err("takes a path only, no parameters".into());
    }
    Ok(PathBuf::from(path))
}

fn same_engine(section: &Section<'_>, key: &str, url: &StoreUrl, other: &StoreUrl, place: Place) {
    let postgres = |url: &StoreUrl| matches!(url, StoreUrl::Postgres(_));
    if !(postgres(url) && postgres(other)) {
        let what = format!(
            "`{}` is for PostgreSQL, like the `store.url` that it goes with",
            section.name(key)
        );
        section.flaw(place, what);
    }
}

/// The path of a file that need not exist yet.
pub(super) fn file(text: &str) -> Result<PathBuf, Reason> {
    if text.contains('\0') || text.ends_with('/') {
        return Err("is no path of a file".into());
    }
    Ok(PathBuf::from(text))
}
