//! Where endpoints are: what the configuration says of each (a site), the addresses that its name has now, and whether one of them
//! is this node itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderValue;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;

use crate::config::{Endpoint, EndpointHost, HostPolicy};
use crate::model::Hostname;

/// What the configuration says of one endpoint, made ready for use.
#[derive(Debug)]
pub(super) struct Site {
    /// The name to look up; `None` where the address is fixed.
    pub(super) name: Option<Hostname>,
    fixed: Option<IpAddr>,
    port: u16,
    /// How to speak TLS with it, and as whom it must prove itself.
    pub(super) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The `Host` it is sent where that is not the visitor's.
    pub(super) host: Option<HeaderValue>,
}

/// One place to connect to.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) site: Arc<Site>,
    pub(super) socket: SocketAddr,
}

impl Site {
    pub(super) fn new(
        endpoint: &Endpoint,
        host: &HostPolicy,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Self {
        let (name, fixed) = match &endpoint.host {
            EndpointHost::Name(name) => (Some(name.clone()), None),
            EndpointHost::Ip(ip) => (None, Some(*ip)),
        };
        let tls = tls
            .filter(|_| endpoint.tls)
            .cloned()
            .zip(server_name(&endpoint.host, host));
        Self {
            name,
            fixed,
            port: endpoint.port,
            tls,
            host: host_header(endpoint, host),
        }
    }
}

/// The `Host` of the policy: a name has no port, because it names the service and not the place.
fn host_header(endpoint: &Endpoint, policy: &HostPolicy) -> Option<HeaderValue> {
    let default = if endpoint.tls { 443 } else { 80 };
    let text = match (policy, &endpoint.host) {
        (HostPolicy::Preserve, _) => return None,
        (HostPolicy::Name(name), _) => name.as_str().to_owned(),
        (HostPolicy::Endpoint, EndpointHost::Ip(ip)) if endpoint.port != default => {
            SocketAddr::new(*ip, endpoint.port).to_string()
        }
        (HostPolicy::Endpoint, EndpointHost::Ip(IpAddr::V4(ip))) => ip.to_string(),
        (HostPolicy::Endpoint, EndpointHost::Ip(IpAddr::V6(ip))) => format!("[{ip}]"),
        (HostPolicy::Endpoint, EndpointHost::Name(name)) if endpoint.port != default => {
            format!("{name}:{}", endpoint.port)
        }
        (HostPolicy::Endpoint, EndpointHost::Name(name)) => name.as_str().to_owned(),
    };
    HeaderValue::try_from(text).ok()
}

/// Whom the endpoint's certificate must name, which is also the SNI (an IP address sends none, RFC 6066 section 3).
fn server_name(host: &EndpointHost, policy: &HostPolicy) -> Option<ServerName<'static>> {
    match (policy, host) {
        (HostPolicy::Name(name), _) | (_, EndpointHost::Name(name)) => {
            ServerName::try_from(name.as_str().to_owned()).ok()
        }
        (_, EndpointHost::Ip(ip)) => Some(ServerName::from(*ip)),
    }
}

impl Address {
    pub(super) fn is_of(&self, site: &Arc<Site>) -> bool {
        Arc::ptr_eq(&self.site, site)
    }

    pub(super) fn is_same(&self, other: &Address) -> bool {
        self.socket == other.socket && self.is_of(&other.site)
    }
}

/// The addresses that need no look-up.
pub(super) fn known_from_start(sites: &[Arc<Site>]) -> Vec<Address> {
    let fixed = |site: &Arc<Site>| site.fixed.map(|ip| at(site, ip));
    sites.iter().filter_map(fixed).collect()
}

/// `known` with the addresses of `site` replaced by `found`.
///
/// Sorted, so that name servers that rotate their records cause no change, and bounded: a name with a thousand records must not
/// cost a thousand pools on each thread.
pub(super) fn replaced(known: &[Address], site: &Arc<Site>, found: &[IpAddr]) -> Vec<Address> {
    let mut found = found.to_vec();
    found.sort_unstable();
    found.dedup();
    found.truncate(MAX_ADDRESSES);
    let others = known.iter().filter(|address| !address.is_of(site)).cloned();
    others.chain(found.iter().map(|ip| at(site, *ip))).collect()
}

