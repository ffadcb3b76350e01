//! What the resolver knows of itself, for metrics and the operator; and the loading of the name set.

use super::Resolver;
use crate::clock::Timestamp;
use crate::store::{Cursor, StoreError};

/// The resolver's state at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// Whether the store answers.
    pub store_up: bool,
    /// Whether routes are known.
    pub ready: bool,
    /// When the store last answered.
    pub last_contact: Option<Timestamp>,
    /// Up to where changes have been applied.
    pub cursor: Option<Cursor>,
    /// Routes in memory, roughly.
    pub routes: u64,
    /// Names remembered to lead nowhere, roughly.
    pub absences: u64,
    /// Names in the set; `None` while it is not complete.
    pub names: Option<usize>,
}

impl Resolver {
    /// The state now. Also sets the gauges that say the same.
    pub fn status(&self) -> Status {
        let (routes, absences) = self.cache.sizes();
        let names = self.names.len();
        let gauge = |cache: &str, entries: u64| {
            let entries = i64::try_from(entries).unwrap_or(i64::MAX);
            self.metrics
                .cache_entries
                .with_label_values(&[cache])
                .set(entries);
        };
        gauge("routes", routes);
        gauge("absences", absences);
        gauge("names", names.unwrap_or(0) as u64);
        Status {
            store_up: self.contact.is_up(),
            ready: self.ready(),
            last_contact: self.contact.last(),
            cursor: self.cursor(),
            routes,
            absences,
            names,
        }
    }

    /// Loads the set of names. False where the list was overtaken on its way and has to be asked for again.
    pub async fn load_names(&self) -> Result<bool, StoreError> {
        let (Some(source), Some(this)) = (self.source.get(), self.this.upgrade()) else {
            return Ok(false);
        };
        // What is applied from here on is added to the list; what was before must be in it.
        let (number, era, begun) = {
            let _still = self.still();
            let era = self.applied.era();
            let Some(begun) = era.cursor() else {
                return Ok(false);
            };
            (self.names.begin(), era, begun.position)
        };
        let list = source.names().await?;
        let digested = self.control.spawn_blocking(move || {
            let names = this.names.digest(&list.names);
            drop(list.names);
            let _still = this.still();
            this.applied.list_holds(&era, begun, list.at) && this.names.finish(number, names)
        });
        Ok(digested.await.unwrap_or(false))
    }
}
