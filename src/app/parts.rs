//! Everything between the configuration and the threads, in the order in which one part needs another.

use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::keys::NodeKeys;
use super::names::{self, Stirrer};
use super::open::StoreOpener;
use super::{Addresses, StartError, system, tickets, webhooks};
use crate::admin::{self, AdminState, Readiness};
use crate::clock::{Clock, Timestamp};
use crate::config::{self, Config};
use crate::decide::{self, HostClass, Policy};
use crate::guard::Guard;
use crate::jwks::JwksTimings;
use crate::metrics::Metrics;
use crate::model::{Causes, Hostname};
use crate::nameserver::{self, NameServer};
use crate::proxy::Shared;
use crate::proxy::access_log::{AccessLog, AccessLogGuard};
use crate::resolve::{Resolver, Tokens};
use crate::shutdown::Stopping;
use crate::sign::Signer;
use crate::store::OpenChallenges;
use crate::tasks::changes::Follower;
use crate::tasks::folder;
use crate::tasks::snapshot::SnapshotTask;
use crate::tls::{Inventory, TlsAcceptor};
use crate::upstream::Upstreams;

/// How long a start waits for the first answers of a store that is open.
const CONTACT: Duration = Duration::from_secs(5);

/// The parts of a running edge.
pub(super) struct Parts {
    shared: Arc<Shared>,
    /// Visitors are accepted.
    serving: Arc<AtomicBool>,
    /// The last snapshot is on disk when this ends.
    snapshot: JoinHandle<()>,
    /// By what names the operator's and the scrapers' listener may be called.
    hostnames: [Arc<[Hostname]>; 2],
}

impl Parts {
    /// Builds everything and starts the control plane's tasks.
    pub(super) async fn build(
        config: &Config,
        clock: Clock,
        addresses: &Addresses,
        stopping: Stopping,
    ) -> Result<(Self, AccessLogGuard), StartError> {
        let metrics = Metrics::new(config.metrics.tenant_series).map_err(StartError::Metrics)?;
        let inventory = inventory(config, &metrics, clock.now())?;
        let routes = Routes::build(config, &clock, &metrics, &inventory, stopping.clone()).await?;
        let upstreams = upstreams(config, addresses, &metrics, stopping.clone()).await?;
        let (access_log, log) = AccessLog::start(&config.log.access, Arc::clone(&metrics))
            .map_err(system("the access log"))?;
        let shared = Shared {
            acceptor: acceptor(config, &inventory, &routes.challenges, &metrics),
            challenges: routes.challenges,
            policy: Policy::new(config, upstreams, inventory),
            timeouts: config.edge.timeouts,
            body_rate: config.limits.body_rate,
            guard: Guard::new(
                &config.limits,
                &config.edge.trusted_proxies,
                Arc::clone(&metrics),
            ),
            probe_path: config.edge.probe_path.clone(),
            resolver: routes.resolver,
            signer: routes.signer,
            metrics,
            access_log,
            clock,
            stopping,
        };
        let parts = Self {
            shared: Arc::new(shared),
            serving: Arc::default(),
            snapshot: routes.snapshot,
            hostnames: [&config.admin.hostnames, &config.metrics.hostnames]
                .map(|names| names.as_slice().into()),
        };
        Ok((parts, log))
    }

