//! Every series there is, by name. Others count into the fields; `encode` writes the Prometheus text.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

mod own;
mod process;
mod tenants;

pub use own::{Histogram, OwnCounter, OwnHistogram};
pub use tenants::TenantSeries;

use own::OwnCounters;

/// Bounds in seconds for times that contain an application's work.
const SLOW: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Bounds in seconds for times spent inside this process.
const FAST: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.05,
    0.25, 1.0,
];

/// All series of one process.
#[derive(Debug)]
#[expect(
    missing_docs,
    reason = "each field's help text stands where it is registered"
)]
pub struct Metrics {
    registry: Registry,
    own: OwnCounters,
    pub requests: IntCounterVec,
    pub request_duration: Histogram,
    pub edge_overhead: Histogram,
    pub open_connections: IntGaugeVec,
    pub connections_refused: IntCounterVec,
    pub connections_closed: IntCounterVec,
    pub streams_stalled: IntCounter,
    pub in_flight: IntGauge,
    pub resolve: IntCounterVec,
    pub cache_entries: IntGaugeVec,
    pub cache_hits: IntCounter,
    pub cache_misses: IntCounter,
    pub cache_stale_served: IntCounter,
    /// Routes that were past their `ttl` and have been looked up again.
    pub cache_revalidated: IntCounter,
    pub assertions_signed: IntCounter,
    pub snapshot: IntCounterVec,
    pub store_query: HistogramVec,
    pub store_up: IntGauge,
    pub change_feed_lag: Gauge,
    pub jwks_fetches: IntCounterVec,
    pub upstream_requests: IntCounterVec,
    pub upstream_duration: HistogramVec,
    pub upstream_endpoints: IntGaugeVec,
    pub upstream_connections: IntGaugeVec,
    pub retries: IntCounter,
    pub tls_handshakes: IntCounterVec,
    /// Looks at customers' names, by what was seen: `proof_and_pointing`, `proof`, `pointing`, `neither`, `unknown`.
    pub domain_checks: IntCounterVec,
    /// Customers' names by state, all nodes seeing the same.
    pub domains: IntGaugeVec,
    /// Attempts to deliver an event: `delivered`, `failed` (tried again later), `given_up`.
    pub webhook_deliveries: IntCounterVec,
    pub webhook_pending: IntGauge,
    pub certificates: IntGaugeVec,
    pub certificate_not_after: Gauge,
    /// When the first certificate should have been replaced at the latest.
    pub certificate_late_at: Gauge,
    /// How far this node's clock is ahead of the database's.
    pub clock_skew: Gauge,
    pub acme_orders: IntCounterVec,
    pub panics: IntCounter,
    pub access_log_dropped: IntCounter,
    pub config_last_reload_success: IntGauge,
    pub tenants: TenantSeries,
}

/// Registers while building: a name used twice is a fault of the program, found by the first test that builds it.
struct Builder(Registry);

impl Builder {
    fn keep<C: Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> prometheus::Result<C> {
        let collector = made?;
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.keep(IntCounter::new(format!("vestibule_{name}"), help))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.keep(IntCounterVec::new(
            Opts::new(format!("vestibule_{name}"), help),
            labels,
        ))
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.keep(IntGauge::new(format!("vestibule_{name}"), help))
    }

    fn float_gauge(&self, name: &str, help: &str) -> prometheus::Result<Gauge> {
        self.keep(Gauge::new(format!("vestibule_{name}"), help))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.keep(IntGaugeVec::new(
            Opts::new(format!("vestibule_{name}"), help),
            labels,
        ))
    }

    fn histogram(
        &self,
        name: &str,
        help: &str,
        bounds: &'static [f64],
    ) -> prometheus::Result<Histogram> {
        self.keep(Histogram::new(&format!("vestibule_{name}"), help, bounds))
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        bounds: &[f64],
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let options =
            HistogramOpts::new(format!("vestibule_{name}"), help).buckets(bounds.to_vec());
        self.keep(HistogramVec::new(options, labels))
    }
}

fn show_build(b: &Builder) -> prometheus::Result<()> {
    let help = "Always 1; the labels say what runs.";
    let build = b.gauges("build_info", help, &["version"])?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    Ok(())
}

