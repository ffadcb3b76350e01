//! Series by tenant, under a hard cap: 100,000 tenants must not become 100,000 series.

use std::collections::HashMap;
use std::sync::Mutex;

use prometheus::{IntCounter, IntCounterVec};

use crate::model::Slug;

/// What tenants beyond the cap share.
const OTHER: &str = "_other";

/// Counters by tenant: the first `cap` tenants seen have one each, all others share one.
#[derive(Debug)]
pub struct TenantSeries {
    family: IntCounterVec,
    cap: usize,
    own: Mutex<HashMap<Slug, IntCounter>>,
    other: IntCounter,
}

impl TenantSeries {
    pub(super) fn new(family: IntCounterVec, cap: usize) -> Self {
        let other = family.with_label_values(&[OTHER]);
        Self {
            family,
            cap,
            own: Mutex::default(),
            other,
        }
    }

    /// The counter of `slug`; the same one for as long as the process lives.
    pub fn counter(&self, slug: &Slug) -> IntCounter {
        let mut own = self
            .own
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(counter) = own.get(slug) {
            return counter.clone();
        }
        if own.len() >= self.cap {
            return self.other.clone();
        }
        let counter = self.family.with_label_values(&[slug.as_str()]);
        own.insert(slug.clone(), counter.clone());
        counter
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;
    use crate::model::Slug;

    #[test]
    fn the_cap_is_hard() {
        let metrics = Metrics::new(2).unwrap();
        for slug in ["a", "b", "c", "d", "a"] {
            metrics.tenants.counter(&Slug::parse(slug).unwrap()).inc();
        }
        let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
        assert!(text.contains("vestibule_tenant_requests_total{tenant=\"a\"} 2"));
        assert!(text.contains("vestibule_tenant_requests_total{tenant=\"_other\"} 2"));
        assert!(!text.contains("tenant=\"c\""));
    }
}
