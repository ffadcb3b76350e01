//! The whole store as one file that either engine can read: written from one moment, put back in one transaction.

use std::fs::File;
use std::io::Write;

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::model::SigningKeyRecord;

use super::changes::{FEED_LOCK, no_feed};
use super::signing_keys::KEYS_LOCK;
use super::values::Arg;
use super::writing::Writing;
use super::{BULK, Changed, Store, StoreError, migrations, ticket_keys};

mod file;
mod read;
mod tables;

pub use file::BackupError;

use file::{Header, Sum, Writer};
use tables::{TABLES, Table, Value};

/// Rows put back with one statement at most.
const CHUNK: usize = 500;

/// A backup that was read from its first byte to its last and is whole. What it holds has not been judged otherwise: whether the
/// sealing key at hand opens it, its reader finds out with [`Backup::signing_keys`].
#[derive(Debug)]
pub struct Backup {
    file: File,
    header: Header,
    sum: Sum,
    signing_keys: Vec<SigningKeyRecord>,
}

/// What a backup holds, or a restore has put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Held {
    /// Tenants, removed ones too.
    pub tenants: usize,
    /// Claims of names.
    pub domains: usize,
    /// Signing keys, retired ones too.
    pub signing_keys: usize,
    /// Certificates.
    pub certificates: usize,
    /// Rows of all tables.
    pub rows: usize,
}

/// What becomes of a store that holds tenants when a backup is put in its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// It stays: [`StoreError::NotEmpty`].
    Keep,
    /// It is replaced.
    Replace,
}

impl Store {
    /// Writes everything to `out`, as of one moment. What is sealed stays sealed.
    pub async fn backup(&self, out: &mut (dyn Write + Send)) -> Result<Held, StoreError> {
        let work = async {
            let mut session = self.inner.snapshot().await?;
            session.unhurried().await?;
            let mut writer = Writer::begin(out, migrations::known(), self.inner.clock.now().0)
                .map_err(StoreError::BackupWrite)?;
            let mut held = Held::default();
            for table in TABLES {
                writer.table(table).map_err(StoreError::BackupWrite)?;
                let before = writer.rows();
                session
                    .each(AssertSqlSafe(table.select()), |row| {
                        let values = table.values(row)?;
                        writer.row(&values).map_err(StoreError::BackupWrite)
                    })
                    .await?;
                held.add(table, writer.rows() - before);
            }
            writer.end().map_err(StoreError::BackupWrite)?;
            Ok(held)
        };
        self.timed("backup", BULK, work).await
    }

    /// Puts `backup` in the place of what the store holds, in one transaction: all of it is replaced or nothing is. The feed gets
    /// another epoch, so every node drops what it remembers. Refused by `existing` where the store holds tenants.
    pub async fn restore(
        &self,
        mut backup: Backup,
        existing: Existing,
    ) -> Result<Held, StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            tx.unhurried().await?;
            tx.lock(migrations::LOCK).await?;
            tx.lock(KEYS_LOCK).await?;
            // Nobody writes a row that would then be neither the backup's nor replaced; look-ups go on reading.
            if tx.either(false, true) {
                for table in TABLES {
                    let lock = format!("lock table {} in exclusive mode", table.name);
                    tx.script(AssertSqlSafe(lock)).await?;
                }
            }
            if existing == Existing::Keep {
                refuse_tenants(&mut tx).await?;
            }
            for table in TABLES.iter().rev() {
                let empty = format!("delete from {}", table.name);
                tx.script(AssertSqlSafe(empty)).await?;
            }
            // Not in the backup, and of the store that was here before.
            ticket_keys::clear(&mut tx).await?;
            tx.run("delete from challenges", &[]).await?;
            let held = put_back(&mut tx, &mut backup).await?;
            self.begin_epoch(&mut tx).await?;
            let detail = format!(
                "{} tenants, {} domains, as of {}",
                held.tenants,
                held.domains,
                super::Date(backup.header.made_at)
            );
            tx.audit("store.restore", "store", &detail).await?;
            tx.finish(&Changed::Bulk).await?;
            Ok(held)
        };
        self.timed("restore", BULK, work).await
    }

    /// Another history begins. Numbers go on where they were, so that whoever compares nothing but numbers is not misled either.
    async fn begin_epoch(&self, tx: &mut Writing) -> Result<(), StoreError> {
        tx.lock(FEED_LOCK).await?;
        let epoch: Uuid = self.inner.new_uuid();
        let there = tx
            .run(
                "update feed set epoch = $1, pruned_to = coalesce((select max(position) from changes), pruned_to)",
                &[epoch.into()],
            )
            .await?;
        if there != 1 {
            return Err(no_feed());
        }
        tx.run("delete from changes", &[]).await.map(drop)
    }
}

async fn refuse_tenants(tx: &mut Writing) -> Result<(), StoreError> {
    let row = tx.row("select count(*) as many from tenants", &[]).await?;
    let many: i64 = row.map_or(Ok(0), |row| row.get("many"))?;
    match u64::try_from(many).unwrap_or(0) {
        0 => Ok(()),
        tenants => Err(StoreError::NotEmpty { tenants }),
    }
}

async fn put_back(tx: &mut Writing, backup: &mut Backup) -> Result<Held, StoreError> {
    let (mut held, mut rows) = (Held::default(), backup.rows()?);
    while let Some((section, chunk)) = rows.chunk(CHUNK)? {
        let args: Vec<Vec<Arg<'_>>> = chunk
            .iter()
            .map(|row| row.iter().map(Value::arg).collect())
            .collect();
        tx.insert_many(&section.insert(), &args).await?;
        held.add(section.of, chunk.len());
    }
    Ok(held)
}

impl Held {
    fn add(&mut self, table: &Table, rows: usize) {
        self.rows += rows;
        match table.name {
            "tenants" => self.tenants += rows,
            "domains" => self.domains += rows,
            "signing_keys" => self.signing_keys += rows,
            "certificates" => self.certificates += rows,
            _ => {}
        }
    }
}
