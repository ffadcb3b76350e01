//! From a request's head to what will be done with it.
//!
//! The order is: [`arrive`] reads the one host and gathers what has to be looked up, the resolver finds it (the only waiting),
//! [`decide`] says what follows. All of it is pure: the proxy acts on a [`Decision`], `explain` prints it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use http::Method;
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::clock::Timestamp;
use crate::config;
use crate::model::certificate::CertificateNames;
use crate::model::{Hostname, Limits, Route, Sources};
use crate::resolve::{Facts, Keys};
use crate::tls::{Inventory, NamePolicy};
use crate::upstream::{Upstream, Upstreams};

mod arrive;
mod challenge;
mod cookies;
mod cors;
pub mod explain;
mod forwarded;
mod head;
pub mod host;
mod named;
mod path;
pub mod rewrite;
mod signature_fields;
mod verdict;

pub use arrive::{Arrival, Target, arrive};
pub use challenge::challenge;
pub use cookies::{FailedCookie, has_cookie};
pub use cors::{allowed_origin, is_preflight};
pub use forwarded::{Origin, origin, scheme_is_https as is_https, write_address};
pub use head::{Present, announces_body, lists, wants_trailers};
pub use host::{HostClass, RequestHost, only_authority};
pub use verdict::{FORGET_PATH, KEYS_PATH, check_state, decide};

/// What the configuration and the parts built from it say; the same for every request.
pub struct Policy {
    /// Who is who by host and path.
    pub routing: config::Routing,
    /// Paths with an upstream of their own, longest first.
    pub routes: Vec<config::PathRoute>,
    /// What a tenant may use by default.
    pub limits: Limits,
    /// Longest request head in bytes.
    pub header_bytes: usize,
    /// Whether and where plain requests are sent to TLS.
    pub redirect: Option<u16>,
    /// Whose word on visitors is believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Whether public keys are served on edge hosts.
    pub publish_keys: bool,
    /// The name in `Via` and `Proxy-Status`.
    pub node: Box<str>,
    /// `Via` of an answer, which came here over HTTP/1.1.
    pub via: HeaderValue,
    /// The application servers.
    pub upstreams: Arc<Upstreams>,
    /// The certificates.
    pub inventory: Arc<Inventory>,
}

/// The facts of a connection.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Where it comes from.
    pub remote: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Whether it came in over TLS.
    pub secure: bool,
    /// Whether it comes from a trusted proxy.
    pub trusted: bool,
    /// What the certificate served on it covers; `None` on a plain connection.
    pub names: Option<Arc<CertificateNames>>,
    /// What the visitor had to bring for the name that the connection was opened for, beyond what all must.
    pub demanded: Option<Arc<NamePolicy>>,
}

/// What will be done with a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Sent on.
    Forward(Box<Forward>),
    /// Answered here.
    Answer(Answer),
}

/// A request that is sent on: for whom, within what, where to, as what.
#[derive(Clone)]
pub struct Forward {
    /// The tenant; `None` on a platform host where nobody is named.
    pub route: Option<Arc<Route>>,
    /// Who named it.
    pub sources: Sources,
    /// What it may use.
    pub limits: Limits,
    /// Where the request goes.
    pub upstream: Arc<Upstream>,
    /// The host it was sent to.
    pub hostname: Hostname,
    /// The port that the visitor wrote.
    pub port: Option<u16>,
    /// What the upstream is asked for; `None` = as the visitor asked.
    pub target: Option<PathAndQuery>,
    /// What was cut from the path.
    pub prefix: Option<Box<str>>,
    /// Whether a WebSocket is asked for.
    pub upgrade: bool,
    /// How long its body is, where the head says so.
    pub length: Option<u64>,
    /// Cookies that are not sent on.
    pub failed_cookies: Vec<FailedCookie>,
}

/// A request that is answered here though nothing is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// 308 to this address.
    Redirect(Box<str>),
    /// The public keys.
    Keys,
    /// `OPTIONS *`
    Options,
    /// 204 with CORS fields for a preflight that has nobody to go to.
    Preflight,
    /// 303 back, with the session cookies of this host forgotten.
    ForgetSession,
}

impl Policy {
    /// From the configuration and the parts built from it.
    pub fn new(
        config: &config::Config,
        upstreams: Arc<Upstreams>,
        inventory: Arc<Inventory>,
    ) -> Self {
        let edge = &config.edge;
        Self {
            routing: config.routing.clone(),
            routes: config.routes.clone(),
            limits: config.limits.tenant,
            header_bytes: config.limits.header,
            redirect: (edge.redirect_https && !edge.https.is_empty())
                .then_some(edge.public_https_port),
            trusted_proxies: edge.trusted_proxies.clone(),
            publish_keys: config.signing.publish_on_edge,
            node: edge.node.as_str().into(),
            via: HeaderValue::try_from(format!("1.1 {}", edge.node))
                .unwrap_or(HeaderValue::from_static("1.1 vestibule")),
            upstreams,
            inventory,
        }
    }

    /// Returns when it is known whether `hostname` can be served over TLS, where the answer depends on it. Nearly always at once.
    pub async fn settle(&self, visit: &Visit, hostname: &Hostname) {
        if self.redirect.is_some() && !visit.secure {
            self.inventory.settle(hostname).await;
        }
    }

    /// Whether `address` belongs to a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
    }
}

/// Everything that is known when the decision falls.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The request's head.
    pub head: &'a Parts,
    /// The connection.
    pub visit: &'a Visit,
    /// Host and keys, read from the head.
    pub arrival: &'a Arrival,
    /// What the resolver found for the keys.
    pub facts: &'a Facts,
    /// The time.
    pub now: Timestamp,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("tenant", &self.route.as_ref().map(|route| &route.slug))
            .field("sources", &self.sources)
            .field("upstream", &self.upstream.name)
            .finish_non_exhaustive()
    }
}

/// Whether `head` is a balancer's question to the node, for any host and before every rule.
pub fn is_probe(head: &Parts, path: Option<&str>) -> bool {
    path.is_some_and(|path| head.uri.path() == path)
        && matches!(head.method, Method::GET | Method::HEAD)
}

/// Whose request it is and who said so, whatever is decided about it; nobody's where the sources disagree or do not hold.
pub fn whose(case: &Case<'_>, policy: &Policy) -> (Option<Arc<Route>>, Sources) {
    let named = named::named(case, policy);
    named.map_or_else(
        |_| (None, Sources::default()),
        |named| (named.route, named.sources),
    )
}

/// The keys of a request, for those that only look up.
pub fn keys(arrival: &Arrival) -> Option<&Keys> {
    match &arrival.target {
        Target::Tenant(keys) => Some(keys),
        Target::Server => None,
    }
}

#[cfg(test)]
mod tests;
