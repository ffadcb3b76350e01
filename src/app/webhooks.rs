//! Webhooks: who delivers events on this node.

use std::sync::Arc;

use super::StartError;
use super::keys::NodeKeys;
use super::open::StoreOpener;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::shutdown::Stopping;
use crate::tasks::webhooks::{Courier, LIMIT, Sender, WebhookTask};
use crate::tls;

/// Delivers events for as long as the process lives, from the moment when the store is open.
pub(super) fn deliver(
    clock: &Clock,
    metrics: &Arc<Metrics>,
    keys: &Arc<NodeKeys>,
    opener: &Arc<StoreOpener>,
    stopping: &Stopping,
) -> Result<(), StartError> {
    let trust = tls::client_config(None).map_err(StartError::Webhooks)?;
    let sender = Sender::new(trust, LIMIT);
    let (clock, metrics, keys) = (clock.clone(), Arc::clone(metrics), Arc::clone(keys));
    let (opener, stopping) = (Arc::clone(opener), stopping.clone());
    tokio::spawn(async move {
        let courier = Courier {
            store: opener.store_once_open().await.acting_as("node"),
            sender,
            unseal: Box::new(move |purpose, sealed| keys.unseal(purpose, sealed)),
            clock,
        };
        let task = WebhookTask {
            courier: Arc::new(courier),
            metrics,
        };
        task.run(stopping).await;
    });
    Ok(())
}
