//! Routes and sealed signing keys on disk, so that a node can start while its store is away.
//!
//! The file is replaced whole (temporary file, fsync, rename), carries a version and a checksum, and is ignored with a warning where
//! anything about it is wrong: a node without a snapshot is slower to be ready, a node with a wrong one would serve wrong tenants.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::model::{Causes, LookupKey, Route, SigningKeyRecord};
use crate::store::Cursor;

use super::Resolver;
use super::cache::Kept;
use super::key::KeyRef;
use super::names::NameHashes;

mod file;
mod read;
mod write;

/// What a snapshot holds.
#[derive(Clone, PartialEq, Debug)]
struct Snapshot {
    /// Up to where changes had been applied.
    cursor: Cursor,
    /// When the store had last answered.
    last_contact: Timestamp,
    /// Signing keys, their private halves sealed.
    signing_keys: Vec<SigningKeyRecord>,
    /// All names there were, if they were known: an exact name must not fall to a wildcard because it is not in memory.
    names: Option<NameHashes>,
    /// The routes that were in memory.
    routes: Vec<(LookupKey, Arc<Route>)>,
}

/// Why a snapshot was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The file system refused.
    #[error("the snapshot's file cannot be used")]
    Io(#[from] io::Error),
    /// Others may have written it.
    #[error("the snapshot can be written by others than this process's user")]
    Foreign,
    /// It is no snapshot, or it was written by another version of this program.
    #[error("the file is no snapshot of this version")]
    Version,
    /// It ends too early.
    #[error("the snapshot is cut short")]
    Short,
    /// A bit fell over.
    #[error("the snapshot's checksum does not match")]
    Checksum,
    /// It contains what no snapshot can.
    #[error("the snapshot has an impossible {0}")]
    Impossible(&'static str),
}

impl Resolver {
    /// Writes what is in memory to `path`, with `signing_keys`. Blocks: call it where that is allowed. Does nothing (`Ok(None)`)
    /// on a node that knows no routes, else returns how many were written.
    pub fn save_snapshot(
        &self,
        path: &Path,
        signing_keys: &[SigningKeyRecord],
    ) -> Result<Option<u64>, SnapshotError> {
        // The cursor before the routes: a change that comes between is applied to them again when they are read.
        let (cursor, names) = {
            let _still = self.still();
            (self.cursor(), self.names.all())
        };
        let (Some(cursor), Some(last_contact)) = (cursor, self.contact.last()) else {
            return Ok(None);
        };
        let head = write::Head {
            cursor,
            last_contact,
            signing_keys,
            names: names.as_ref(),
        };
        let routes = self.cache.routes(&self.applied);
        let written = file::replace(path, |out| write::snapshot(out, &head, routes));
        self.count_snapshot("save", if written.is_ok() { "ok" } else { "error" });
        written.map(Some)
    }

    /// Reads the snapshot at `path` into memory and returns its signing keys. A snapshot that is missing or cannot be trusted is
    /// ignored; so is one that comes after the store was reached. To be called before the feed is followed.
    pub fn load_snapshot(&self, path: &Path) -> Vec<SigningKeyRecord> {
        let snapshot = match file::open(path).and_then(|file| match file {
            Some(file) => read::snapshot(file).map(Some),
            None => Ok(None),
        }) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => {
                self.count_snapshot("load", "missing");
                return Vec::new();
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %Causes(&error), "the snapshot is ignored");
                self.count_snapshot("load", "ignored");
                return Vec::new();
            }
        };
        if self.cursor().is_some() {
            self.count_snapshot("load", "late");
            return Vec::new();
        }
        self.count_snapshot("load", "ok");
        self.remember(snapshot)
    }

    fn remember(&self, snapshot: Snapshot) -> Vec<SigningKeyRecord> {
        let _still = self.still();
        self.applied.restart(snapshot.cursor);
        if let Some(names) = snapshot.names {
            self.names.remember(names);
        }
        // Also where there were some: this is when those that went away long ago are shed.
        self.names.want();
        let era = self.applied.era();
        let capacity = usize::try_from(self.capacity).unwrap_or(usize::MAX);
        for (key, route) in snapshot.routes.into_iter().take(capacity) {
            // Stamped with the cursor, though it may have been read earlier: no change between the two was about it.
            let tenant = Some(route.tenant);
            let stamp = self
                .applied
                .stamp(&era, snapshot.cursor, KeyRef::from(&key), tenant);
            if let Some(stamp) = stamp {
                // Due at once: the first request after the store is back has it looked up again.
                let fresh_until = Timestamp::default();
                let kept = Kept {
                    route,
                    stamp,
                    fresh_until,
                };
                self.cache.keep_route(key, kept);
            }
        }
        self.contact.remembered(snapshot.last_contact);
        snapshot.signing_keys
    }

    fn count_snapshot(&self, operation: &str, result: &str) {
        let counter = &self.metrics.snapshot;
        counter.with_label_values(&[operation, result]).inc();
    }
}

#[cfg(test)]
mod tests;
