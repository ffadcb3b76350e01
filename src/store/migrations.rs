//! The schema, brought up step by step. The steps are in the binary; each engine has its own text of them.

use super::session::Session;
use super::{Inner, StoreError};

/// PostgreSQL's advisory lock for migrations and the first start. ("vestibul", the last letter 0.)
pub(super) const LOCK: i64 = 0x7665_7374_6962_7500;

struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

/// In order, without gaps; what has been released is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "tenants",
        sqlite: include_str!("migrations/sqlite/0001_tenants.sql"),
        postgres: include_str!("migrations/postgres/0001_tenants.sql"),
    },
    Migration {
        version: 2,
        name: "certificates",
        sqlite: include_str!("migrations/sqlite/0002_certificates.sql"),
        postgres: include_str!("migrations/postgres/0002_certificates.sql"),
    },
    Migration {
        version: 3,
        name: "bytewise",
        sqlite: include_str!("migrations/sqlite/0003_bytewise.sql"),
        postgres: include_str!("migrations/postgres/0003_bytewise.sql"),
    },
    Migration {
        version: 4,
        name: "domain_life",
        sqlite: include_str!("migrations/sqlite/0004_domain_life.sql"),
        postgres: include_str!("migrations/postgres/0004_domain_life.sql"),
    },
    Migration {
        version: 5,
        name: "challenges",
        sqlite: include_str!("migrations/sqlite/0005_challenges.sql"),
        postgres: include_str!("migrations/postgres/0005_challenges.sql"),
    },
    Migration {
        version: 6,
        name: "orders",
        sqlite: include_str!("migrations/sqlite/0006_orders.sql"),
        postgres: include_str!("migrations/postgres/0006_orders.sql"),
    },
    Migration {
        version: 7,
        name: "events",
        sqlite: include_str!("migrations/sqlite/0007_events.sql"),
        postgres: include_str!("migrations/postgres/0007_events.sql"),
    },
    Migration {
        version: 8,
        name: "certificate_owners",
        sqlite: include_str!("migrations/sqlite/0008_certificate_owners.sql"),
        postgres: include_str!("migrations/postgres/0008_certificate_owners.sql"),
    },
    Migration {
        version: 9,
        name: "order_waits",
        sqlite: include_str!("migrations/sqlite/0009_order_waits.sql"),
        postgres: include_str!("migrations/postgres/0009_order_waits.sql"),
    },
];

/// The version that this program knows.
pub const fn known() -> i64 {
    match MIGRATIONS.last() {
        Some(last) => last.version,
        None => 0,
    }
}

/// Brings the schema up to [`known`]. Safe when several processes start at once: all steps are one transaction, on SQLite with
/// the write lock from its start, on PostgreSQL under an advisory lock (of the transaction, so that it holds through a pooler),
/// and the version is read again once it is won.
pub(super) async fn run(inner: &Inner) -> Result<(), StoreError> {
    if version(&mut inner.reading().await?).await? == Some(known()) {
        return Ok(());
    }
    let mut tx = inner.exclusive().await?;
    tx.unhurried().await?;
    tx.lock(LOCK).await?;
    let found = version(&mut tx).await?;
    if let Some(found) = found.filter(|found| *found > known()) {
        return Err(StoreError::SchemaNewer {
            found,
            known: known(),
        });
    }
    if found.is_none() {
        tx.script("create table vestibule_schema (version bigint primary key, name text not null, applied_at bigint not null)")
            .await?;
    }
    let now = inner.clock.now();
    for migration in MIGRATIONS
        .iter()
        .filter(|m| found.is_none_or(|found| m.version > found))
    {
        tx.script(tx.either(migration.sqlite, migration.postgres))
            .await?;
        tx.run(
            "insert into vestibule_schema (version, name, applied_at) values ($1, $2, $3)",
            &[
                migration.version.into(),
                migration.name.into(),
                now.0.into(),
            ],
        )
        .await?;
    }
    tx.run(
        "insert into feed (one, epoch, pruned_to) select 1, $1, 0 where not exists (select 1 from feed)",
        &[inner.new_uuid().into()],
    )
    .await?;
    tx.commit().await
}

/// Refuses a schema of another version; `place` is for a store that holds none.
pub(super) async fn check(inner: &Inner, place: &str) -> Result<(), StoreError> {
    let known = known();
    match version(&mut inner.reading().await?).await? {
        None => Err(StoreError::Missing {
            place: place.into(),
        }),
        Some(found) if found < known => Err(StoreError::SchemaOlder { found, known }),
        Some(found) if found > known => Err(StoreError::SchemaNewer { found, known }),
        Some(_) => Ok(()),
    }
}

/// The version of the schema that is there; `None` where there is none.
async fn version(session: &mut Session) -> Result<Option<i64>, StoreError> {
    let there = session.either(
        "select count(*) as there from sqlite_master where type = 'table' and name = 'vestibule_schema'",
        "select count(*) as there from pg_class where oid = to_regclass('vestibule_schema')",
    );
    let there = session.row(there, &[]).await?;
    if there.map(|row| row.get::<i64>("there")).transpose()? != Some(1) {
        return Ok(None);
    }
    let row = session
        .row(
            "select coalesce(max(version), 0) as version from vestibule_schema",
            &[],
        )
        .await?;
    row.map(|row| row.get("version")).transpose()
}

#[cfg(test)]
mod tests {
    use super::MIGRATIONS;

    #[test]
    fn versions_have_no_gaps() {
        for (expected, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.version, expected, "{}", migration.name);
        }
    }
}
