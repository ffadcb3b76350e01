//! Signing keys, their private halves sealed; and the first start, which makes the sealing key and the first signing key.

use std::path::Path;

use crate::model::SigningKeyRecord;
use crate::seal::Sealer;

use super::session::Session;
use super::values::Row;
use super::writing::Writing;
use super::{
    BULK, Changed, READ, Store, StoreError, WRITE, acme_accounts, certificates, migrations, orders,
    ticket_keys, webhooks,
};

/// PostgreSQL's advisory lock for changes of what is sealed. ("vestibul", the last letter 2.)
pub(super) const KEYS_LOCK: i64 = 0x7665_7374_6962_7502;

impl Store {
    /// Every signing key, oldest first, retired ones too.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let work = async { all(&mut self.inner.reading().await?).await };
        self.timed("signing_keys", READ, work).await
    }

    /// Adds a key.
    pub async fn insert_signing_key(&self, key: &SigningKeyRecord) -> Result<(), StoreError> {
        let work = async {
            let mut tx = self.writing().await?;
            insert(&mut tx, key).await?;
            tx.audit("key.insert", &key.kid, "").await?;
            tx.finish(&Changed::SigningKeys).await
        };
        self.timed("signing_key_insert", WRITE, work).await
    }

    /// Changes the keys by a plan: `plan` is given all of them, nobody else can change them meanwhile, and what it leaves is written
    /// (added, changed and missing ones alike). An error of the plan changes nothing. `action` is for the audit, as in `key.rotate`.
    pub async fn update_signing_keys<T, E>(
        &self,
        action: &'static str,
        plan: impl FnOnce(&mut Vec<SigningKeyRecord>) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let begin = async {
            let mut tx = self.writing().await?;
            tx.lock(KEYS_LOCK).await?;
            let keys = all(&mut tx).await?;
            Ok((tx, keys))
        };
        let (tx, before) = self.timed("signing_keys_locked", WRITE, begin).await?;
        let mut after = before.clone();
        let answer = plan(&mut after)?;
        let write = write_difference(tx, action, &before, &after);
        self.timed("signing_keys_update", WRITE, write).await?;
        Ok(answer)
    }

    /// Seals everything that is sealed anew, in one transaction: `keys` is given all signing keys and returns them with their private
    /// halves sealed otherwise, `other` is given everything else, one by one with its purpose. Returns how many keys and how many
    /// other secrets there were. An error changes nothing.
    pub async fn reseal<E>(
        &self,
        keys: impl FnOnce(&[SigningKeyRecord]) -> Result<Vec<SigningKeyRecord>, E>,
        other: impl Fn(&str, &[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<(usize, usize), E>
    where
        E: From<StoreError>,
    {
        let begin = async {
            let mut tx = self.writing().await?;
            tx.unhurried().await?;
            tx.lock(KEYS_LOCK).await?;
            let before = all(&mut tx).await?;
            Ok((tx, before))
        };
        let (mut tx, before) = self.timed("reseal_locked", WRITE, begin).await?;
        let after = keys(&before)?;
        // Nobody misses them for long, and each node makes do with what it has in memory.
        ticket_keys::clear(&mut tx).await?;
        // As long as it takes: there may be a hundred thousand.
        let others = certificates::reseal(&mut tx, &other).await?
            + orders::reseal(&mut tx, &other).await?
            + acme_accounts::reseal(&mut tx, &other).await?
            + webhooks::reseal(&mut tx, &other).await?;
        let write = write_difference(tx, "key.reseal", &before, &after);
        self.timed("reseal", BULK, write).await?;
        Ok((after.len(), others))
    }

    /// Opens what is sealed: the key in `secret_key_file`, which is made only where the store holds nothing sealed, and the first
    /// signing key by `make_key` where there is none. Under the migration lock: of several processes that start at once, one makes
    /// both and all end with the same. Refused where the store holds sealed secrets that the file does not open.
    pub async fn first_run<E>(
        &self,
        secret_key_file: &Path,
        make_key: impl FnOnce(&Sealer) -> Result<SigningKeyRecord, E>,
    ) -> Result<Sealer, StoreError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let work = async {
            let mut tx = self.writing().await?;
            tx.unhurried().await?;
            tx.lock(migrations::LOCK).await?;
            tx.lock(KEYS_LOCK).await?;
            let keys = all(&mut tx).await?;
            let path = secret_key_file.to_path_buf();
            let sealer = match (Sealer::open(&path)?, keys.is_empty()) {
                (Some(sealer), _) => sealer,
                (None, true) if others_sealed(&mut tx).await?.is_empty() => Sealer::create(&path)?,
                (None, _) => return Err(StoreError::SealingKeyMissing { path }),
            };
            let other = others_sealed(&mut tx).await?;
            let mut sealed = keys.iter().map(|key| &key.sealed_private_key).chain(&other);
            if !sealed.all(|secret| sealer.sealed(secret)) {
                return Err(StoreError::SealingKeyWrong { path });
            }
            if keys.is_empty() {
                let key = make_key(&sealer).map_err(|error| StoreError::FirstKey(error.into()))?;
                insert(&mut tx, &key).await?;
                tx.audit("key.first", &key.kid, "").await?;
                tx.finish(&Changed::SigningKeys).await?;
            }
            Ok(sealer)
        };
        self.timed("first_run", BULK, work).await
    }
}

async fn write_difference(
    mut tx: Writing,
    action: &'static str,
    before: &[SigningKeyRecord],
    after: &[SigningKeyRecord],
) -> Result<(), StoreError> {
    let gone = |key: &&SigningKeyRecord| !after.iter().any(|other| other.kid == key.kid);
    let other: Vec<_> = after.iter().filter(|key| !before.contains(key)).collect();
    let gone: Vec<_> = before.iter().filter(gone).collect();
    if other.is_empty() && gone.is_empty() {
        return tx.finish_unannounced().await;
    }
    for key in &gone {
        tx.run(
            "delete from signing_keys where kid = $1",
            &[(&key.kid).into()],
        )
        .await?;
    }
    for key in &other {
        tx.run(
            "delete from signing_keys where kid = $1",
            &[(&key.kid).into()],
        )
        .await?;
        insert(&mut tx, key).await?;
    }
    let kids: Vec<_> = other
        .iter()
        .chain(&gone)
        .map(|key| key.kid.as_str())
        .collect();
    tx.audit(action, &kids.join(" "), "").await?;
    tx.finish(&Changed::SigningKeys).await
}

/// Refuses a sealer that does not open what the store holds.
pub(super) async fn check_sealed_by(
    session: &mut Session,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    let keys = all(session).await?;
    let right = |key: &SigningKeyRecord| sealer.sealed(&key.sealed_private_key);
    match keys.iter().all(right) {
        true => Ok(()),
        false => Err(StoreError::SealedAnew),
    }
}

/// One secret of each kind besides the signing keys, where there is any: all are sealed by the same sealer.
async fn others_sealed(session: &mut Session) -> Result<Vec<Vec<u8>>, StoreError> {
    let all = [
        certificates::any_sealed(session).await?,
        orders::any_sealed(session).await?,
        acme_accounts::any_sealed(session).await?,
        webhooks::any_sealed(session).await?,
    ];
    Ok(all.into_iter().flatten().collect())
}

async fn insert(tx: &mut Writing, key: &SigningKeyRecord) -> Result<(), StoreError> {
    let inserted = tx
        .run(
            "insert into signing_keys (kid, public_key, sealed_private_key, created_at, active_from, retired_at) \
             values ($1, $2, $3, $4, $5, $6)",
            &[
                (&key.kid).into(),
                key.public_key.as_slice().into(),
                key.sealed_private_key.as_slice().into(),
                key.created_at.into(),
                key.active_from.into(),
                key.retired_at.into(),
            ],
        )
        .await;
    match inserted {
        Err(error) if error.is_duplicate() => Err(StoreError::KeyExists(key.kid.clone())),
        other => other.map(drop),
    }
}

async fn all(session: &mut Session) -> Result<Vec<SigningKeyRecord>, StoreError> {
    let rows = session
        .rows(
            "select kid, public_key, sealed_private_key, created_at, active_from, retired_at from signing_keys \
             order by created_at, kid",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<SigningKeyRecord, StoreError> {
    Ok(SigningKeyRecord {
        kid: row.get("kid")?,
        public_key: row.get("public_key")?,
        sealed_private_key: row.get("sealed_private_key")?,
        created_at: row.get("created_at")?,
        active_from: row.get("active_from")?,
        retired_at: row.get("retired_at")?,
    })
}
