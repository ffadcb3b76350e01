//! Those who ask: what a request looks like, and what came of many of them.

pub(crate) mod h2;
pub(crate) mod handshakes;
pub(crate) mod pace;
pub(crate) mod touch;
pub(crate) mod visitor;
pub(crate) mod wrk;

use crate::fault::{Fault, Result};

/// The fields that a browser sends beside `Host`.
pub(crate) const BROWSER: [(&str, &str); 5] = [
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef"),
];

/// From one tenant to the next that is asked for: shares no factor with their number, which is a power of ten.
pub(crate) const STEP: usize = 61_819;

/// Walks evenly over all tenants: meets every one before it meets one again, and no two neighbours in a row.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    place: usize,
    tenants: usize,
}

impl Walk {
    pub(crate) fn over(tenants: usize, start: usize) -> Self {
        let place = start % tenants;
        Self { place, tenants }
    }

    /// The next tenant's number.
    pub(crate) fn next(&mut self) -> usize {
        self.place = (self.place + STEP) % self.tenants;
        self.place
    }
}

/// The host of tenant `number`.
pub(crate) fn host(number: usize) -> String {
    format!("t{number}.example.com")
}

/// A GET as a browser sends it over HTTP/1.1.
pub(crate) fn request(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{}\r\n", fields()).into_bytes()
}

/// [`BROWSER`], line by line.
pub(crate) fn fields() -> String {
    let lines = BROWSER.map(|(name, value)| format!("{name}: {value}\r\n"));
    lines.concat()
}

/// What many requests came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Answers that were not 2xx, and connections that failed.
    pub(crate) errors: u64,
    pub(crate) latency: Latency,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
}

impl Load {
    pub(crate) fn checked(self, who: &str) -> Result<Self> {
        if self.errors > 0 {
            let said = format!("{who} failed {} of {} requests", self.errors, self.requests);
            return Err(Fault::wrong_answer(said));
        }
        if self.requests == 0 {
            return Err(Fault::wrong_answer(format!("{who} answered nothing")));
        }
        Ok(self)
    }
}

impl Latency {
    /// Of times in microseconds.
    pub(crate) fn of(times: &mut [f64]) -> Self {
        times.sort_by(f64::total_cmp);
        Self {
            p50: percentile(times, 50.0),
            p90: percentile(times, 90.0),
            p99: percentile(times, 99.0),
        }
    }
}

/// The value that `percent` of the sorted `values` do not exceed.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let rank = (values.len() as f64 * percent / 100.0).ceil() as usize;
    values
        .get(rank.clamp(1, values.len().max(1)) - 1)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The middle of `values`.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}
