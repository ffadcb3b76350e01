//! Certificates that visitors are shown, their private keys sealed: read by the name that a visitor asks for, and listed.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::certificate::{self, CertificateSource};
use crate::model::{DomainPattern, TenantId};

use super::certificate_owners::SUMMARY;
use super::changes::no_feed;
use super::domain_tls::NameTls;
use super::domains;
use super::session::Session;
use super::tenant_rows::corrupt;
use super::tenants::Page;
use super::values::{Arg, Row};
use super::writing::Writing;
use super::{BULK, Changed, Cursor, READ, Store, StoreError, WRITE};

/// A certificate in the store, without what only showing it takes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct StoredCertificate {
    /// The name by which it was found: what visitors ask for, or the wildcard above it.
    #[serde(rename = "hostname", serialize_with = "as_text")]
    pub pattern: DomainPattern,
    /// Its own id; one that replaces it has another.
    pub id: Uuid,
    /// Every name it was kept for when it came.
    #[serde(serialize_with = "as_texts")]
    pub names: Vec<DomainPattern>,
    /// When it begins to be valid, in milliseconds since 1970.
    pub not_before: i64,
    /// When it expires, in milliseconds since 1970.
    pub not_after: i64,
    /// Where it came from.
    pub source: CertificateSource,
    /// SHA-256 of the visitor-facing certificate, in lower-case hex.
    pub fingerprint: String,
    /// When it was kept, in milliseconds since 1970.
    pub created_at: i64,
    /// The CA that it was ordered of, by the address of its directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Who had the name when somebody brought it, and has given the name up since: it counts for no other tenant's claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_tenant: Option<TenantId>,
}

/// A certificate with its chain and its key, the latter sealed for [`SealedCertificate::purpose`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedCertificate {
    /// What is known of it.
    pub about: StoredCertificate,
    /// PEM, the visitor-facing certificate first.
    pub chain: String,
    /// The private key, PEM, sealed.
    pub sealed_key: Vec<u8>,
}

impl SealedCertificate {
    /// What its key is sealed for. The row is named, so that one row's key cannot be put into another's place.
    pub fn purpose(&self) -> String {
        purpose(self.about.id)
    }
}

/// A certificate (or its absence) and the feed position of the same statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LookedCertificate {
    /// The position.
    pub at: Cursor,
    /// What a visitor of the name is shown.
    pub certificate: Option<SealedCertificate>,
}

/// Every name that there is a certificate for, and the feed position at which that was so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoveredNames {
    /// The position.
    pub at: Cursor,
    /// The names.
    pub names: Vec<DomainPattern>,
}

/// How the certificates that somebody needs stand, all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CertificateSummary {
    /// Those that are valid.
    pub valid: u64,
    /// Those that have expired or are not valid yet.
    pub outside_validity: u64,
    /// When the first valid one expires, in milliseconds since 1970.
    pub soonest: Option<i64>,
    /// When the first one should have been replaced at the latest, in milliseconds since 1970: see [`certificate::late_at`].
    pub late_at: Option<i64>,
}

/// What the inventory asks of the store. A seam: tests put a gate in front of the real one.
///
/// An implementer keeps: every answer and its feed position are of one statement or read transaction.
pub trait CertificateStore: Send + Sync + 'static {
    /// The certificate for a visitor of `name`: the one for the name itself, else that of the wildcard one label above it.
    fn certificate_for<'a>(
        &'a self,
        name: &'a DomainPattern,
    ) -> BoxFuture<'a, Result<LookedCertificate, StoreError>>;
    /// Every name there is a certificate for.
    fn covered_names(&self) -> BoxFuture<'_, Result<CoveredNames, StoreError>>;
    /// How the certificates stand at `now`.
    fn certificate_summary(
        &self,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<CertificateSummary, StoreError>>;
    /// What visitors of routed names must bring, for the names that demand more than all do; and those that demand nothing below a
    /// wildcard that does.
    fn name_tls(&self) -> BoxFuture<'_, Result<Vec<(DomainPattern, NameTls)>, StoreError>>;
}

/// Shared handle on the store's certificates.
pub type SharedCertificateStore = Arc<dyn CertificateStore>;

