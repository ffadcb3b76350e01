//! Numbers that every request adds to: each thread has its own, which nobody else writes, and they are added up when somebody asks. A
//! number that all threads wrote would wander from processor to processor, once for every request and every one of them.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use prometheus::core::{Collector, Desc};
use prometheus::{IntCounter, proto};

/// Keeps a value on the thread that made it: neither `Send` nor `Sync`.
type Here = PhantomData<*const ()>;

/// A thread's own part of a counter.
#[derive(Debug)]
pub struct OwnCounter {
    count: Arc<AtomicU64>,
    here: Here,
}

impl OwnCounter {
    /// Counts one.
    pub fn inc(&self) {
        add(&self.count, 1);
    }
}

/// Adds to a number that only this thread writes: no other write can come between the two steps.
fn add(number: &AtomicU64, more: u64) {
    let sum = number.load(Ordering::Relaxed).wrapping_add(more);
    number.store(sum, Ordering::Relaxed);
}

/// All threads' parts of all counters that have any.
#[derive(Debug, Default)]
pub(super) struct OwnCounters(Mutex<Vec<Part>>);

#[derive(Debug)]
struct Part {
    whole: IntCounter,
    count: Arc<AtomicU64>,
    /// What the whole has of it already.
    counted: u64,
}

impl OwnCounters {
    /// A part of `whole` for the thread that asks.
    pub(super) fn part_of(&self, whole: IntCounter) -> OwnCounter {
        let count = Arc::<AtomicU64>::default();
        lock(&self.0).push(Part {
            whole,
            count: Arc::clone(&count),
            counted: 0,
        });
        OwnCounter {
            count,
            here: PhantomData,
        }
    }

    /// Brings the wholes up to date.
    pub(super) fn add_up(&self) {
        for part in &mut *lock(&self.0) {
            let count = part.count.load(Ordering::Relaxed);
            part.whole.inc_by(count.wrapping_sub(part.counted));
            part.counted = count;
        }
    }
}

/// A histogram in parts. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Whole>);

#[derive(Debug)]
struct Whole {
    desc: Desc,
    bounds: &'static [f64],
    /// What is nobody's own, then the threads' parts.
    parts: Mutex<Vec<Arc<Observed>>>,
}

/// What has been observed.
#[derive(Debug)]
struct Observed {
    /// How often, by the first bound that is not below the value; last those above all bounds.
    counts: Box<[AtomicU64]>,
    /// Of all values; the bits of an `f64`.
    sum: AtomicU64,
}

/// A thread's own part of a histogram.
#[derive(Debug)]
pub struct OwnHistogram {
    bounds: &'static [f64],
    observed: Arc<Observed>,
    here: Here,
}

impl Histogram {
    pub(super) fn new(name: &str, help: &str, bounds: &'static [f64]) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        Ok(Self(Arc::new(Whole {
            desc,
            bounds,
            parts: Mutex::new(vec![Observed::nothing(bounds)]),
        })))
    }

    /// A part for the thread that asks.
    pub fn own(&self) -> OwnHistogram {
        let observed = Observed::nothing(self.0.bounds);
        lock(&self.0.parts).push(Arc::clone(&observed));
        OwnHistogram {
            bounds: self.0.bounds,
            observed,
            here: PhantomData,
        }
    }

    /// Observes a value on any thread, under a lock.
    pub fn observe(&self, value: f64) {
        if let Some(nobodys) = lock(&self.0.parts).first() {
            nobodys.observe(self.0.bounds, value);
        }
    }

    fn proto(&self) -> proto::Histogram {
        let parts = lock(&self.0.parts);
        let mut count = 0;
        let mut total = |place: usize| {
            let counts = parts.iter().filter_map(|part| part.counts.get(place));
            count += counts
                .map(|count| count.load(Ordering::Relaxed))
                .sum::<u64>();
            count
        };
        let mut buckets = Vec::with_capacity(self.0.bounds.len());
        for (place, bound) in self.0.bounds.iter().enumerate() {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(total(place));
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_sample_count(total(self.0.bounds.len()));
        let sums = parts
            .iter()
            .map(|part| f64::from_bits(part.sum.load(Ordering::Relaxed)));
        histogram.set_sample_sum(sums.sum());
        histogram.set_bucket(buckets);
        histogram
    }
}

impl OwnHistogram {
    /// Observes a value.
    pub fn observe(&self, value: f64) {
        self.observed.observe(self.bounds, value);
    }
}

impl Observed {
    fn nothing(bounds: &[f64]) -> Arc<Self> {
        Arc::new(Self {
            counts: (0..=bounds.len()).map(|_| AtomicU64::default()).collect(),
            sum: AtomicU64::default(),
        })
    }

    /// Called by one thread at a time.
    fn observe(&self, bounds: &[f64], value: f64) {
        // From below: nearly all times are short.
        let place = bounds.iter().position(|bound| value <= *bound);
        if let Some(count) = self.counts.get(place.unwrap_or(bounds.len())) {
            add(count, 1);
        }
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed)) + value;
        self.sum.store(sum.to_bits(), Ordering::Relaxed);
    }
}

impl Collector for Histogram {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut metric = proto::Metric::from_label(Vec::new());
        metric.set_histogram(self.proto());
        let mut family = proto::MetricFamily::default();
        family.set_name(self.0.desc.fq_name.clone());
        family.set_help(self.0.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}

/// A panic elsewhere leaves numbers that are whole in themselves.
fn lock<T>(parts: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    parts
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_every_thread_counted_is_there_at_every_scrape() {
        let metrics = Metrics::new(0).unwrap();
        let shown = |name: &str| {
            let text = String::from_utf8(metrics.encode().unwrap()).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().parse::<f64>().unwrap()
        };
        for round in 1..=3 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let hits = metrics.own(&metrics.cache_hits);
                        let durations = metrics.request_duration.own();
                        for _ in 0..1000 {
                            hits.inc();
                            durations.observe(0.5);
                        }
                    });
                }
            });
            // Others count into the same series, as they always did.
            metrics.cache_hits.inc();
            metrics.request_duration.observe(0.25);
            let counted = f64::from(round) * 4001.0;
            for name in ["cache_hits_total", "http_request_duration_seconds_count"] {
                assert_eq!(shown(&format!("vestibule_{name} ")), counted);
            }
            let sum = f64::from(round) * 2000.25;
            assert_eq!(shown("vestibule_http_request_duration_seconds_sum "), sum);
        }
    }

    proptest! {
        /// The text is the one that the library's own histogram has.
        #[test]
        fn a_histogram_in_parts_reads_like_one_in_one_piece(
            values in proptest::collection::vec((0..2000_u16, 0..3_usize), 0..40)
        ) {
            const BOUNDS: &[f64] = &[0.25, 1.0, 2.5];
            let ours = Histogram::new("x", "help", BOUNDS).unwrap();
            let parts = [ours.own(), ours.own()];
            let options = prometheus::HistogramOpts::new("x", "help").buckets(BOUNDS.to_vec());
            let theirs = prometheus::Histogram::with_opts(options).unwrap();
            for (value, part) in values {
                // A sum of such values is the same in every order.
                let value = f64::from(value) / 512.0;
                theirs.observe(value);
                match parts.get(part) {
                    Some(part) => part.observe(value),
                    None => ours.observe(value),
                }
            }
            let text = |collector: &dyn Collector| {
                let families = collector.collect();
                prometheus::TextEncoder::new().encode_to_string(&families).unwrap()
            };
            prop_assert_eq!(text(&ours), text(&theirs));
        }
    }
}
