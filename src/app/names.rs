//! Customers' names: who looks at them on this node.

use std::sync::Arc;

use tokio::sync::Notify;

use super::StartError;
use super::open::StoreOpener;
use crate::clock::Clock;
use crate::config::Config;
use crate::domains::{Expected, Looker};
use crate::metrics::Metrics;
use crate::shutdown::Stopping;
use crate::tasks::domains::{self as looks, DomainTask, NameWatch};
use crate::tls::Inventory;

/// Looks at names for as long as the process lives, from the moment when the store is open.
pub(super) fn watch(
    config: &Config,
    clock: &Clock,
    (metrics, inventory): (&Arc<Metrics>, Option<&Arc<Inventory>>),
    opener: &Arc<StoreOpener>,
    stopping: &Stopping,
) -> Result<(), StartError> {
    let (inventory, time) = (inventory.cloned(), clock.clone());
    let own_certificate = move |pattern: &_| {
        let inventory = inventory.as_ref();
        inventory.is_some_and(|it| it.folder_covers(pattern, time.now()))
    };
    let watch = NameWatch {
        looker: Looker::new(&config.domains).map_err(StartError::Dns)?,
        expected: Expected::new(&config.domains, &config.acme, config.acme_dns.as_ref()),
        settings: looks::settings(config),
        clock: clock.clone(),
        own_certificate: Box::new(own_certificate),
    };
    let cooloff = config.domains.cooloff;
    let (metrics, opener, stopping) = (Arc::clone(metrics), Arc::clone(opener), stopping.clone());
    tokio::spawn(async move {
        let task = DomainTask {
            store: opener.store_once_open().await.acting_as("node"),
            watch: Arc::new(watch),
            cooloff,
            wake: Arc::new(Notify::new()),
            metrics,
        };
        task.run(stopping).await;
    });
    Ok(())
}
