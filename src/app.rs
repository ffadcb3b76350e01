//! Builds every part from the configuration, starts the threads, and stops them in order.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::Config;
use crate::proxy::access_log::AccessLogGuard;
use crate::proxy::{self, Bound, Kind, Shared};
use crate::shutdown::{Shutdown, Stopping};
use crate::store::StoreError;

mod certificates;
mod keys;
mod listeners;
mod logging;
mod names;
mod open;
mod parts;
mod signals;
mod tickets;
mod webhooks;

pub use logging::start_log;
pub(crate) use parts::tokens;

use parts::Parts;

/// A running edge: both planes, all listeners.
pub struct Edge {
    addresses: Addresses,
    shutdown: Arc<Shutdown>,
    stopping: Stopping,
    threads: Vec<JoinHandle<()>>,
    /// Closed when the last data-plane thread has ended.
    ended: mpsc::Receiver<()>,
    timeouts: (Duration, Duration),
    parts: Parts,
    control: tokio::runtime::Runtime,
    _access_log: AccessLogGuard,
}

/// Where an edge listens, with the ports that the system chose.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Plain listeners.
    pub http: Vec<SocketAddr>,
    /// TLS listeners.
    pub https: Vec<SocketAddr>,
    /// The operator's listener.
    pub admin: Option<SocketAddr>,
    /// The scrapers' listener.
    pub metrics: Option<SocketAddr>,
    /// Where our own zone is answered, by datagrams and connections.
    pub name_server: Vec<SocketAddr>,
}

/// Why an edge did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be had.
    #[error("the address {address} cannot be listened at")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database is there and cannot be used.
    #[error("the routing database cannot be used")]
    Store(#[source] StoreError),
    /// The database is away, and so is a key file that opens what the snapshot holds.
    #[error(
        "the routing database is away, and the key at {path} does not open what this node remembers of it",
        path = path.display()
    )]
    SealingKey {
        /// Where the key is looked for.
        path: PathBuf,
    },
    /// The key file is there and cannot be used.
    #[error("the sealing key cannot be used")]
    Seal(#[source] crate::seal::SealError),
    /// The signer has no key for an upstream.
    #[error("assertions cannot be signed")]
    Sign(#[source] crate::sign::SignError),
    /// A token issuer's keys cannot be read.
    #[error("the token issuers cannot be set up")]
    Tokens(#[source] crate::resolve::TokensError),
    /// An upstream cannot be set up.
    #[error("the upstreams cannot be set up")]
    Upstream(#[source] crate::upstream::UpstreamError),
    /// The system's resolver settings cannot be read.
    #[error("host names cannot be looked up")]
    Dns(#[source] crate::dns::DnsError),
    /// A certificate authority cannot be set up.
    #[error("a certificate authority cannot be asked")]
    Acme(#[source] crate::acme::AcmeError),
    /// The certificates cannot be read.
    #[error("the certificates cannot be set up")]
    Tls(#[source] crate::tls::SetupError),
    /// Nobody can be spoken to over TLS.
    #[error("events cannot be sent to webhooks")]
    Webhooks(#[source] crate::tls::ClientConfigError),
    /// A thread, a file or the runtime cannot be had.
    #[error("{what} cannot be had")]
    System {
        /// What it is.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Two series of one name.
    #[error("the metrics cannot be set up")]
    Metrics(#[source] prometheus::Error),
}

impl StartError {
    /// What the operator can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::SealingKey { path } => {
                StoreError::SealingKeyMissing { path: path.clone() }.hint()
            }
            _ => None,
        }
    }
}

impl Edge {
    /// Binds, opens, starts. Returns when visitors are accepted; whether routes are known yet is what `/readyz` says.
    ///
    /// Must not be called from within an async runtime: it has its own.
    pub fn start(config: &Config, clock: Clock) -> Result<Self, StartError> {
        let control =
            crate::runtime::control_plane().map_err(system("the control plane's runtime"))?;
        let sockets = listeners::bind(config)?;
        let addresses = sockets.addresses();
        let (shutdown, stopping) = Shutdown::new();
        let (parts, log) =
            control.block_on(Parts::build(config, clock, &addresses, stopping.clone()))?;
        for edge in &sockets.edges {
            edge.show(&parts.shared().metrics);
        }
        {
            let _inside = control.enter();
            parts.serve_operator(sockets.admin, sockets.metrics)?;
            parts.serve_zone(config, sockets.name_server);
        }
        let (alive, ended) = mpsc::channel(1);
        let threads = start_threads(parts.shared(), sockets.edges, config.edge.workers, &alive)?;
        parts.mark_serving();
        Ok(Self {
            addresses,
            shutdown: Arc::new(shutdown),
            stopping,
            threads,
            ended,
            timeouts: (
                config.edge.timeouts.shutdown_wait,
                config.edge.timeouts.shutdown_drain,
            ),
            parts,
            control,
            _access_log: log,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// How far stopping has come, for those that run beside it.
    pub fn stopping(&self) -> Stopping {
        self.stopping.clone()
    }

    /// Runs until SIGTERM or SIGINT, then stops in order; a second signal ends at once.
    pub fn run_until_signal(self) -> io::Result<()> {
        let mut signals = {
            let _inside = self.control.enter();
            signals::Signals::new()?
        };
        self.control.block_on(signals.next());
        tracing::info!("stopping");
        self.stop_unless(async move { signals.next().await });
        Ok(())
    }

    /// Stops in order: not ready, wait, drain, end.
    pub fn stop(self) {
        self.stop_unless(std::future::pending());
    }

    fn stop_unless(mut self, hurry: impl Future<Output = ()>) {
        let (wait, drain) = self.timeouts;
        let shutdown = Arc::clone(&self.shutdown);
        let ended = &mut self.ended;
        let drained = async {
            let _ = ended.recv().await;
        };
        self.control
            .block_on(shutdown.run(wait, drain, drained, hurry));
        for thread in self.threads {
            // A thread that panicked has said so; the others are still to be waited for.
            let _ = thread.join();
        }
        self.control.block_on(self.parts.finish());
        self.control.shutdown_timeout(Duration::from_secs(1));
    }
}

fn start_threads(
    shared: &Arc<Shared>,
    edges: Vec<Bound>,
    workers: usize,
    alive: &mpsc::Sender<()>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut shares: Vec<Vec<(Kind, std::net::TcpListener)>> =
        (0..workers).map(|_| Vec::new()).collect();
    for edge in edges {
        for (share, socket) in shares.iter_mut().zip(edge.sockets) {
            share.push((edge.kind, socket));
        }
    }
    let posts = proxy::posts(workers);
    let start = |(index, (sockets, post)): (usize, (Vec<_>, _))| {
        let (shared, alive) = (Arc::clone(shared), alive.clone());
        let seed = rand::random();
        let run = move || async move {
            proxy::run(shared, sockets, post, seed).await;
            drop(alive);
        };
        crate::runtime::data_plane(index, run).map_err(system("a data-plane thread"))
    };
    shares
        .into_iter()
        .zip(posts)
        .enumerate()
        .map(start)
        .collect()
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { what, source }
}
