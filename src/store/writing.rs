//! A transaction that changes something, and what it owes the change feed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use uuid::Uuid;

use super::session::Session;
use super::{Changed, Store, StoreError, changes};
use crate::clock::Timestamp;

/// A transaction that changes something. It ends in [`Writing::finish`], which puts the change into the feed as the last
/// statement, or in [`Writing::finish_unannounced`] where no answer of the data plane depends on what was written.
pub(super) struct Writing {
    session: Session,
    store: Store,
}

impl Store {
    /// Begins a change.
    pub(super) async fn writing(&self) -> Result<Writing, StoreError> {
        let session = self.inner.exclusive().await?;
        Ok(Writing {
            session,
            store: self.clone(),
        })
    }
}

impl Writing {
    /// Puts `changed` into the feed, commits, and wakes who waits in this process.
    pub(super) async fn finish(mut self, changed: &Changed) -> Result<(), StoreError> {
        changes::append(&mut self.session, changed, self.store.inner.clock.now()).await?;
        self.session.commit().await?;
        self.store
            .inner
            .written
            .send_modify(|count| *count = count.wrapping_add(1));
        Ok(())
    }

    /// The time of this change.
    pub(super) fn now(&self) -> Timestamp {
        self.store.inner.clock.now()
    }

    /// When a slug that is given up with this change can go to somebody else, in milliseconds since 1970.
    pub(super) fn slug_free_at(&self) -> i64 {
        self.now().plus(self.store.slug_cooloff).0
    }

    /// See [`super::Inner::new_uuid`].
    pub(super) fn new_uuid(&self) -> Uuid {
        self.store.inner.new_uuid()
    }

    /// Who makes this change.
    pub(super) fn actor(&self) -> Arc<str> {
        Arc::clone(&self.store.actor)
    }

    /// Commits what no answer of the data plane depends on.
    pub(super) async fn finish_unannounced(self) -> Result<(), StoreError> {
        self.session.commit().await
    }
}

impl Deref for Writing {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Writing {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}
