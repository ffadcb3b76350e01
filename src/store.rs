//! The routing database: one small interface over SQLite (embedded) and PostgreSQL (a fleet).

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{PgPool, SqlitePool};
use tokio::sync::watch as wake;
use tokio::time::{Instant, timeout};
use uuid::{ContextV7, Uuid};

use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;
use crate::model::{DomainPattern, LookupKey, Route, TenantId};

mod acme_accounts;
mod acme_budget;
mod audit;
mod backup;
mod certificate_import;
mod certificate_owners;
mod certificates;
mod challenges;
mod changes;
mod deliveries;
mod domain_certificates;
mod domain_claims;
mod domain_looks;
mod domain_steps;
mod domain_tls;
mod domains;
mod embedded;
mod error;
mod events;
mod import;
mod lookup;
mod migrations;
mod open;
mod orders;
mod reach;
mod session;
mod signing_keys;
mod skew;
mod slugs;
mod tenant_life;
mod tenant_rows;
mod tenants;
mod ticket_keys;
mod values;
mod watch;
mod webhooks;
mod writing;

use embedded::EmbeddedFile;

pub use acme_accounts::{AccountChange, AccountClaim, AcmeAccount, AcmeAccountRow};
pub use acme_budget::{Bucket, Charge, Price, Room, Short};
pub use audit::AuditEntry;
pub use backup::{Backup, BackupError, Existing, Held};
pub use certificate_import::{ImportedCertificates, NewCertificate};
pub use certificate_owners::SweptCertificates;
pub use certificates::{
    CertificateStore, CertificateSummary, CoveredNames, LookedCertificate, SealedCertificate,
    SharedCertificateStore, StoredCertificate,
};
pub use challenges::{Challenge, ChallengeSource, OpenChallenges};
pub use changes::FEED_LOCK;
pub use deliveries::{Delivery, DeliveryState, DueDelivery, Outcome as DeliveryOutcome, Target};
pub use domain_certificates::certificate_finding;
pub use domain_claims::Handover;
pub use domain_looks::{DueLook, HolderSeen, LookedAt, Outcome, Settings as DomainSettings};
pub use domain_tls::{ClaimTls, NameTls, NameTlsPatch};
pub use domains::{Claim, Domain, DomainCursor};
pub use error::{Date, StoreError};
pub use events::Message;
pub use import::{Exported, ImportFault, ImportLine, Imported};
pub use migrations::known as schema_version;
pub use open::Access;
pub use orders::{
    AtCa, CertificateOrder, DueStages, Hold, ORDER_LEASE, OrderClass, OrderFailed, OrderStage,
    Placing, Swept, Verified,
};
pub use slugs::COOLOFF as SLUG_COOLOFF;
pub use tenants::{LimitPatch, NewTenant, Page, TenantPatch, TenantRef};
pub use ticket_keys::{TicketKeyLife, TicketKeyRecord, ticket_key_purpose};
pub use watch::ChangeWatch;
pub use webhooks::{NewWebhook, Webhook};

/// Where in the change feed something was read. Two positions can only be compared within one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Cursor {
    /// Drawn when the database was made or restored.
    pub epoch: Uuid,
    /// The number of the newest change that was visible.
    pub position: i64,
}

/// A row (or its absence) and the feed position at which that was true, from one statement or read transaction.
#[derive(Clone, PartialEq, Debug)]
pub struct Looked {
    /// The position.
    pub at: Cursor,
    /// The tenant that the key leads to.
    pub route: Option<Route>,
}

/// Every name that leads to a tenant, and the feed position at which that was so.
#[derive(Clone, PartialEq, Debug)]
pub struct Names {
    /// The position.
    pub at: Cursor,
    /// Slugs, aliases and routed domains.
    pub names: Vec<LookupKey>,
}

/// What happened behind a cursor.
#[derive(Clone, PartialEq, Debug)]
pub enum Changes {
    /// These, in order; empty where nothing did.
    Next(Vec<Change>),
    /// The way back is lost: another epoch, a head below the cursor, or rows pruned. Drop everything and start from here.
    Lost(Cursor),
}

/// One row of the change feed.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Its number.
    pub position: i64,
    /// When it was written, in milliseconds since 1970.
    pub at: i64,
    /// What changed.
    pub what: Changed,
}

/// What a change was about.
#[derive(Clone, PartialEq, Debug)]
pub enum Changed {
    /// A tenant, and the names that began or ceased to lead to it (empty where only the row changed).
    Tenant {
        /// Which one.
        id: TenantId,
        /// Names gained or lost.
        names: Vec<LookupKey>,
    },
    /// So many routes that they are not listed.
    Bulk,
    /// Signing keys.
    SigningKeys,
    /// Certificates, by the names that are served with another one, or none, from now on; empty where these are too many to list.
    /// No route changes with them.
    Certificates(Vec<CertificateChange>),
    /// Something of a later version: whatever was read before may be wrong.
    Unknown,
}

/// What became of a name's certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateChange {
    /// The name.
    pub pattern: DomainPattern,
    /// Whether there is one now.
    pub present: bool,
}

