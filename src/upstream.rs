//! The application servers: where they are, which one a request goes to, and the connections to them.
//!
//! [`Upstreams`] is shared by all threads and built once from the configuration; a control-plane task keeps the addresses of its
//! host names fresh. Each data-plane thread has one [`Pool`] with connections of its own, so that nothing on a request's way is
//! locked: [`Pool::send`] is the one way in.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::watch;

use crate::config;
use crate::dns::Dns;
use crate::metrics::Metrics;
use crate::shutdown::{Phase, Stopping};

mod address;
mod answer;
mod choose;
mod connect;
mod error;
mod exchange;
mod names;
mod pool;
mod series;
mod tls_client;
mod upload;
mod wire;

pub use answer::{Answer, AnswerBody, BodyError};
pub use error::{AnswerFault, SendError};
pub use pool::Pool;
pub use upload::Request;
pub use wire::Tunnel;

use address::{Address, Site};
use series::Series;
use tls_client::Trust;
pub use tls_client::check_ca_files;

/// Every upstream of the configuration.
#[derive(Debug)]
pub struct Upstreams {
    list: Vec<Arc<Upstream>>,
    listeners: Box<[SocketAddr]>,
    /// How many host names have not been looked up for the first time yet.
    unresolved: watch::Sender<usize>,
}

/// One upstream: a named set of application servers.
#[derive(Debug)]
pub struct Upstream {
    /// Its name.
    pub name: Box<str>,
    /// Its settings.
    pub config: config::Upstream,
    /// Its place in the list, by which each thread finds its own part.
    index: usize,
    /// What the endpoints need for a connection, in the order of the configuration.
    sites: Vec<Arc<Site>>,
    /// Where the endpoints are, as far as is known; swapped whole.
    addresses: ArcSwap<Vec<Address>>,
    series: Series,
}

/// Why upstreams cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// A file of CA certificates cannot be read.
    #[error("the CA certificates of upstream {upstream:?} in {path} cannot be read")]
    CaFile {
        /// Whose.
        upstream: String,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing to check an endpoint's certificate against.
    #[error(
        "upstream {upstream:?} speaks https but no CA certificate is known (the system has none and ca_file is not set)"
    )]
    NoTrust {
        /// Whose.
        upstream: String,
    },
    /// The TLS library refused its settings.
    #[error("TLS towards upstream {upstream:?} cannot be set up")]
    Tls {
        /// Whose.
        upstream: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Upstreams {
    /// Builds them all. `listeners` are this node's own addresses: connecting to one would send the request round in circles.
    ///
    /// Endpoints with an IP address can be used at once, those with a name once [`Self::keep_resolved`] has looked it up.
    pub fn new(
        configs: &[config::Upstream],
        listeners: &[SocketAddr],
        metrics: &Metrics,
    ) -> Result<Arc<Self>, UpstreamError> {
        let mut trust = Trust::default();
        let list = configs
            .iter()
            .enumerate()
            .map(|(index, config)| Upstream::new(index, config, &mut trust, metrics).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        let unresolved = list.iter().map(|upstream| upstream.names().count()).sum();
        Ok(Arc::new(Self {
            list,
            listeners: listeners.into(),
            unresolved: watch::Sender::new(unresolved),
        }))
    }

    /// The one called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        // A handful: comparing a few names costs less than hashing one.
        self.list.iter().find(|upstream| &*upstream.name == name)
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.list.iter()
    }

    /// Looks host names up, at once and whenever their addresses expire, until everything has ended. A task of the control plane.
    pub async fn keep_resolved(self: Arc<Self>, dns: impl Dns, stopping: Stopping) {
        let lookups = self.list.iter().flat_map(|upstream| {
            let pairs = upstream.names().map(move |site| (upstream, site));
            pairs.map(|(upstream, site)| {
                names::keep(&dns, upstream, site, || {
                    self.unresolved.send_modify(|left| *left -= 1);
                })
            })
        });
        let lookups = futures_util::future::join_all(lookups);
        tokio::select! {
            _ = lookups => stopping.reached(Phase::Ended).await,
            () = stopping.reached(Phase::Ended) => {}
        }
    }

    /// Waits until every host name has been looked up once, with whatever result, but at most two seconds.
    pub async fn resolved_once(&self) {
        let mut unresolved = self.unresolved.subscribe();
        let all = unresolved.wait_for(|left| *left == 0);
        let _ = tokio::time::timeout(FIRST_RESOLUTION, all).await;
    }
}

impl Upstream {
    fn new(
        index: usize,
        config: &config::Upstream,
        trust: &mut Trust,
        metrics: &Metrics,
    ) -> Result<Self, UpstreamError> {
        let tls = if config.endpoints.iter().any(|endpoint| endpoint.tls) {
            Some(trust.client_config(config)?)
        } else {
            None
        };
        let sites: Vec<_> = config
            .endpoints
            .iter()
            .map(|endpoint| Arc::new(Site::new(endpoint, &config.host, tls.as_ref())))
            .collect();
        let upstream = Self {
            name: config.name.as_str().into(),
            config: config.clone(),
            index,
            addresses: ArcSwap::from_pointee(address::known_from_start(&sites)),
            sites,
            series: Series::new(&config.name, metrics),
        };
        upstream.count_endpoints();
        Ok(upstream)
    }

    /// The `Host` that the endpoint at this place in the configuration is sent; `None` means the visitor's.
    ///
    /// [`Pool::send`] sets it; this is for showing it beforehand.
    pub fn host_for(&self, endpoint: usize) -> Option<&HeaderValue> {
        self.sites.get(endpoint)?.host.as_ref()
    }

    /// Where its endpoints are, as far as is known now.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let known = self.addresses.load();
        known.iter().map(|address| address.socket).collect()
    }

    fn names(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.sites.iter().filter(|site| site.name.is_some())
    }

    /// Replaces the addresses of one endpoint and leaves the others'.
    fn set_addresses(&self, site: &Arc<Site>, found: &[std::net::IpAddr]) {
        self.addresses
            .rcu(|known| address::replaced(known, site, found));
        self.count_endpoints();
    }

    fn count_endpoints(&self) {
        let known = self.addresses.load();
        let missing = self
            .sites
            .iter()
            .filter(|site| !known.iter().any(|address| address.is_of(site)));
        self.series.endpoints(known.len(), missing.count());
    }
}

/// How long readiness waits for the first look-ups.
const FIRST_RESOLUTION: Duration = Duration::from_secs(2);
