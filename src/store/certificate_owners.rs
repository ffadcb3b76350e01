//! Whose a certificate in the store is, and who needs it. What was ordered of a CA is nobody's: its key leaves the store only where
//! an operator exports it. What somebody brought belongs to whoever has the name, and goes with the tenant that gives the name up, who may have the key.

use std::time::Duration;

use uuid::Uuid;

use crate::model::certificate::CertificateSource;
use crate::model::{DomainPattern, TenantId};

use super::domain_claims::name_lock;
use super::error::readable;
use super::signing_keys::KEYS_LOCK;
use super::values::Row;
use super::writing::Writing;
use super::{BULK, CertificateChange, Changed, Store, StoreError, certificates, domains};

/// What a look at a page of names with certificates found and did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SweptCertificates {
    /// Where to go on; `None` at the end.
    pub next: Option<DomainPattern>,
    /// Names whose certificate is gone.
    pub forgotten: Vec<DomainPattern>,
}

/// Whether a name's certificate is needed without a claim.
type Spared<'a> = dyn Fn(&DomainPattern) -> bool + Send + Sync + 'a;

/// A name with a certificate.
struct Found {
    pattern: DomainPattern,
    needed: bool,
    idle_since: Option<i64>,
    ordered: bool,
    not_after: i64,
}

/// What there is to do about it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// It is needed again.
    Wake,
    /// Nobody needs it from now on.
    Rest,
    /// Nobody has needed it for long enough.
    Forget,
}

impl Store {
    /// Looks at the certificates of up to `limit` names behind `after`. Nobody needs one whose name no tenant has and is none of the
    /// operator's, for which `spared` answers. What is not needed counts no more from then on; one that was ordered is deleted when it
    /// was not needed for `grace`, or has expired. A name that comes back before that has its certificate at once. What somebody brought
    /// stays until somebody takes it away.
    pub async fn sweep_certificates(
        &self,
        (after, limit): (Option<&DomainPattern>, u32),
        spared: &Spared<'_>,
        grace: Duration,
    ) -> Result<SweptCertificates, StoreError> {
        let work = async {
            let after = after.map(DomainPattern::to_string).unwrap_or_default();
            let mut session = self.inner.reading().await?;
            let sql = session.either(PAGE_SQLITE, PAGE_POSTGRES);
            let args = [(&after).into(), i64::from(limit).into()];
            let rows = session.rows(sql, &args).await?;
            // A command has one connection, which the change below needs.
            drop(session);
            let mut found = Vec::with_capacity(rows.len());
            for row in &rows {
                found.extend(readable(read(row), "a name with a certificate")?);
            }
            let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
            let next = found.last().filter(|_| full).map(|it| it.pattern.clone());
            let now = self.inner.clock.now().0;
            let due: Vec<_> = (found.into_iter())
                .map(|it| (it.due(spared, grace, now), it))
                .filter(|(due, _)| *due != Due::Nothing)
                .collect();
            let forgotten = match due.is_empty() {
                // Mostly: then nobody is kept from writing.
                true => Vec::new(),
                false => self.settle(due, spared, grace).await?,
            };
            Ok(SweptCertificates { next, forgotten })
        };
        self.timed("certificates_sweep", BULK, work).await
    }

    async fn settle(
        &self,
        due: Vec<(Due, Found)>,
        spared: &Spared<'_>,
        grace: Duration,
    ) -> Result<Vec<DomainPattern>, StoreError> {
        let mut tx = self.writing().await?;
        if due.iter().any(|(due, _)| *due == Due::Forget) {
            tx.lock(KEYS_LOCK).await?;
        }
        let now = tx.now().0;
        let mut forgotten = Vec::new();
        for (due, found) in due {
            let name = found.pattern.to_string();
            match due {
                Due::Nothing => {}
                Due::Wake => taken(&mut tx, &name).await?,
                Due::Rest => {
                    tx.run(
                        "update certificate_names set idle_since = $2 where pattern = $1 and idle_since is null",
                        &[(&name).into(), now.into()],
                    )
                    .await?;
                }
                Due::Forget => {
                    // Somebody may have taken the name meanwhile, and must not find it gone.
                    tx.lock(name_lock(&name)).await?;
                    let sql = tx.either(ONE_SQLITE, ONE_POSTGRES);
                    let row = tx.row(sql, &[(&name).into()]).await?;
                    let Some(row) = row else { continue };
                    if read(&row)?.due(spared, grace, now) == Due::Forget {
                        forget(&mut tx, &row, &name).await?;
                        forgotten.push(found.pattern);
                    }
                }
            }
        }
        if forgotten.is_empty() {
            tx.finish_unannounced().await?;
            return Ok(forgotten);
        }
        let gone = |pattern: &DomainPattern| CertificateChange {
            pattern: pattern.clone(),
            present: false,
        };
        let changes = forgotten.iter().map(gone).collect();
        tx.finish(&Changed::Certificates(changes)).await?;
        Ok(forgotten)
    }
}

impl Found {
    fn due(&self, spared: &Spared<'_>, grace: Duration, now: i64) -> Due {
        let grace = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        match (self.needed || spared(&self.pattern), self.idle_since) {
            (true, Some(_)) => Due::Wake,
            (true, None) => Due::Nothing,
            (false, None) => Due::Rest,
            (false, Some(since)) => {
                let over = since.saturating_add(grace) <= now || self.not_after <= now;
                match self.ordered && over {
                    true => Due::Forget,
                    false => Due::Nothing,
                }
            }
        }
    }
}

