//! The change feed: numbered rows that nodes follow by cursor, numbers visible in order, an epoch that says which history this is.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::model::{DomainPattern, LookupKey, Slug, TenantId};

use super::session::Session;
use super::values::Row;
use super::{CertificateChange, Change, Changed, Changes, Cursor, READ, Store, StoreError};

/// PostgreSQL's advisory lock under which a feed row is numbered, held until its transaction ends: nobody can take a higher
/// number before this one is visible, so a follower never passes one by. ("vestibul", the last letter 1.)
pub const FEED_LOCK: i64 = 0x7665_7374_6962_7501;
/// The channel that wakes followers on PostgreSQL.
pub(super) const CHANNEL: &str = "vestibule_changes";
/// Rows handed out at once.
const BATCH: i64 = 1000;
/// Names listed in one row; more are a bulk change.
const MAX_NAMES: usize = 256;

const AFTER: &str = "select f.epoch as epoch, f.pruned_to as pruned_to, \
     coalesce((select max(position) from changes), f.pruned_to) as head, \
     c.position as position, c.at as at, c.kind as kind, c.tenant as tenant, c.names as names \
     from feed f left join (select position, at, kind, tenant, names from changes where position > $1 order by position limit $2) c on 1 = 1 \
     order by c.position";

impl Store {
    /// Where the feed stands now.
    pub async fn cursor(&self) -> Result<Cursor, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let row = session
                .row(
                    "select epoch, coalesce((select max(position) from changes), pruned_to) as position from feed",
                    &[],
                )
                .await?
                .ok_or_else(no_feed)?;
            session.cursor(&row)
        };
        self.timed("cursor", READ, work).await
    }

    /// What happened behind `since`, at most a thousand changes. One statement, so the answer is of one moment.
    pub(super) async fn after(&self, since: Cursor) -> Result<Changes, StoreError> {
        let work = async {
            let mut session = self.inner.reading().await?;
            let rows = session
                .rows(AFTER, &[since.position.into(), BATCH.into()])
                .await?;
            let first = rows.first().ok_or_else(no_feed)?;
            let head = session.cursor_at(first, "head")?;
            let lost = head.epoch != since.epoch
                || head.position < since.position
                || since.position < first.get::<i64>("pruned_to")?;
            if lost {
                return Ok(Changes::Lost(head));
            }
            rows.iter()
                .filter_map(|row| change(row).transpose())
                .collect::<Result<_, _>>()
                .map(Changes::Next)
        };
        self.timed("changes_after", READ, work).await
    }

    /// Drops all feed rows but the newest `keep`; returns how many went. A node that was away for longer starts anew.
    pub async fn prune(&self, keep: u32) -> Result<u64, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.lock(FEED_LOCK).await?;
            tx.run(
                "update feed set pruned_to = (select max(position) from changes) - $1 \
                 where (select max(position) from changes) - $1 > pruned_to",
                &[i64::from(keep).into()],
            )
            .await?;
            let gone = tx
                .run(
                    "delete from changes where position <= (select pruned_to from feed)",
                    &[],
                )
                .await?;
            tx.finish_unannounced().await?;
            Ok(gone)
        };
        self.timed("prune", super::BULK, work).await
    }

    /// Begins another history, as after a restore: every node drops what it remembers.
    pub async fn new_epoch(&self) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.run(
                "update feed set epoch = $1",
                &[self.inner.new_uuid().into()],
            )
            .await?;
            tx.audit("store.new_epoch", "store", "").await?;
            tx.finish(&Changed::Bulk).await
        };
        self.timed("new_epoch", super::WRITE, work).await
    }
}

/// Adds a row to the feed. The last statement of a transaction but for its commit: on PostgreSQL everybody else who writes waits
/// here from now on. The lock is a statement of its own because the next one must see what was committed while it waited.
pub(super) async fn append(
    session: &mut Session,
    changed: &Changed,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (kind, tenant, names) = match changed {
        Changed::Tenant { id, names } if names.len() <= MAX_NAMES => {
            ("tenant", Some(id.0), written(names))
        }
        Changed::Tenant { .. } | Changed::Bulk => ("bulk", None, written(&[])),
        Changed::SigningKeys => ("signing_keys", None, written(&[])),
        Changed::Certificates(names) if names.len() <= MAX_NAMES => {
            ("certificates", None, texts(names.iter().map(signed)))
        }
        Changed::Certificates(_) => ("certificates", None, written(&[])),
        Changed::Unknown => ("unknown", None, written(&[])),
    };
    session.lock(FEED_LOCK).await?;
    if session.either(false, true) {
        session
            .run("select pg_notify($1, '')", &[CHANNEL.into()])
            .await?;
    }
    session
        .run(
            "insert into changes (position, at, kind, tenant, names) values \
             ((select coalesce((select max(position) from changes), pruned_to) + 1 from feed), $1, $2, $3, $4)",
            &[now.0.into(), kind.into(), tenant.into(), (&names).into()],
        )
        .await
        .map(drop)
}

