//! The resolver of host names: one small interface and its implementation on hickory. What is done with the addresses, how long
//! they are kept and what happens when a look-up fails is the caller's business.
//!
//! Beside it an [`Asker`], for those who must know who says what of a name: it asks each resolver and each name server of the
//! name's zone apart, remembers nothing, and says of each what it answered.

mod ask;
mod inquiry;
mod reply;
mod signatures;
mod zone;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::Name;

pub use ask::{AskError, Patience, Question};
pub use hickory_resolver::proto::rr::RecordType;
pub use inquiry::{Asker, Inquiry, Said, ServerSaid};
pub use reply::{CaaRecord, Reply};
pub use signatures::{Flaw, SignatureFault, Signatures};
pub use zone::{Authority, NameServer, Zone, ZoneError};

use crate::model::Hostname;

/// Finds the addresses of host names.
///
/// An implementation bounds its own time (seconds, not minutes), follows aliases with a bound, and gives an error, never an empty
/// list, for a name without addresses. It must be cancel safe: a look-up that is dropped leaves nothing behind.
pub trait Dns: Send + Sync + 'static {
    /// The addresses of `name`, IPv4 and IPv6, and how long they may be used.
    fn lookup(&self, name: &Hostname) -> impl Future<Output = Result<Resolved, DnsError>> + Send;
}

/// What a look-up found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// At least one address, in no particular order.
    pub addresses: Vec<IpAddr>,
    /// What is left of the records' time to live; zero is possible.
    pub valid_for: Duration,
}

/// Why a look-up found nothing.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The system's resolver settings cannot be used.
    #[error("the system's resolver settings cannot be used")]
    Settings(#[source] NetError),
    /// The name servers gave no address: the name does not exist, or they failed.
    #[error("no address found for {name}")]
    Lookup {
        /// The name.
        name: Hostname,
        /// What the name servers said.
        #[source]
        source: NetError,
    },
    /// The system's settings name no resolver.
    #[error("the system's settings name no resolver")]
    NoResolver,
    /// The answer held no address.
    #[error("{0} has no address")]
    NoAddress(Hostname),
}

/// The system's resolver: `/etc/hosts` first, then the name servers of `/etc/resolv.conf` with its search list.
#[derive(Clone, Debug)]
pub struct SystemDns(TokioResolver);

impl SystemDns {
    /// Reads the system's settings, once. Look-ups run on the tokio runtime that polls them.
    pub fn new() -> Result<Self, DnsError> {
        let mut builder = TokioResolver::builder_tokio().map_err(DnsError::Settings)?;
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Always;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // Callers keep what they were told for as long as it is valid; a second cache would only hide changes from them.
        options.cache_size = 0;
        options.timeout = QUERY;
        Ok(Self(builder.build().map_err(DnsError::Settings)?))
    }
}

impl Dns for SystemDns {
    async fn lookup(&self, name: &Hostname) -> Result<Resolved, DnsError> {
        if let Some(resolved) = loopback(name) {
            return Ok(resolved);
        }
        let found = self
            .0
            .lookup_ip(name.as_str())
            .await
            .map_err(|source| DnsError::Lookup {
                name: name.clone(),
                source,
            })?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(DnsError::NoAddress(name.clone()));
        }
        Ok(Resolved {
            addresses,
            valid_for: found
                .valid_until()
                .saturating_duration_since(Instant::now()),
        })
    }
}

/// `localhost` and names below it are this machine and are never asked of a name server (RFC 6761 section 6.3).
fn loopback(name: &Hostname) -> Option<Resolved> {
    let text = name.as_str();
    (text == "localhost" || text.ends_with(".localhost")).then(|| Resolved {
        addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        valid_for: Duration::from_secs(60),
    })
}

/// The name as it goes over the wire.
fn wire_name(name: &Hostname) -> Name {
    let mut name = Name::from_ascii(name.as_str()).expect("a host name is a domain name");
    name.set_fqdn(true);
    name
}

/// For one query to one name server; the resolver asks at most three times.
const QUERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_is_this_machine_without_a_name_server() {
        let dns = SystemDns::new().unwrap();
        for name in ["localhost", "acme.localhost"] {
            let found = dns.lookup(&Hostname::parse(name).unwrap()).await.unwrap();
            assert!(found.addresses.iter().all(IpAddr::is_loopback));
            assert_eq!(found.addresses.len(), 2);
        }
        assert!(loopback(&Hostname::parse("notlocalhost").unwrap()).is_none());
    }
}
