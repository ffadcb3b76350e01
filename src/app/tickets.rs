//! The session tickets of a node that shakes hands: their keys come from the store, before the first visitor where it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::keys::NodeKeys;
use super::open::StoreOpener;
use crate::clock::Clock;
use crate::tasks::tickets::{Safe, TicketTask};
use crate::tls::Inventory;

/// How long a start waits for the keys: without them the first visitors only shake hands in full.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads the keys, and keeps them as the fleet has them for as long as the process lives.
pub(super) async fn keep(
    inventory: &Arc<Inventory>,
    keys: &Arc<NodeKeys>,
    opener: &Arc<StoreOpener>,
    clock: &Clock,
) {
    let (seal, open) = (Arc::clone(keys), Arc::clone(keys));
    let task = TicketTask {
        tickets: Arc::clone(inventory.tickets()),
        safe: Safe {
            seal: Box::new(move |purpose, plain| seal.seal(purpose, plain)),
            open: Box::new(move |purpose, sealed| open.unseal(purpose, sealed)),
        },
        clock: clock.clone(),
    };
    if let Some(store) = opener.store() {
        // What fails here is tried again, and told, by the task.
        let _ = timeout(PATIENCE, task.reconcile(store)).await;
    }
    let opener = Arc::clone(opener);
    tokio::spawn(task.run(move || opener.store().cloned()));
}