/// What the resolver asks of the store. A seam: tests put a gate in front of the real one.
///
/// An implementer keeps: `lookup` and `names` return a row and the feed position of one statement or read transaction;
/// `changes_after` never skips a number that becomes visible later.
pub trait RouteSource: Send + Sync + 'static {
    /// The tenant that `key` leads to.
    fn lookup<'a>(&'a self, key: &'a LookupKey) -> BoxFuture<'a, Result<Looked, StoreError>>;
    /// The tenants that `keys` lead to, in their order, each as of the position that it has.
    fn lookup_many<'a>(
        &'a self,
        keys: &'a [LookupKey],
    ) -> BoxFuture<'a, Result<Vec<Looked>, StoreError>> {
        let each = async move {
            let mut all = Vec::with_capacity(keys.len());
            for key in keys {
                all.push(self.lookup(key).await?);
            }
            Ok(all)
        };
        Box::pin(each)
    }
    /// Every name there is.
    fn names(&self) -> BoxFuture<'_, Result<Names, StoreError>>;
    /// What happened behind `cursor`, at most a thousand changes.
    fn changes_after(&self, cursor: Cursor) -> BoxFuture<'_, Result<Changes, StoreError>>;
}

/// Shared handle on a store.
pub type SharedRouteSource = Arc<dyn RouteSource>;

/// The routing database, open. Cheap to clone. What its methods promise holds for both engines.
///
/// A method that changes something does so in one transaction, with an audit row and, where an answer of the data plane depends
/// on it, a feed row as the last statement. [`StoreError::TimedOut`] of such a method leaves open whether it was done.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    actor: Arc<str>,
    slug_cooloff: Duration,
}

struct Inner {
    pools: Pools,
    followed: Followed,
    clock: Clock,
    metrics: Option<Arc<Metrics>>,
    timeout: Duration,
    poll: Duration,
    heartbeat: Duration,
    /// Keeps ids of one millisecond in order.
    ids: Mutex<AssertUnwindSafe<ContextV7>>,
    /// Counts writes, to wake who waits in this process.
    written: wake::Sender<u64>,
}

enum Pools {
    /// SQLite has one writer; a command's two pools are the same, of one connection.
    Sqlite {
        file: Arc<EmbeddedFile>,
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres {
        pool: PgPool,
        pooler: bool,
    },
}

/// Where a watch connects to.
#[derive(Clone)]
enum Followed {
    Sqlite(SqliteConnectOptions, Arc<EmbeddedFile>),
    Postgres(PgConnectOptions),
}

/// How many times the configured time for one statement an operation may take in all.
#[derive(Clone, Copy)]
struct Bound(u32);

/// One statement, or a few small ones that read.
const READ: Bound = Bound(1);
/// Several statements and waiting for a lock.
const WRITE: Bound = Bound(5);
/// Work on everything there is.
const BULK: Bound = Bound(300);

impl Store {
    /// The same store, with `actor` as who does what, in the audit.
    pub fn acting_as(&self, actor: &str) -> Self {
        let actor: String = actor
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        Self {
            inner: Arc::clone(&self.inner),
            actor: actor.into(),
            slug_cooloff: self.slug_cooloff,
        }
    }

    /// The same store, in which a slug that is given up is nobody else's for `time`; [`SLUG_COOLOFF`] unless this is said.
    pub fn with_slug_cooloff(mut self, time: Duration) -> Self {
        self.slug_cooloff = time;
        self
    }

    /// Ends all connections, after those who use one are done.
    pub async fn close(&self) {
        match &self.inner.pools {
            Pools::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres { pool, .. } => pool.close().await,
        }
    }

    /// Does `work` in bounded time and measures it as `query`.
    async fn timed<T>(
        &self,
        query: &'static str,
        bound: Bound,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let after = self.inner.timeout.saturating_mul(bound.0);
        let result = timeout(after, work)
            .await
            .unwrap_or(Err(StoreError::TimedOut { after }));
        if let Some(metrics) = &self.inner.metrics {
            let spent = started.elapsed().as_secs_f64();
            metrics
                .store_query
                .with_label_values(&[query])
                .observe(spent);
            let up = !matches!(&result, Err(error) if error.is_unavailable());
            metrics.store_up.set(i64::from(up));
        }
        result
    }
}

impl Inner {
    fn new(
        settings: &config::Store,
        pools: Pools,
        followed: Followed,
        clock: Clock,
        metrics: Option<Arc<Metrics>>,
    ) -> Self {
        Self {
            pools,
            followed,
            clock,
            metrics,
            timeout: settings.timeout,
            poll: settings.poll,
            heartbeat: settings.heartbeat,
            ids: Mutex::new(AssertUnwindSafe(ContextV7::new())),
            written: wake::Sender::new(0),
        }
    }

    /// A UUIDv7 of this moment, above all that this process has made before.
    fn new_uuid(&self) -> Uuid {
        let millis = self.clock.now().0.unsigned_abs();
        let nanos = u32::try_from(millis % 1000).unwrap_or(0) * 1_000_000;
        Uuid::new_v7(uuid::Timestamp::from_unix(&self.ids, millis / 1000, nanos))
    }
}