impl CertificateStore for Store {
    fn certificate_for<'a>(
        &'a self,
        name: &'a DomainPattern,
    ) -> BoxFuture<'a, Result<LookedCertificate, StoreError>> {
        let work = async {
            let parent = match name {
                DomainPattern::Exact(name) => name.parent(),
                DomainPattern::Wildcard(_) => None,
            };
            let (name, wildcard) = (name.to_string(), parent.map(|it| format!("*.{it}")));
            let args = [(&name).into(), wildcard.as_deref().into()];
            let mut session = self.inner.reading().await?;
            let row = session.row(FOR_NAME, &args).await?.ok_or_else(no_feed)?;
            let certificate = match row.get::<Option<Uuid>>("id")? {
                Some(_) => Some(sealed(&row)?),
                None => None,
            };
            Ok(LookedCertificate {
                at: session.cursor(&row)?,
                certificate,
            })
        };
        self.timed("certificate_for", READ, work).boxed()
    }

    fn covered_names(&self) -> BoxFuture<'_, Result<CoveredNames, StoreError>> {
        self.timed("covered_names", BULK, self.all_covered())
            .boxed()
    }

    fn certificate_summary(
        &self,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<CertificateSummary, StoreError>> {
        let work = async move {
            let mut session = self.inner.reading().await?;
            let longest = certificate::LATE_AT_MOST.into();
            let row = session.row(SUMMARY, &[now.0.into(), longest]).await?;
            let row = row.ok_or_else(no_feed)?;
            let count = |column| Ok::<_, StoreError>(row.get::<i64>(column)?.unsigned_abs());
            Ok(CertificateSummary {
                valid: count("valid")?,
                outside_validity: count("many")?.saturating_sub(count("valid")?),
                soonest: row.get("soonest")?,
                late_at: row.get("late_at")?,
            })
        };
        self.timed("certificate_summary", BULK, work).boxed()
    }

    fn name_tls(&self) -> BoxFuture<'_, Result<Vec<(DomainPattern, NameTls)>, StoreError>> {
        self.all_tls()
    }
}

impl Store {
    /// The certificate for `pattern`: its own, else (for a name) that of the wildcard above it, as a visitor would be shown it.
    pub async fn certificate(
        &self,
        pattern: &DomainPattern,
    ) -> Result<SealedCertificate, StoreError> {
        let looked = self.certificate_for(pattern).await?;
        looked
            .certificate
            .ok_or_else(|| StoreError::UnknownCertificate(pattern.clone()))
    }

    /// Names with their certificates, by name, at most `limit`, those after `after`.
    pub async fn certificates(
        &self,
        after: Option<&DomainPattern>,
        limit: u32,
    ) -> Result<Page<StoredCertificate, DomainPattern>, StoreError> {
        let work = async {
            let after = after.map(DomainPattern::to_string).unwrap_or_default();
            let args = [(&after).into(), i64::from(limit).into()];
            let mut session = self.inner.reading().await?;
            let rows = session.rows(PAGE, &args).await?;
            let items: Vec<_> = rows.iter().map(about).collect::<Result<_, _>>()?;
            let full = items.len() == usize::try_from(limit).unwrap_or(usize::MAX);
            let next = items.last().filter(|_| full);
            let next = next.map(|last: &StoredCertificate| last.pattern.clone());
            Ok(Page { items, next })
        };
        self.timed("certificates", BULK, work).await
    }

    /// Writes down in the audit what was taken out of the store. Never a secret.
    pub async fn audit_export(&self, subject: &str, detail: &str) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.audit("cert.export", subject, detail).await?;
            tx.finish_unannounced().await
        };
        self.timed("certificate_export", WRITE, work).await
    }

    /// Read within one snapshot and page by page.
    async fn all_covered(&self) -> Result<CoveredNames, StoreError> {
        let mut session = self.inner.snapshot().await?;
        session.unhurried().await?;
        let head = session.row(HEAD, &[]).await?.ok_or_else(no_feed)?;
        let mut names = Vec::new();
        session
            .each_name(COVERED, |name| {
                names.push(domains::pattern(name)?);
                Ok(())
            })
            .await?;
        let at = session.cursor(&head)?;
        Ok(CoveredNames { at, names })
    }
}

/// What the key of the certificate `id` is sealed for.
pub(super) fn purpose(id: Uuid) -> String {
    format!("certificate key {id}")
}

/// One sealed key, where there is any: all are sealed by the same sealer.
pub(super) async fn any_sealed(session: &mut Session) -> Result<Option<Vec<u8>>, StoreError> {
    let row = session
        .row("select sealed_key from certificates limit 1", &[])
        .await?;
    row.map(|row| row.get("sealed_key")).transpose()
}

/// Puts what `reseal` makes of every sealed key (given with its purpose) in its place; how many there were.
pub(super) async fn reseal<E: From<StoreError>>(
    tx: &mut Writing,
    reseal: impl Fn(&str, &[u8]) -> Result<Vec<u8>, E>,
) -> Result<usize, E> {
    const AT_ONCE: i64 = 500;
    let (mut last, mut count) = (Uuid::nil(), 0);
    loop {
        let rows = tx
            .rows(
                "select id, sealed_key from certificates where id > $1 order by id limit $2",
                &[last.into(), AT_ONCE.into()],
            )
            .await?;
        if rows.is_empty() {
            return Ok(count);
        }
        for row in &rows {
            let id: Uuid = row.get("id")?;
            let sealed = reseal(&purpose(id), row.get("sealed_key")?)?;
            let args = [id.into(), Arg::Bytes(Some(&sealed))];
            tx.run(
                "update certificates set sealed_key = $2 where id = $1",
                &args,
            )
            .await?;
            (last, count) = (id, count + 1);
        }
    }
}

