//! Who is let in: a tenant's rate and requests in flight, the node's requests in flight, connections by address.
//!
//! All of it is counted on this node alone. A tenant's state (suspended, removed, …) is `decide`'s business, a body's length is
//! counted where the body is read.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::LimitDefaults;
use crate::metrics::Metrics;
use crate::model::{Code, Limits, Refusal, TenantId};

mod in_flight;
mod network;
mod rate;
mod tenants;

pub use network::{ConnectionCap, ConnectionPermit};

use in_flight::{NodeCount, NodeSlot};
use network::Network;
use tenants::{Full, TenantSlot, Tenants, Usage};

/// The node's limits and what has been used of them.
#[derive(Debug)]
pub struct Guard {
    tenants: Tenants,
    node: NodeCount,
    network: Network,
}

/// Proof that a request was let in; it counts as in flight until this is dropped.
#[derive(Debug)]
#[must_use = "the request counts as in flight only while this is held"]
pub struct Permit {
    _tenant: Option<TenantSlot>,
    _node: Option<NodeSlot>,
}

/// What a tenant has used, kept at hand by whoever lets its requests in again and again.
#[derive(Debug, Default)]
pub struct AtHand(Option<(TenantId, Arc<Usage>)>);

impl AtHand {
    /// Reads what letting a request in needs of it; see [`ahead`](crate::model::ahead).
    pub fn read_ahead(&self) {
        if let Some((_, usage)) = &self.0 {
            usage.read_ahead();
        }
    }
}

impl Permit {
    /// The permit of what has become a tunnel: it counts for its tenant, no longer among the node's requests. Tunnels last for hours
    /// and hold no buffered answer; each is a whole connection, and the cap on those bounds them.
    pub fn into_tunnel(self) -> Self {
        Self {
            _node: None,
            ..self
        }
    }
}

impl Guard {
    /// Nothing is in flight yet. Connections from `trusted_proxies` are exempt from the cap by address, as each carries many
    /// visitors.
    pub fn new(
        defaults: &LimitDefaults,
        trusted_proxies: &[IpNet],
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tenants: Tenants::default(),
            node: NodeCount::new(metrics.in_flight.clone(), defaults.node_in_flight),
            network: Network::new(
                defaults,
                trusted_proxies,
                metrics.connections_refused.clone(),
            ),
        })
    }

    /// Lets a request in, or says which limit stands against it: first the tenant's rate (429 with the wait until the next
    /// request fits), then its requests in flight (429), then the node's (503). A refused request consumes nothing.
    ///
    /// `limits` are those in force for the tenant now; where they differ from those of its last request, its allowance
    /// starts anew under the new ones.
    pub fn admit(&self, tenant: Option<TenantId>, limits: &Limits) -> Result<Permit, Refusal> {
        self.admit_at_hand(&mut AtHand::default(), tenant, limits)
    }

    /// As [`Guard::admit`], where it may be at hand what the tenant has used.
    ///
    /// # Errors
    /// As [`Guard::admit`].
    pub fn admit_at_hand(
        &self,
        at_hand: &mut AtHand,
        tenant: Option<TenantId>,
        limits: &Limits,
    ) -> Result<Permit, Refusal> {
        let node = self.node.take();
        let Some(tenant) = tenant.filter(|_| is_limited(limits)) else {
            return Ok(Permit {
                _tenant: None,
                _node: Some(node.ok_or_else(overloaded)?),
            });
        };
        // The tenant's own limits come first: a noisy tenant is told so even where the node is full.
        let Some(node) = node else {
            let full = self.tenants.peek(tenant, limits);
            return Err(full.map_or_else(refuse, |()| overloaded()));
        };
        let usage = match &at_hand.0 {
            Some((of, usage)) if *of == tenant => usage,
            _ => &at_hand.0.insert((tenant, self.tenants.usage(tenant))).1,
        };
        Ok(Permit {
            _tenant: usage.take(limits).map_err(refuse)?,
            _node: Some(node),
        })
    }

    /// What [`Guard::admit`] would say now. Consumes nothing and leaves no trace.
    pub fn check(&self, tenant: Option<TenantId>, limits: &Limits) -> Result<(), Refusal> {
        if let Some(tenant) = tenant.filter(|_| is_limited(limits)) {
            self.tenants.peek(tenant, limits).map_err(refuse)?;
        }
        if self.node.is_full() {
            Err(overloaded())
        } else {
            Ok(())
        }
    }

    /// Lets a connection from `ip` in, or says which cap stands against it. It counts until the permit is dropped.
    pub fn connection(&self, ip: IpAddr) -> Result<ConnectionPermit, ConnectionCap> {
        self.network.take(ip)
    }

    /// Tenants whose use is remembered: those that have requests in flight or have not got their whole allowance back, those at
    /// hand ([`AtHand`]), and some that will be forgotten soon.
    pub fn tenants_tracked(&self) -> usize {
        self.tenants.len()
    }
}

fn is_limited(limits: &Limits) -> bool {
    limits.requests_per_second != 0 || limits.in_flight != 0
}

fn refuse(full: Full) -> Refusal {
    match full {
        Full::Rate { wait } => rate_limited(wait),
        Full::InFlight => Refusal::new(
            Code::TooManyInFlight,
            "This workspace has as many requests under way as it may. Try again when some of them are done.",
        ),
    }
}

fn rate_limited(wait: Duration) -> Refusal {
    Refusal::new(
        Code::RateLimited,
        "This workspace has sent more requests than it may. Slow down and try again.",
    )
    .retry_after(wait)
}

fn overloaded() -> Refusal {
    Refusal::new(
        Code::Overloaded,
        "There is too much to do right now. Try again in a moment.",
    )
}

#[cfg(test)]
mod tests;