    /// What the data plane works with.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Visitors are accepted from now on.
    pub(super) fn mark_serving(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// Starts the operator's and the scrapers' listeners.
    pub(super) fn serve_operator(
        &self,
        admin: Option<StdListener>,
        metrics: Option<StdListener>,
    ) -> Result<(), StartError> {
        for (listener, hostnames) in [admin, metrics].into_iter().zip(&self.hostnames) {
            let Some(listener) = listener else { continue };
            let state = self.admin_state(hostnames);
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(system("the operator's listener"))?;
            tokio::spawn(admin::serve(
                listener,
                admin::router(state),
                self.shared.stopping.clone(),
            ));
        }
        Ok(())
    }

    /// Starts answering for our own zone.
    pub(super) fn serve_zone(&self, config: &Config, sockets: Vec<nameserver::Sockets>) {
        let Some(settings) = &config.acme_dns else {
            return;
        };
        let challenges = Arc::clone(&self.shared.challenges);
        let server = NameServer::new(settings, &config.domains.addresses, challenges);
        let server = Arc::new(server);
        for sockets in sockets {
            let (server, stopping) = (Arc::clone(&server), self.shared.stopping.clone());
            tokio::spawn(async move {
                if let Err(error) = sockets.serve(server, stopping).await {
                    tracing::error!(%error, "the name server's sockets could not be taken over");
                }
            });
        }
    }

    fn admin_state(&self, hostnames: &Arc<[Hostname]>) -> AdminState {
        let (shared, serving) = (Arc::clone(&self.shared), Arc::clone(&self.serving));
        let ready = move || Readiness {
            listeners_bound: serving.load(Ordering::Acquire),
            routes_known: shared.resolver.ready(),
        };
        let keys = Arc::clone(&self.shared);
        AdminState {
            stopping: self.shared.stopping.clone(),
            hostnames: Arc::clone(hostnames),
            metrics: Arc::clone(&self.shared.metrics),
            ready: Arc::new(ready),
            jwks: Arc::new(move || keys.signer.jwks(keys.clock.now())),
        }
    }

    /// Waits for what must be on disk.
    pub(super) async fn finish(self) {
        let _ = self.snapshot.await;
    }
}

/// Who lives where, and what is signed for them: all that needs the store.
struct Routes {
    resolver: Arc<Resolver>,
    signer: Arc<Signer>,
    challenges: Arc<OpenChallenges>,
    snapshot: JoinHandle<()>,
}

impl Routes {
    async fn build(
        config: &Config,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        inventory: &Arc<Inventory>,
        stopping: Stopping,
    ) -> Result<Self, StartError> {
        let control = Handle::current();
        let signed = Some(metrics.assertions_signed.clone());
        let signer = Signer::new(&config.signing, &config.upstreams, signed);
        let signer = signer.map_err(StartError::Sign)?;
        let file = config.store.secret_key_file.clone();
        let keys = Arc::new(NodeKeys::new(Arc::clone(&signer), file));
        let inventory = stored_certificates(config, inventory, &control, &keys);
        let resolver = Resolver::new(
            &config.cache,
            None,
            control.clone(),
            clock.clone(),
            Arc::clone(metrics),
        );
        let tokens = tokens(config, &control, clock, metrics)?;
        resolver.verify_tokens_with(Box::new(tokens));
        let remembered = resolver.load_snapshot(&config.cache.snapshot_file);
        let challenges = OpenChallenges::new(control);
        let opener = StoreOpener::new(
            config,
            clock,
            metrics,
            Arc::clone(&keys),
            Arc::clone(&challenges),
        );
        let opener = Arc::new(opener);
        let open = opener.open_at_start().await?;
        if !open {
            keys.restore(remembered)?;
        }
        let stirrer = names::watch(
            config,
            clock,
            (metrics, inventory.as_ref()),
            &opener,
            &stopping,
        )?;
        webhooks::deliver(clock, metrics, &keys, &opener, &stopping)?;
        if let Some(inventory) = &inventory {
            tickets::keep(inventory, &keys, &opener, clock).await;
            tokio::spawn(folder::follow(Arc::clone(inventory), clock.clone()));
        }
        follow(config, clock, (&resolver, inventory), &opener, stirrer);
        if open {
            first_contact(&resolver).await;
        }
        let snapshot = keep_snapshot(config, &resolver, &keys, stopping);
        Ok(Self {
            resolver,
            signer,
            challenges,
            snapshot,
        })
    }
}

fn acceptor(
    config: &Config,
    inventory: &Arc<Inventory>,
    challenges: &Arc<OpenChallenges>,
    metrics: &Arc<Metrics>,
) -> Option<Arc<TlsAcceptor>> {
    if config.edge.https.is_empty() {
        return None;
    }
    let limit = config.edge.timeouts.head;
    let acceptor = TlsAcceptor::new(Arc::clone(inventory), limit, Arc::clone(metrics));
    Some(Arc::new(acceptor.answering(Arc::clone(challenges) as _)))
}

/// What reads tokens as `config` says.
pub(crate) fn tokens(
    config: &Config,
    control: &Handle,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Tokens>, StartError> {
    let config::Jwks {
        timeout,
        refresh,
        refetch,
        keep,
    } = config.routing.jwks;
    let timings = JwksTimings {
        fetch: timeout,
        refresh,
        refetch,
        keep,
    };
    Tokens::new(
        &config.routing.tokens,
        timings,
        control.clone(),
        clock.clone(),
        Arc::clone(metrics),
    )
    .map_err(StartError::Tokens)
}

/// The inventory again, with the store behind its folder; none where nobody is shown a certificate.
fn stored_certificates(
    config: &Config,
    inventory: &Arc<Inventory>,
    control: &Handle,
    keys: &Arc<NodeKeys>,
) -> Option<Arc<Inventory>> {
    if config.edge.https.is_empty() {
        return None;
    }
    let keys = Arc::clone(keys);
    let unseal = move |purpose: &str, sealed: &[u8]| keys.unseal(purpose, sealed);
    inventory.expect_store(control.clone(), Box::new(unseal));
    let routing = config.routing.clone();
    inventory.exempt(Box::new(move |name| {
        decide::host::classify(name, &routing) != HostClass::Custom
    }));
    Some(Arc::clone(inventory))
}

/// Follows the store's feed for as long as the process lives.
fn follow(
    config: &Config,
    clock: &Clock,
    (resolver, inventory): (&Arc<Resolver>, Option<Arc<Inventory>>),
    opener: &Arc<StoreOpener>,
    stirrer: Stirrer,
) {
    let wake = Arc::new(Notify::new());
    tokio::spawn(Arc::clone(opener).keep_keys(Arc::clone(&wake)));
    let follower = Follower {
        resolver: Arc::clone(resolver),
        inventory: inventory.clone(),
        clock: clock.clone(),
        poll: config.store.poll,
        told: Box::new(move |changed| stirrer.told(changed)),
        signing_keys_changed: Box::new(move || wake.notify_one()),
    };
    let opener = Arc::clone(opener);
    tokio::spawn(follower.run(move || {
        let (opener, inventory) = (Arc::clone(&opener), inventory.clone());
        async move {
            let opened = opener.opened().await?;
            if let (Some(inventory), Some(store)) = (inventory, opener.store()) {
                inventory.attach(Arc::new(store.clone()));
            }
            Ok(opened)
        }
    }));
}

/// Waits until the feed of a store that is open is followed, so that the first visitor is not told that it is away, and until all names
/// are known, so that a flood that meets a node at its start is none to the store.
async fn first_contact(resolver: &Resolver) {
    let known = async {
        resolver.in_contact().await;
        resolver.names_known().await;
    };
    let _ = tokio::time::timeout(CONTACT, known).await;
}

fn keep_snapshot(
    config: &Config,
    resolver: &Arc<Resolver>,
    keys: &Arc<NodeKeys>,
    stopping: Stopping,
) -> JoinHandle<()> {
    let keys = Arc::clone(keys);
    let task = SnapshotTask {
        resolver: Arc::clone(resolver),
        file: config.cache.snapshot_file.clone(),
        interval: config.cache.snapshot_interval,
        signing_keys: Arc::new(move || keys.records()),
    };
    tokio::spawn(task.run(stopping))
}

/// A folder that nobody needs may be missing; a certificate that cannot be used costs its own names, not the node.
fn inventory(
    config: &Config,
    metrics: &Arc<Metrics>,
    now: Timestamp,
) -> Result<Arc<Inventory>, StartError> {
    let (inventory, report) =
        Inventory::load(&config.tls, Arc::clone(metrics), now).map_err(StartError::Tls)?;
    if !config.edge.https.is_empty() {
        let faults = report.faults.iter();
        for fault in faults.filter(|fault| !fault.is_no_folder()) {
            tracing::warn!(
                error = %Causes(fault),
                "a certificate is not used"
            );
        }
    }
    Ok(inventory)
}

async fn upstreams(
    config: &Config,
    addresses: &Addresses,
    metrics: &Arc<Metrics>,
    stopping: Stopping,
) -> Result<Arc<Upstreams>, StartError> {
    let own: Vec<_> = addresses
        .http
        .iter()
        .chain(&addresses.https)
        .copied()
        .collect();
    let upstreams =
        Upstreams::new(&config.upstreams, &own, metrics).map_err(StartError::Upstream)?;
    let dns = crate::dns::SystemDns::new().map_err(StartError::Dns)?;
    tokio::spawn(Arc::clone(&upstreams).keep_resolved(dns, stopping));
    upstreams.resolved_once().await;
    Ok(upstreams)
}
