//! How far this node's clock is from the database's. Leases, budgets and the times of claims are compared between nodes by their clocks.

use super::{Pools, READ, Store, StoreError};

impl Store {
    /// By how many milliseconds this node's clock is ahead of PostgreSQL's (behind it: negative), to half of the time that asking takes;
    /// `None` on SQLite, where there is but one clock.
    pub async fn clock_skew(&self) -> Result<Option<i64>, StoreError> {
        if matches!(self.inner.pools, Pools::Sqlite { .. }) {
            return Ok(None);
        }
        let work = async {
            // Before the clock is read: it may have to be made.
            let mut session = self.inner.reading().await?;
            let before = self.inner.clock.now();
            let row = session.row(NOW, &[]).await?;
            let after = self.inner.clock.now();
            let Some(row) = row else { return Ok(None) };
            let middle = before.0 + (after.0 - before.0) / 2;
            Ok(Some(middle - row.get::<i64>("at")?))
        };
        self.timed("clock", READ, work).await
    }
}

/// The statement's own moment, not that of its transaction.
const NOW: &str = "select (extract(epoch from clock_timestamp()) * 1000)::bigint as at";
