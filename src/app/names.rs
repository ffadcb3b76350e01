//! Customers' names and their certificates: who looks at them and orders on this node.

use std::sync::Arc;

use tokio::sync::Notify;

use super::StartError;
use super::certificates::Ordering;
use super::open::StoreOpener;
use crate::clock::Clock;
use crate::config::Config;
use crate::domains::{Expected, Looker};
use crate::metrics::Metrics;
use crate::model::{DomainPattern, LookupKey};
use crate::shutdown::Stopping;
use crate::store::Changed;
use crate::tasks::certificates::Wake;
use crate::tasks::clocks::ClockTask;
use crate::tasks::domains::{self as looks, DomainTask, NameWatch};
use crate::tls::Inventory;

/// Tells those who look after names that there may be something to do.
#[derive(Clone, Default)]
pub(super) struct Stirrer {
    names: Arc<Notify>,
    certificates: Arc<Wake>,
}

impl Stirrer {
    /// Of a change in the store.
    pub(super) fn told(&self, changed: &Changed) {
        match changed {
            Changed::Tenant { names, .. } => {
                self.certificates.names(names.iter().filter_map(pattern))
            }
            Changed::Certificates(changes) if !changes.is_empty() => {
                self.names.notify_one();
                let names = changes.iter().map(|change| change.pattern.clone());
                self.certificates.names(names);
            }
            Changed::Certificates(_) | Changed::Bulk | Changed::Unknown => {
                self.names.notify_one();
                self.certificates.everything();
            }
            Changed::SigningKeys => {}
        }
    }
}

/// Looks after names for as long as the process lives, from the moment when the store is open.
pub(super) fn watch(
    config: &Config,
    clock: &Clock,
    (metrics, inventory): (&Arc<Metrics>, Option<&Arc<Inventory>>),
    opener: &Arc<StoreOpener>,
    stopping: &Stopping,
) -> Result<Stirrer, StartError> {
    let stirrer = Stirrer::default();
    let looker = Looker::new(&config.domains).map_err(StartError::Dns)?;
    let ordering = Ordering::new(
        config,
        clock,
        (metrics, inventory),
        looker.clone(),
        (&stirrer.certificates, &stirrer.names),
    )?;
    let watch = Arc::new(name_watch(config, clock, inventory, looker));
    tokio::spawn(try_target(Arc::clone(&watch)));
    let cooloff = config.domains.cooloff;
    let spared = needs_no_claim(config);
    let (metrics, opener, stopping) = (Arc::clone(metrics), Arc::clone(opener), stopping.clone());
    let Stirrer {
        names,
        certificates,
    } = stirrer.clone();
    tokio::spawn(async move {
        let store = opener.store_once_open().await;
        let clocks = ClockTask {
            store: store.clone(),
            metrics: Arc::clone(&metrics),
        };
        tokio::spawn(clocks.run(stopping.clone()));
        if let Some(ordering) = ordering {
            tokio::spawn(ordering.on(&store).run(stopping.clone()));
        }
        let task = DomainTask {
            store: store.acting_as("node"),
            watch,
            cooloff,
            spared,
            wake: names,
            changed: Box::new(move |pattern| certificates.names([pattern.clone()])),
            metrics,
        };
        task.run(stopping).await;
    });
    Ok(stirrer)
}

/// Says whether the certificate of a name that nobody claims is needed all the same: of a name that nobody can claim, because it is the
/// operator's own, unless nothing is ordered for it.
fn needs_no_claim(config: &Config) -> Box<dyn Fn(&DomainPattern) -> bool + Send + Sync> {
    let config = config.clone();
    Box::new(move |pattern| {
        config.unclaimable(pattern).is_some() && !config.tls.not_ordered.contains(pattern)
    })
}

/// Says at the start if the name to which customers point theirs leads nowhere: a slip of the pen, or not set up yet.
async fn try_target(watch: Arc<NameWatch>) {
    if let Some(target) = &watch.expected.cname_target
        && watch.looker.target_is_dead(&watch.expected).await
    {
        tracing::warn!(
            %target,
            "`domains.cname_target` has no address: whoever points a name there leads it nowhere, and gets no certificate"
        );
    }
}

fn name_watch(
    config: &Config,
    clock: &Clock,
    inventory: Option<&Arc<Inventory>>,
    looker: Looker,
) -> NameWatch {
    let (inventory, time) = (inventory.cloned(), clock.clone());
    let own_certificate = move |pattern: &DomainPattern| {
        let inventory = inventory.as_ref();
        inventory.is_some_and(|it| it.folder_covers(pattern, time.now()))
    };
    NameWatch {
        looker,
        expected: Expected::new(config),
        settings: looks::settings(config),
        clock: clock.clone(),
        own_certificate: Box::new(own_certificate),
    }
}

fn pattern(key: &LookupKey) -> Option<DomainPattern> {
    match key {
        LookupKey::Domain(name) => Some(DomainPattern::Exact(name.clone())),
        LookupKey::Wildcard(parent) => Some(DomainPattern::Wildcard(parent.clone())),
        LookupKey::Slug(_) | LookupKey::Id(_) => None,
    }
}
