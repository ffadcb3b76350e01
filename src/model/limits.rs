//! What a tenant may use: the defaults of the configuration and a tenant's own values over them.

use serde::{Deserialize, Serialize};

/// The limits in force for one tenant on one node. Zero means no limit, but for `body`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Requests per second, sustained.
    pub requests_per_second: u32,
    /// Requests that may come at once above the sustained rate; 0 = as many as one second allows.
    pub burst: u32,
    /// Requests being answered at the same time.
    pub in_flight: u32,
    /// Longest request body in bytes.
    pub body: u64,
}

/// A tenant's own limits; what is `None` is as configured for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitOverrides {
    /// Requests per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Requests at once above the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Requests in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u32>,
    /// Longest request body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
}

impl LimitOverrides {
    /// The limits in force: these values where set, else `defaults`.
    pub fn over(&self, defaults: &Limits) -> Limits {
        Limits {
            requests_per_second: self
                .requests_per_second
                .unwrap_or(defaults.requests_per_second),
            burst: self.burst.unwrap_or(defaults.burst),
            in_flight: self.in_flight.unwrap_or(defaults.in_flight),
            body: self.body.unwrap_or(defaults.body),
        }
    }
}
