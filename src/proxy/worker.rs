//! What one data-plane thread has for itself, and what all of them share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::access_log::AccessLog;
use super::h1;
use super::ids::IdSource;
use super::known_hosts::KnownHosts;
use super::listener::Kind;
use super::live::Live;
use super::open::Connections;
use super::record::Record;
use crate::clock::Clock;
use crate::config::EdgeTimeouts;
use crate::decide::Policy;
use crate::guard::Guard;
use crate::metrics::{Metrics, OwnCounter, OwnHistogram};
use crate::model::Source;
use crate::resolve::Resolver;
use crate::shutdown::Stopping;
use crate::sign::{Signer, ThreadSigner};
use crate::store::ChallengeSource;
use crate::tls::TlsAcceptor;
use crate::upstream::Pool;

/// What all data-plane threads share.
pub struct Shared {
    /// What the configuration says.
    pub policy: Policy,
    /// Times on visitors' connections.
    pub timeouts: EdgeTimeouts,
    /// Least bytes of a request's body for each second that it is waited for; 0 is none.
    pub body_rate: u64,
    /// Who lives where.
    pub resolver: Arc<Resolver>,
    /// Who signs.
    pub signer: Arc<Signer>,
    /// Who is let in.
    pub guard: Arc<Guard>,
    /// The series.
    pub metrics: Arc<Metrics>,
    /// The access lines.
    pub access_log: AccessLog,
    /// Wall time.
    pub clock: Clock,
    /// What CAs are answered.
    pub challenges: Arc<dyn ChallengeSource>,
    /// TLS, where there is a TLS listener.
    pub acceptor: Option<Arc<TlsAcceptor>>,
    /// The path that is answered before everything else.
    pub probe_path: Option<String>,
    /// How far stopping has come.
    pub stopping: Stopping,
}

/// What one data-plane thread has for itself.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) signer: ThreadSigner,
    pub(super) pool: Rc<Pool>,
    pub(super) ids: IdSource,
    pub(super) hosts: KnownHosts,
    pub(super) live: Rc<Live>,
    pub(super) counters: Counters,
    pub(super) memories: h1::Memories,
    pub(super) connections: Rc<Connections>,
    /// See [`Contained`](super::fault::Contained).
    pub(super) lost: Cell<Option<HeaderValue>>,
}

/// What this thread counts for every request: numbers of its own, their labels looked up once.
pub(super) struct Counters {
    /// By listener, source (4 = none) and status class.
    served: RefCell<[[[Option<OwnCounter>; CLASSES.len()]; Source::ALL.len() + 1]; 2]>,
    duration: OwnHistogram,
    overhead: OwnHistogram,
    cache_hits: OwnCounter,
    /// Hosts found at hand, by source.
    at_hand: [OwnCounter; Source::ALL.len()],
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let found = |source: Source| {
            let labels = [source.as_str(), "found"];
            metrics.own(&metrics.resolve.with_label_values(&labels))
        };
        Self {
            served: RefCell::default(),
            duration: metrics.request_duration.own(),
            overhead: metrics.edge_overhead.own(),
            cache_hits: metrics.own(&metrics.cache_hits),
            at_hand: Source::ALL.map(found),
        }
    }

    /// Counts a look-up that the thread could answer from what it has at hand.
    pub(super) fn at_hand(&self, source: Source) {
        self.cache_hits.inc();
        self.at_hand[source as usize].inc();
    }

    /// Counts one request whose answer has ended.
    pub(super) fn request(
        &self,
        metrics: &Metrics,
        record: &Record,
        total: Duration,
        edge: Duration,
    ) {
        let class = usize::from(record.status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        let listener = record.listener();
        match &record.refusal {
            Some((code, _)) => {
                let labels = [
                    listener.as_str(),
                    record.sources.via_str(),
                    CLASSES[class],
                    code.as_str(),
                ];
                metrics.requests.with_label_values(&labels).inc();
            }
            None => self.served(metrics, listener, record.sources.via(), class),
        }
        self.duration.observe(total.as_secs_f64());
        self.overhead.observe(edge.as_secs_f64());
        if let Some(route) = &record.route {
            let find = || metrics.tenants.counter(&route.slug);
            match &record.known {
                Some(known) => known.count(route, find),
                None => find().inc(),
            }
        }
    }

    fn served(&self, metrics: &Metrics, listener: Kind, via: Option<Source>, class: usize) {
        let source = via.map_or(Source::ALL.len(), |source| source as usize);
        let slot = &mut self.served.borrow_mut()[listener as usize][source][class];
        let counter = slot.get_or_insert_with(|| {
            let via = via.map_or("none", Source::as_str);
            let labels = [listener.as_str(), via, CLASSES[class], ""];
            metrics.own(&metrics.requests.with_label_values(&labels))
        });
        counter.inc();
    }
}