impl Metrics {
    /// Registers every series. `tenant_series` is how many tenants get one of their own.
    pub fn new(tenant_series: usize) -> prometheus::Result<Arc<Self>> {
        let b = Builder(Registry::new());
        b.0.register(Box::new(process::ProcessCollector::new()?))?;
        show_build(&b)?;
        let tenant_requests = b.counters(
            "tenant_requests_total",
            "Requests by tenant, the rest as _other.",
            &["tenant"],
        )?;
        let metrics = Self {
            requests: b.counters(
                "http_requests_total",
                "Requests answered, by how the tenant was found and whether it was refused.",
                &["listener", "via", "status_class", "refusal"],
            )?,
            request_duration: b.histogram("http_request_duration_seconds", "From the head's arrival to the answer's last byte.", SLOW)?,
            edge_overhead: b.histogram("edge_overhead_seconds", "Time inside this process until the request is sent on; all of it where it is answered here.", FAST)?,
            open_connections: b.gauges("open_connections", "Open connections of visitors.", &["listener"])?,
            connections_refused: b.counters("connections_refused_total", "Connections closed at once for a cap.", &["cap"])?,
            connections_closed: b.counters("connections_closed_total", "Connections closed for what the visitor did or left undone.", &["reason"])?,
            streams_stalled: b.counter("streams_stalled_total", "HTTP/2 streams ended because the visitor kept their windows shut.")?,
            in_flight: b.gauge("in_flight_requests", "Requests being answered.")?,
            resolve: b.counters("resolve_total", "Look-ups by source and what they found.", &["source", "result"])?,
            cache_entries: b.gauges("cache_entries", "Entries kept, by cache.", &["cache"])?,
            cache_hits: b.counter("cache_hits_total", "Look-ups answered from memory.")?,
            cache_misses: b.counter("cache_misses_total", "Look-ups that asked the store.")?,
            cache_revalidated: b.counter("cache_revalidated_total", "Routes past their ttl that were looked up again in the background.")?,
            assertions_signed: b.counter("assertions_signed_total", "Assertions that were signed, rather than sent again.")?,
            cache_stale_served: b.counter("cache_stale_served_total", "Look-ups answered from memory while the store was away.")?,
            snapshot: b.counters("snapshot_total", "Snapshots written and read, by result.", &["operation", "result"])?,
            store_query: b.histograms("store_query_seconds", "Time of one query of the store.", FAST, &["query"])?,
            store_up: b.gauge("store_up", "Whether the store answered last time.")?,
            change_feed_lag: b.float_gauge("change_feed_lag_seconds", "Age of the newest change when it was applied.")?,
            jwks_fetches: b.counters("jwks_fetches_total", "Key sets of token issuers fetched, by result.", &["result"])?,
            upstream_requests: b.counters("upstream_requests_total", "Requests sent on, by result.", &["upstream", "result"])?,
            upstream_duration: b.histograms("upstream_duration_seconds", "From sending on to the answer's head.", SLOW, &["upstream"])?,
            upstream_endpoints: b.gauges("upstream_endpoints", "Addresses by state.", &["upstream", "state"])?,
            upstream_connections: b.gauges("upstream_connections", "Connections to application servers.", &["upstream", "state"])?,
            retries: b.counter("retries_total", "Requests sent a second time.")?,
            domain_checks: b.counters("domain_checks_total", "Looks at customers' names, by what was seen.", &["result"])?,
            domains: b.gauges("domains", "Customers' names by state.", &["state"])?,
            webhook_deliveries: b.counters("webhook_deliveries_total", "Attempts to deliver an event to a webhook, by result.", &["result"])?,
            webhook_pending: b.gauge("webhook_pending", "Events that a webhook has not been delivered yet.")?,
            tls_handshakes: b.counters("tls_handshakes_total", "Handshakes with visitors, by result.", &["result"])?,
            certificates: b.gauges("certificates", "Certificates by state.", &["state"])?,
            certificate_not_after: b.float_gauge("certificate_not_after_seconds", "When the first certificate expires, in seconds since 1970.")?,
            certificate_late_at: b.float_gauge("certificate_late_at_seconds", "When the first certificate should have been replaced at the latest, in seconds since 1970.")?,
            clock_skew: b.float_gauge("clock_skew_seconds", "How far this node's clock is ahead of the database's.")?,
            acme_orders: b.counters("acme_orders_total", "Orders of certificates, and what kept one from being placed, by result.", &["ca", "result"])?,
            panics: b.counter("panics_total", "Requests that ended in a fault of this program.")?,
            access_log_dropped: b.counter("access_log_dropped_total", "Access lines dropped because the writer could not follow.")?,
            config_last_reload_success: b.gauge("config_last_reload_success", "Whether the configuration in force is the one in the file.")?,
            tenants: TenantSeries::new(tenant_requests, tenant_series),
            registry: b.0,
            own: OwnCounters::default(),
        };
        metrics.config_last_reload_success.set(1);
        Ok(Arc::new(metrics))
    }

    /// A part of `counter` for the thread that asks, which counts for nothing until the series are encoded.
    pub fn own(&self, counter: &IntCounter) -> OwnCounter {
        self.own.part_of(counter.clone())
    }

    /// The Prometheus text exposition of all series.
    pub fn encode(&self) -> prometheus::Result<Vec<u8>> {
        self.own.add_up();
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}