async fn forget(tx: &mut Writing, row: &Row, name: &str) -> Result<(), StoreError> {
    let id: Uuid = row.get("id")?;
    let fingerprint: &str = row.get("fingerprint")?;
    tx.run(
        "delete from certificate_names where pattern = $1",
        &[name.into()],
    )
    .await?;
    certificates::bury(tx, &[id]).await?;
    let detail = format!("{fingerprint}, nobody has the name any more");
    tx.audit("cert.forget", name, &detail).await
}

/// `tenant` has the name no more: what it brought, or had brought, is of no use to who comes next.
pub(super) async fn left(tx: &mut Writing, name: &str, tenant: TenantId) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.run(
        "update certificate_names set former = coalesce(former, $2), idle_since = $3 where pattern = $1",
        &[name.into(), tenant.0.into(), now.into()],
    )
    .await
    .map(drop)
}

/// As [`left`], for every name that `tenant` has.
pub(super) async fn left_all(tx: &mut Writing, tenant: TenantId) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.run(
        "update certificate_names set former = coalesce(former, $1), idle_since = $2 where pattern in \
         (select pattern from domains where tenant = $1 and state in ('verified', 'active', 'degraded'))",
        &[tenant.0.into(), now.into()],
    )
    .await
    .map(drop)
}

/// Somebody has the name again.
pub(super) async fn taken(tx: &mut Writing, name: &str) -> Result<(), StoreError> {
    tx.run(
        "update certificate_names set idle_since = null where pattern = $1 and idle_since is not null",
        &[name.into()],
    )
    .await
    .map(drop)
}

/// What `from` left goes with the name to its next tenant: the customer is the same.
pub(super) async fn handed_over(
    tx: &mut Writing,
    name: &str,
    from: TenantId,
) -> Result<(), StoreError> {
    tx.run(
        "update certificate_names set former = null where pattern = $1 and former = $2",
        &[name.into(), from.0.into()],
    )
    .await
    .map(drop)
}

fn read(row: &Row) -> Result<Found, StoreError> {
    Ok(Found {
        pattern: domains::pattern(row.get("pattern")?)?,
        needed: row.get::<i64>("needed")? != 0,
        idle_since: row.get("idle_since")?,
        ordered: row.get::<&str>("source")? == CertificateSource::Acme.as_str(),
        not_after: row.get("not_after")?,
    })
}

/// Whether the certificate (`$certificate`) that a name has (`$name`, a row of `certificate_names`) counts for a claim of `$tenant`.
macro_rules! counts_for {
    ($name:literal, $certificate:literal, $tenant:literal) => {
        concat!(
            "(",
            $certificate,
            ".source = 'acme' or coalesce(",
            $name,
            ".former, (select h.tenant from domains h where h.pattern = ",
            $name,
            ".pattern and h.state in ('verified', 'active', 'degraded')), ",
            $tenant,
            ") = ",
            $tenant,
            ")"
        )
    };
}
pub(super) use counts_for;

/// (A name is compared as the result of an expression, as SQLite wants it for an index of one.) A wildcard's is needed as long as somebody has a name below it that has none of its own.
macro_rules! found {
    ($position:literal, $rest:literal) => {
        concat!(
            "select n.pattern as pattern, n.idle_since as idle_since, c.id as id, c.source as source, c.not_after as not_after, \
             c.fingerprint as fingerprint, cast(case when exists (select 1 from domains d where d.pattern = n.pattern \
             and d.state in ('verified', 'active', 'degraded')) or (n.pattern like '*.%' and exists (select 1 from domains d \
             where '*.' || substr(d.pattern, ",
            $position,
            "(d.pattern, '.') + 1) = (n.pattern || '') and d.state in ('verified', 'active', 'degraded') \
             and not exists (select 1 from certificate_names e where e.pattern = d.pattern))) then 1 else 0 end as bigint) as needed \
             from certificate_names n join certificates c on c.id = n.certificate where ",
            $rest
        )
    };
}

const PAGE_SQLITE: &str = found!("instr", "n.pattern > $1 order by n.pattern limit $2");
const PAGE_POSTGRES: &str = found!("strpos", "n.pattern > $1 order by n.pattern limit $2");
const ONE_SQLITE: &str = found!("instr", "n.pattern = $1");
const ONE_POSTGRES: &str = found!("strpos", "n.pattern = $1");
/// One that expired without being replaced stays late. A sixth of its life, as [`certificate::late_at`] has it.
pub(super) const SUMMARY: &str = "select count(*) as many, count(case when c.not_after > $1 and c.not_before <= $1 then 1 end) as valid, \
     min(case when c.not_after > $1 and c.not_before <= $1 then c.not_after end) as soonest, \
     min(case when c.not_before <= $1 then c.not_after - case when c.not_after - c.not_before > 6 * $2 then $2 \
     else (c.not_after - c.not_before) / 6 end end) as late_at \
     from certificates c where exists (select 1 from certificate_names n where n.certificate = c.id and n.idle_since is null)";
