//! The series of one upstream, with their labels resolved once.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge};

use crate::metrics::Metrics;

use super::SendError;

/// Handles to the series of one upstream.
#[derive(Debug, Clone)]
pub(super) struct Series {
    answered: IntCounter,
    canceled: IntCounter,
    failed: Vec<(&'static str, IntCounter)>,
    duration: Histogram,
    retries: IntCounter,
    known: IntGauge,
    unresolved: IntGauge,
    /// Connections that carry a request.
    pub(super) active: IntGauge,
    /// Connections that wait for one.
    pub(super) idle: IntGauge,
}

impl Series {
    pub(super) fn new(upstream: &str, metrics: &Metrics) -> Self {
        let result = |label| {
            metrics
                .upstream_requests
                .with_label_values(&[upstream, label])
        };
        let endpoints = |state| {
            metrics
                .upstream_endpoints
                .with_label_values(&[upstream, state])
        };
        let connections = |state| {
            metrics
                .upstream_connections
                .with_label_values(&[upstream, state])
        };
        Self {
            answered: result("ok"),
            canceled: result("canceled"),
            failed: SendError::LABELS
                .iter()
                .map(|label| (*label, result(label)))
                .collect(),
            duration: metrics.upstream_duration.with_label_values(&[upstream]),
            retries: metrics.retries.clone(),
            known: endpoints("known"),
            unresolved: endpoints("unresolved"),
            active: connections("active"),
            idle: connections("idle"),
        }
    }

    /// An answer's head came `after` the request was sent on.
    pub(super) fn answered(&self, after: Duration) {
        self.answered.inc();
        self.duration.observe(after.as_secs_f64());
    }

    pub(super) fn failed(&self, error: &SendError) {
        let label = error.label();
        if let Some((_, counter)) = self.failed.iter().find(|(known, _)| *known == label) {
            counter.inc();
        }
    }

    /// The visitor left before there was an answer.
    pub(super) fn canceled(&self) {
        self.canceled.inc();
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    /// `known` addresses can be connected to, `unresolved` endpoints have none.
    pub(super) fn endpoints(&self, known: usize, unresolved: usize) {
        self.known.set(i64::try_from(known).unwrap_or(i64::MAX));
        self.unresolved
            .set(i64::try_from(unresolved).unwrap_or(i64::MAX));
    }
}
