//! Keeps the keys of session tickets the same on all nodes, new every twelve hours, and none of them for much longer than a day: whoever
//! steals one can read no more than the sessions of that time (RFC 8446 section F.1.3).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::model::Causes;
use crate::store::{Store, StoreError, TicketKeyLife, TicketKeyRecord, ticket_key_purpose};
use crate::tls::{TicketKey, Tickets, Unseal, new_ticket_key};

/// A key seals for this long, and opens for as long again as a ticket may be kept (`Tickets`' lifetime), and while it is on its way.
const LIFE: TicketKeyLife = TicketKeyLife {
    period: Duration::from_secs(12 * 3600),
    keep: Duration::from_secs(25 * 3600),
};
/// A new key opens for this long before it seals, so that every node has it by then.
const LEAD: Duration = Duration::from_secs(5 * 60);
/// Between two looks at the store; and while there is none, or it does not answer.
const PAUSE: Duration = Duration::from_secs(60);
const SHORT_PAUSE: Duration = Duration::from_secs(1);

/// Seals for a purpose; nothing while there is no sealing key.
pub type Seal = Box<dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync>;

/// Seals and opens secrets of the store.
pub struct Safe {
    /// Seals.
    pub seal: Seal,
    /// Opens.
    pub open: Unseal,
}

/// Whose keys, from where.
pub struct TicketTask {
    /// Who uses them.
    pub tickets: Arc<Tickets>,
    /// What they are sealed with in the store.
    pub safe: Safe,
    /// The time.
    pub clock: Clock,
}

impl TicketTask {
    /// Runs for as long as the node does. Until `store` gives one, the node's own key is used.
    pub async fn run(self, store: impl Fn() -> Option<Store>) {
        let mut silent = false;
        loop {
            let pause = match store() {
                None => SHORT_PAUSE,
                Some(store) => match self.reconcile(&store).await {
                    Ok(()) => {
                        silent = false;
                        PAUSE
                    }
                    Err(error) => {
                        // Once: while the store is away that is all there is to say.
                        if !std::mem::replace(&mut silent, true) {
                            tracing::warn!(error = %Causes(&error), "the keys of session tickets cannot be read");
                        }
                        SHORT_PAUSE
                    }
                },
            };
            sleep(pause).await;
        }
    }

    /// Makes the keys in use those of the store, after making those of the store what they should be.
    pub async fn reconcile(&self, store: &Store) -> Result<(), StoreError> {
        let usable = |record: &TicketKeyRecord| self.opened(record).is_some();
        let make = |id: Uuid| {
            let key = new_ticket_key()?;
            (self.safe.seal)(&ticket_key_purpose(id), key.expose())
        };
        let mut records = store.ticket_keys(LIFE, usable, make).await?;
        let now = self.clock.now();
        let leads = |record: &TicketKeyRecord| now.since(Timestamp(record.created_at)) < LEAD;
        // The latest that everybody has goes first, since it seals; where there is none yet, the oldest.
        let first = records.iter().rposition(|record| !leads(record));
        let first = first.unwrap_or_default();
        if first < records.len() {
            records[..=first].rotate_right(1);
        }
        let keys: Vec<_> = records
            .iter()
            .filter_map(|record| self.opened(record))
            .collect();
        if let Err(error) = self.tickets.replace(&keys) {
            tracing::error!(%error, "a key of session tickets cannot be used");
        }
        Ok(())
    }

    /// Nothing where it was sealed with another key: then sessions of it are of no use here.
    fn opened(&self, record: &TicketKeyRecord) -> Option<TicketKey> {
        let key = (self.safe.open)(&record.purpose(), &record.sealed_key).ok()?;
        let name = record.id.into_bytes();
        Some(TicketKey { name, key })
    }
}