/// Ends those of `certificates` that no name is left of.
pub(super) async fn bury(tx: &mut Writing, certificates: &[Uuid]) -> Result<(), StoreError> {
    let ids: Vec<Arg<'_>> = certificates.iter().map(|id| (*id).into()).collect();
    tx.run_with(
        "delete from certificates where id in",
        &ids,
        "and not exists (select 1 from certificate_names n where n.certificate = certificates.id)",
    )
    .await
}

impl Store {
    /// Takes a name's certificate away: visitors of it are shown another that covers it, or none. Returns what it was.
    pub async fn remove_certificate(
        &self,
        pattern: &DomainPattern,
    ) -> Result<StoredCertificate, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(super::signing_keys::KEYS_LOCK).await?;
            let name = pattern.to_string();
            let row = tx.row(BY_NAME, &[(&name).into()]).await?;
            let row = row.ok_or_else(|| StoreError::UnknownCertificate(pattern.clone()))?;
            let gone = about(&row)?;
            tx.run(
                "delete from certificate_names where pattern = $1",
                &[(&name).into()],
            )
            .await?;
            bury(&mut tx, &[gone.id]).await?;
            tx.audit("cert.remove", &name, &gone.fingerprint).await?;
            let change = super::CertificateChange {
                pattern: pattern.clone(),
                present: false,
            };
            tx.finish(&Changed::Certificates(vec![change])).await?;
            Ok(gone)
        };
        self.timed("certificate_remove", WRITE, work).await
    }
}

fn sealed(row: &Row) -> Result<SealedCertificate, StoreError> {
    Ok(SealedCertificate {
        about: about(row)?,
        chain: row.get("chain")?,
        sealed_key: row.get("sealed_key")?,
    })
}

fn about(row: &Row) -> Result<StoredCertificate, StoreError> {
    let names: &str = row.get("names")?;
    let source: &str = row.get("source")?;
    let source = CertificateSource::from_name(source)
        .ok_or_else(|| corrupt("certificate's source", source))?;
    let former: Option<Uuid> = row.get("former")?;
    Ok(StoredCertificate {
        pattern: domains::pattern(row.get("pattern")?)?,
        id: row.get("id")?,
        names: names
            .split(' ')
            .map(domains::pattern)
            .collect::<Result<_, _>>()?,
        not_before: row.get("not_before")?,
        not_after: row.get("not_after")?,
        source,
        // The key of one that was ordered has never been anybody's.
        former_tenant: former
            .filter(|_| source != CertificateSource::Acme)
            .map(TenantId),
        fingerprint: row.get("fingerprint")?,
        created_at: row.get("created_at")?,
        ca: row.get("ca")?,
    })
}

fn as_text<S: Serializer>(pattern: &DomainPattern, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(pattern)
}

fn as_texts<S: Serializer>(names: &[DomainPattern], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(DomainPattern::to_string))
}

macro_rules! about_columns {
    () => {
        "n.pattern as pattern, c.id as id, c.names as names, c.not_before as not_before, c.not_after as not_after, \
         c.source as source, c.fingerprint as fingerprint, c.created_at as created_at, c.ca as ca, n.former as former"
    };
}

/// Exact before wildcard.
const FOR_NAME: &str = concat!(
    "select f.epoch as epoch, coalesce((select max(position) from changes), f.pruned_to) as position, ",
    about_columns!(),
    ", c.chain as chain, c.sealed_key as sealed_key from feed f \
     left join certificate_names n on n.pattern in ($1, $2) left join certificates c on c.id = n.certificate \
     order by n.pattern = $1 desc limit 1"
);
const BY_NAME: &str = concat!(
    "select ",
    about_columns!(),
    " from certificate_names n join certificates c on c.id = n.certificate where n.pattern = $1"
);
const PAGE: &str = concat!(
    "select ",
    about_columns!(),
    " from certificate_names n join certificates c on c.id = n.certificate where n.pattern > $1 order by n.pattern limit $2"
);
const COVERED: &str = "select count(*) as many, string_agg(pattern, ' ') as names \
     from (select pattern from certificate_names where pattern > $1 order by pattern limit $2) as page";
const HEAD: &str =
    "select epoch, coalesce((select max(position) from changes), pruned_to) as position from feed";