/// A store without its one feed row has been tampered with.
pub(super) fn no_feed() -> StoreError {
    StoreError::Corrupt {
        what: "change feed",
        value: "no epoch".into(),
    }
}

fn change(row: &Row) -> Result<Option<Change>, StoreError> {
    let Some(position) = row.get::<Option<i64>>("position")? else {
        return Ok(None);
    };
    let names: &str = row.get("names")?;
    let what = match (row.get::<&str>("kind")?, row.get::<Option<Uuid>>("tenant")?) {
        ("tenant", Some(id)) => Changed::Tenant {
            id: TenantId(id),
            names: read(names)?,
        },
        ("bulk", _) => Changed::Bulk,
        ("signing_keys", _) => Changed::SigningKeys,
        ("certificates", _) => Changed::Certificates(read_with(names, unsigned)?),
        // A kind of a later version: whatever it is, forgetting everything is right.
        _ => Changed::Unknown,
    };
    Ok(Some(Change {
        position,
        at: row.get("at")?,
        what,
    }))
}

fn written(names: &[LookupKey]) -> String {
    texts(names.iter().map(LookupKey::to_string))
}

fn texts(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.map(serde_json::Value::from).collect();
    serde_json::Value::from(names).to_string()
}

/// `+name` where there is a certificate for it now, `-name` where there is none any more.
fn signed(change: &CertificateChange) -> String {
    let sign = if change.present { '+' } else { '-' };
    format!("{sign}{}", change.pattern)
}

/// Reads what [`signed`] writes.
fn unsigned(text: &str) -> Option<CertificateChange> {
    let (present, name) = match text.split_at_checked(1)? {
        ("+", name) => (true, name),
        ("-", name) => (false, name),
        _ => return None,
    };
    let pattern = DomainPattern::parse(name).ok()?;
    Some(CertificateChange { pattern, present })
}

fn read(names: &str) -> Result<Vec<LookupKey>, StoreError> {
    read_with(names, key)
}

fn read_with<T>(names: &str, one: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, StoreError> {
    let corrupt = || StoreError::Corrupt {
        what: "name in the change feed",
        value: names.into(),
    };
    let texts: Vec<String> = serde_json::from_str(names).map_err(|_| corrupt())?;
    texts
        .iter()
        .map(|text| one(text).ok_or_else(corrupt))
        .collect()
}

/// Reads what `Display` of [`LookupKey`] writes.
fn key(text: &str) -> Option<LookupKey> {
    let (kind, value) = text.split_once(':')?;
    match kind {
        "slug" => Slug::parse(value).ok().map(LookupKey::Slug),
        "id" => Uuid::try_parse(value)
            .ok()
            .map(|id| LookupKey::Id(TenantId(id))),
        "domain" => DomainPattern::parse(value).ok().map(domain_key),
        _ => None,
    }
}

/// The key under which a domain is looked up.
pub(super) fn domain_key(pattern: DomainPattern) -> LookupKey {
    match pattern {
        DomainPattern::Exact(name) => LookupKey::Domain(name),
        DomainPattern::Wildcard(parent) => LookupKey::Wildcard(parent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_feed_lead_back() {
        let names: Vec<LookupKey> = [
            "slug:acme",
            "domain:shop.example.com",
            "domain:*.example.com",
            "id:0190163d-8694-739b-aea5-966c26f8ad90",
        ]
        .iter()
        .map(|text| key(text).unwrap())
        .collect();
        assert!(matches!(names[2], LookupKey::Wildcard(_)));
        assert_eq!(read(&written(&names)).unwrap(), names);
        assert!(read(r#"["host:acme"]"#).is_err());
    }

    #[test]
    fn certificates_in_the_feed_lead_back() {
        let change = |name: &str, present| CertificateChange {
            pattern: DomainPattern::parse(name).unwrap(),
            present,
        };
        let changes = vec![change("*.example.com", true), change("a.test", false)];
        let text = texts(changes.iter().map(signed));
        assert_eq!(text, r#"["+*.example.com","-a.test"]"#);
        assert_eq!(read_with(&text, unsigned).unwrap(), changes);
        for bad in [r#"["a.test"]"#, r#"["+"]"#, r#"[""]"#, r#"["é"]"#] {
            assert!(read_with(bad, unsigned).is_err(), "{bad}");
        }
    }
}
