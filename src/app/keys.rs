//! The signing keys of a node: from the store where it is there, from the snapshot where it is not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::StartError;
use crate::model::{Causes, Secret, SigningKeyRecord};
use crate::seal::{SealError, Sealer};
use crate::sign::Signer;
use crate::store::{Store, StoreError};

/// What the node signs with, and what it needs to open new keys.
pub(super) struct NodeKeys {
    signer: Arc<Signer>,
    file: PathBuf,
    sealer: RwLock<Option<Sealer>>,
    records: Mutex<Vec<SigningKeyRecord>>,
}

impl NodeKeys {
    /// None yet.
    pub(super) fn new(signer: Arc<Signer>, file: PathBuf) -> Self {
        Self {
            signer,
            file,
            sealer: RwLock::default(),
            records: Mutex::default(),
        }
    }

    /// Takes the sealing key that opens what the store holds.
    pub(super) fn unlock(&self, sealer: Sealer) {
        *self.sealer.write().unwrap_or_else(PoisonError::into_inner) = Some(sealer);
    }

    /// The keys as they were last given, for the snapshot.
    pub(super) fn records(&self) -> Vec<SigningKeyRecord> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes the keys of a snapshot, for a node whose store is away: one that holds sealed keys and cannot open them must not start.
    pub(super) fn restore(&self, records: Vec<SigningKeyRecord>) -> Result<(), StartError> {
        if records.is_empty() {
            return Ok(());
        }
        let opens = |sealer: &Sealer| {
            let mut sealed = records.iter().map(|key| &key.sealed_private_key);
            sealed.all(|key| sealer.sealed(key))
        };
        let sealer = Sealer::open(&self.file).map_err(StartError::Seal)?;
        let Some(sealer) = sealer.filter(opens) else {
            let path = self.file.clone();
            return Err(StartError::SealingKey { path });
        };
        self.unlock(sealer);
        self.take(records);
        Ok(())
    }

    /// Opens another secret of the store. One that was sealed anew while this node was running is opened with the file as it is now.
    pub(super) fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, SealError> {
        let open = || match &*self.sealer.read().unwrap_or_else(PoisonError::into_inner) {
            Some(sealer) => sealer.unseal(purpose, sealed),
            None => Err(SealError::OtherKey),
        };
        match open() {
            Err(SealError::OtherKey) => {
                if let Some(sealer) = Sealer::open(&self.file)? {
                    self.unlock(sealer);
                }
                open()
            }
            other => other,
        }
    }

    /// Seals another secret for the store; nothing while there is no sealing key.
    pub(super) fn seal(&self, purpose: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let sealer = self.sealer.read().unwrap_or_else(PoisonError::into_inner);
        sealer.as_ref().map(|sealer| sealer.seal(purpose, plain))
    }

    /// Reads the keys anew from the store. Assertions handed out so far are forgotten: in a restored store the versions of rows may
    /// come a second time and say something else.
    pub(super) async fn reload(&self, store: &Store) -> Result<(), StoreError> {
        self.signer.forget();
        self.take(store.signing_keys().await?);
        Ok(())
    }

    fn take(&self, records: Vec<SigningKeyRecord>) {
        if let Err(error) = self.load(&records) {
            // The file may have been replaced by one that seals anew while this node was running.
            tracing::info!(
                error = %Causes(&error),
                "reading the sealing key again"
            );
            if let Ok(Some(sealer)) = Sealer::open(&self.file) {
                self.unlock(sealer);
            }
            if let Err(error) = self.load(&records) {
                tracing::error!(error = %Causes(&error), file = %self.file.display(), "a signing key cannot be used");
            }
        }
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = records;
    }

    fn load(&self, records: &[SigningKeyRecord]) -> Result<(), crate::sign::SignError> {
        match &*self.sealer.read().unwrap_or_else(PoisonError::into_inner) {
            Some(sealer) => self.signer.load(records, sealer),
            None => Ok(()),
        }
    }
}