fn at(site: &Arc<Site>, ip: IpAddr) -> Address {
    Address {
        site: Arc::clone(site),
        socket: SocketAddr::new(ip, site.port),
    }
}

/// Whether `target` is one of this node's `listeners`. `from` is our own address on the connection, where there is one already: a
/// listener on every interface is met where both ends of the connection are the same machine, which no list of addresses tells.
pub(super) fn is_own(listeners: &[SocketAddr], target: SocketAddr, from: Option<IpAddr>) -> bool {
    let ip = target.ip().to_canonical();
    let here = ip.is_loopback()
        || ip.is_unspecified()
        || from.is_some_and(|from| from.to_canonical() == ip);
    listeners.iter().any(|listener| {
        let own = listener.ip().to_canonical();
        let same = own == ip
            || (own.is_unspecified() && here)
            || (own.is_loopback() && ip.is_unspecified());
        listener.port() == target.port() && same
    })
}

/// More addresses than this behind one name are not used.
const MAX_ADDRESSES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn site(host: EndpointHost, policy: &HostPolicy, port: u16) -> Arc<Site> {
        let endpoint = Endpoint {
            tls: false,
            host,
            port,
        };
        Arc::new(Site::new(&endpoint, policy, None))
    }

    fn name(text: &str) -> EndpointHost {
        EndpointHost::Name(Hostname::parse(text).unwrap())
    }

    #[test]
    fn host_follows_the_policy() {
        let host = |site: Arc<Site>| site.host.as_ref().map(|v| v.to_str().unwrap().to_owned());
        let v6 = EndpointHost::Ip("::1".parse().unwrap());
        assert_eq!(host(site(name("app"), &HostPolicy::Preserve, 80)), None);
        let endpoint = HostPolicy::Endpoint;
        assert_eq!(host(site(name("app"), &endpoint, 80)).unwrap(), "app");
        assert_eq!(host(site(name("app"), &endpoint, 81)).unwrap(), "app:81");
        assert_eq!(host(site(v6.clone(), &endpoint, 80)).unwrap(), "[::1]");
        assert_eq!(host(site(v6, &endpoint, 81)).unwrap(), "[::1]:81");
        let fixed = HostPolicy::Name(Hostname::parse("in.example").unwrap());
        assert_eq!(host(site(name("app"), &fixed, 81)).unwrap(), "in.example");
    }

    #[test]
    fn i20_a_thousand_records_are_cut_and_order_does_not_matter() {
        let app = site(name("app"), &HostPolicy::Preserve, 80);
        let other = site(name("other"), &HostPolicy::Preserve, 80);
        let known = replaced(&[], &other, &["10.0.0.1".parse().unwrap()]);
        let found: Vec<IpAddr> = (0..1000_u32)
            .map(|n| IpAddr::from(std::net::Ipv4Addr::from(0x0a00_0000 + n)))
            .collect();
        let one = replaced(&known, &app, &found);
        assert_eq!(one.len(), MAX_ADDRESSES + 1);
        let turned: Vec<IpAddr> = found.iter().rev().copied().collect();
        let two = replaced(&one, &app, &turned);
        assert!(one.iter().zip(&two).all(|(a, b)| a.is_same(b)));
    }

    #[test]
    fn i1_own_listeners_are_recognised_in_every_spelling() {
        let own = |listener: &str, target: &str, from: Option<&str>| {
            let from = from.map(|ip| ip.parse().unwrap());
            is_own(&[listener.parse().unwrap()], target.parse().unwrap(), from)
        };
        assert!(own("127.0.0.1:80", "127.0.0.1:80", None));
        assert!(own("127.0.0.1:80", "[::ffff:127.0.0.1]:80", None));
        assert!(own("127.0.0.1:80", "0.0.0.0:80", None));
        assert!(own("0.0.0.0:80", "127.0.0.9:80", None));
        assert!(own("[::]:80", "192.0.2.1:80", Some("192.0.2.1")));
        assert!(!own("[::]:80", "192.0.2.1:80", Some("192.0.2.2")));
        assert!(!own("0.0.0.0:80", "127.0.0.1:81", None));
        assert!(!own("192.0.2.1:80", "192.0.2.2:80", None));
    }
}
