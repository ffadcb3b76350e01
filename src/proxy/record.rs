//! What is known of one request when its answer has ended: one line in the log, one round of the counters.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use super::access_log::AccessRecord;
use super::connection::Connection;
use super::fault;
use super::known_hosts::KnownHost;
use super::upload::BodyWatch;
use super::worker::Worker;
use crate::clock::Timestamp;
use crate::decide::rewrite::TraceParent;
use crate::model::{Code, Hostname, Refusal, Route, Sources};
use crate::upstream::Upstream;

/// Gathered while a request is served, and told once, however it ends: by [`finish`](Self::finish), or by being dropped.
pub(super) struct Record {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    begun: Instant,
    pub(super) time: Timestamp,
    /// The time after the last look-up that had to wait: what is done between two waits is done at one moment.
    pub(super) now: Timestamp,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) request_id: HeaderValue,
    pub(super) visitor: std::net::IpAddr,
    pub(super) host: Option<Hostname>,
    /// What the visitor wrote where a host should be.
    pub(super) host_sent: Option<HeaderValue>,
    pub(super) trace_parent: Option<TraceParent>,
    pub(super) route: Option<Arc<Route>>,
    /// What is at hand of the host.
    pub(super) known: Option<Rc<KnownHost>>,
    pub(super) sources: Sources,
    pub(super) status: StatusCode,
    pub(super) refusal: Option<(Code, Option<Box<str>>)>,
    pub(super) upstream: Option<UpstreamRecord>,
    pub(super) request_body: Option<BodyWatch>,
    bytes_out: u64,
    ended: bool,
}

/// The part of a request that an upstream had.
pub(super) struct UpstreamRecord {
    pub(super) upstream: Arc<Upstream>,
    pub(super) endpoint: Option<std::net::SocketAddr>,
    pub(super) retried: bool,
    /// When the request was sent on.
    pub(super) sent: Instant,
    /// When the answer's head (or the failure) came.
    pub(super) answered: Option<Instant>,
}

impl Record {
    /// Begins with what the head says.
    pub(super) fn begin(
        worker: &Rc<Worker>,
        connection: &Rc<Connection>,
        head: &http::request::Parts,
    ) -> Box<Self> {
        let time = worker.shared.clock.now();
        let record = Self {
            worker: Rc::clone(worker),
            connection: Rc::clone(connection),
            begun: Instant::now(),
            time,
            now: time,
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            request_id: HeaderValue::from_static(""),
            visitor: connection.visit.remote.ip().to_canonical(),
            host: None,
            host_sent: None,
            trace_parent: None,
            route: None,
            known: None,
            sources: Sources::default(),
            status: StatusCode::OK,
            refusal: None,
            upstream: None,
            request_body: None,
            bytes_out: 0,
            ended: false,
        };
        Box::write(Box::new_uninit(), record)
    }

    /// Notes that the answer is a refusal.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.refusal = Some((refusal.code, refusal.reason.clone()));
    }

    /// Notes bytes of the answer's body.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// Counts and logs. `complete` says whether the whole answer was handed over.
    pub(super) fn finish(mut self: Box<Self>, complete: bool) {
        self.end(complete);
    }

    /// The answer has been made: no fault in telling of it may undo it, or happen twice.
    fn end(&mut self, complete: bool) {
        self.ended = true;
        if catch_unwind(AssertUnwindSafe(|| self.tell(complete))).is_err() {
            self.failed();
        }
    }

    /// Counts a fault of this program.
    pub(super) fn failed(&self) {
        self.worker.shared.metrics.panics.inc();
    }

    fn tell(&self, complete: bool) {
        let total = self.begun.elapsed();
        // What the upstream took is from sending on to its answer's head; all else up to that head was ours.
        let upstream = self
            .upstream
            .as_ref()
            .and_then(|part| Some(part.answered?.saturating_duration_since(part.sent)));
        let edge = match &self.upstream {
            Some(part) => part.sent.saturating_duration_since(self.begun),
            None => total,
        };
        let shared = &self.worker.shared;
        self.worker
            .counters
            .request(&shared.metrics, self, total, edge);
        if !shared.access_log.is_on() {
            return;
        }
        shared.access_log.line(&AccessRecord {
            time: self.time,
            node: &shared.policy.node,
            listener: &self.connection.address,
            protocol: protocol(self.version),
            tls: self.connection.tls,
            visitor: self.visitor,
            method: self.method.as_str(),
            host: self.shown_host(),
            path: self.uri.path().as_bytes(),
            status: self.status.as_u16(),
            refusal: self.refusal.as_ref().map(|(code, _)| *code),
            reason: self
                .refusal
                .as_ref()
                .and_then(|(_, reason)| reason.as_deref()),
            tenant: self.route.as_ref().map(|route| route.tenant),
            slug: self.route.as_ref().map(|route| route.slug.as_str()),
            sources: self.sources,
            upstream: self.upstream.as_ref().map(|part| &*part.upstream.name),
            endpoint: self.upstream.as_ref().and_then(|part| part.endpoint),
            upstream_time: upstream,
            edge_time: edge,
            total_time: total,
            bytes_in: self
                .request_body
                .as_ref()
                .map_or(0, |body| body.received.get()),
            bytes_out: self.bytes_out,
            request_id: self.request_id.as_bytes(),
            trace_id: self.trace_parent.as_ref().map(TraceParent::trace_id),
            retried: self.upstream.as_ref().is_some_and(|part| part.retried),
            complete,
        });
    }

    /// The canonical name, or what the visitor wrote in its place.
    fn shown_host(&self) -> &[u8] {
        match (&self.host, &self.host_sent, self.uri.authority()) {
            (Some(host), ..) => host.as_str().as_bytes(),
            (None, Some(sent), _) => sent.as_bytes(),
            (None, None, Some(sent)) => sent.as_str().as_bytes(),
            (None, None, None) => b"",
        }
    }

    /// `HTTP/1.1` and up may have trailers where they were asked for; HTTP/2 always.
    pub(super) fn takes_trailers(&self, asked: bool) -> bool {
        self.version == Version::HTTP_2 || asked
    }

    /// The label of the listener that it came in by.
    pub(super) fn listener(&self) -> super::listener::Kind {
        self.connection.listener
    }
}

impl Drop for Record {
    /// A visitor who leaves before there is an answer takes the request's whole future along, and so does a panic: this is all that is
    /// left to tell of it.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            self.status = StatusCode::INTERNAL_SERVER_ERROR;
            self.refused(&fault::refusal());
            self.worker.lost.set(Some(self.request_id.clone()));
        } else {
            self.status = client_closed_request();
        }
        self.end(false);
    }
}

/// The status that is logged where none was sent, because nobody was left to send it to: nginx's 499.
fn client_closed_request() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
