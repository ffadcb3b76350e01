//! Which zone a name is in, and who its name servers are.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::{join, join_all};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::ask::{AskError, Question};
use super::inquiry::{Inquiry, Said};
use super::reply::text;
use crate::model::Hostname;

/// Who decides what a name says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Authority {
    /// The servers of the zone it is in.
    Zone(Zone),
    /// The resolvers that the operator has chosen, which know of no name server at all, not even the root's: a name space of the
    /// operator's own.
    Resolvers,
}

/// A zone and its servers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    pub(super) apex: Name,
    /// Its servers as the parent or the zone itself names them: eight at most, and none twice under two names.
    pub servers: Vec<NameServer>,
}

/// A name server of a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameServer {
    /// Its name.
    pub name: String,
    /// Where it is asked.
    pub(super) addresses: Vec<SocketAddr>,
    /// Its addresses at which nothing is asked, as they are private.
    refused: Vec<IpAddr>,
}

/// Why it is not known which zone a name is in.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// No resolver can say who serves this name or what lies above it.
    #[error("no resolver can find the name servers of {name}")]
    Unanswered {
        /// The longest name of which they cannot say it.
        name: String,
        /// What they said.
        said: Vec<Said>,
    },
    /// The system's resolvers know of no name server, not even the root's.
    #[error("the system's resolvers know no name server of any zone")]
    NoZone,
}

impl Zone {
    /// The zone's name; a dot for the root.
    pub fn name(&self) -> String {
        text(&self.apex)
    }

    /// Whether `name` is the zone's own.
    pub fn is_apex(&self, name: &Hostname) -> bool {
        self.name() == name.as_str()
    }
}

impl NameServer {
    /// Why it cannot be asked.
    pub(super) fn fault(&self) -> Option<String> {
        match (self.addresses.is_empty(), self.refused.as_slice()) {
            (false, _) => None,
            (true, []) => Some("has no address".to_owned()),
            (true, [address, ..]) => Some(format!("has a private address, {address}")),
        }
    }

    /// Whether it is not asked because of where it is.
    pub(super) fn is_private(&self) -> bool {
        self.addresses.is_empty() && !self.refused.is_empty()
    }
}

impl Inquiry<'_> {
    /// Who decides what `name` says: the zone is found by asking who serves the name, then what lies above it.
    pub async fn authority(&self, name: &Hostname) -> Result<Authority, ZoneError> {
        let mut at = super::wire_name(name);
        let mut failed = None;
        loop {
            let question = Question::at(at.clone(), RecordType::NS);
            let mut above = at.base_name();
            match self.of_a_resolver(question).await {
                Ok(reply) => {
                    let servers = reply.name_servers(&at);
                    if !servers.is_empty() {
                        let zone = self.zone(at, servers, |_| Vec::new()).await;
                        return Ok(Authority::Zone(match failed {
                            None => zone,
                            // The resolvers fail below this zone: its servers know whom they are sent to.
                            Some(_) => self.descend(zone, name).await,
                        }));
                    }
                    // The SOA of a denial spares the steps between, unless it denies what an alias leads to.
                    let denied_by = reply.denied_by().filter(|_| reply.answers.is_empty());
                    if let Some(apex) = denied_by.filter(|apex| apex.zone_of(&above)) {
                        above = apex.clone();
                    }
                }
                Err(said) if said.iter().all(is_unheard_of) => {}
                Err(said) => {
                    failed.get_or_insert((text(&at), said));
                }
            }
            if at.is_root() {
                break;
            }
            at = above;
        }
        match failed {
            Some((name, said)) => Err(ZoneError::Unanswered { name, said }),
            None if self.asker.chosen => Ok(Authority::Resolvers),
            None => Err(ZoneError::NoZone),
        }
    }

    /// Follows the zone's referrals towards `name`, as far as they lead.
    async fn descend(&self, mut zone: Zone, name: &Hostname) -> Zone {
        let name = super::wire_name(name);
        let question = Question::at(name.clone(), RecordType::NS);
        for _ in 0..MOST_REFERRALS {
            let said = self.of_servers(&zone, &question).await;
            let replies = said.iter().flat_map(super::ServerSaid::replies);
            let below = replies
                .filter(|(_, reply)| !reply.authoritative)
                .find_map(|(_, reply)| {
                    let (apex, servers) = reply.referral()?;
                    let closer = apex.num_labels() > zone.apex.num_labels() && apex.zone_of(&name);
                    (closer && zone.apex.zone_of(&apex)).then_some((apex, servers, reply))
                });
            let Some((apex, servers, reply)) = below else {
                break;
            };
            zone = self.zone(apex, servers, |server| reply.glue(server)).await;
        }
        zone
    }

    /// `glue` gives the addresses that a referral brought along, for servers whose own names cannot be resolved.
    async fn zone(
        &self,
        apex: Name,
        mut names: Vec<Name>,
        glue: impl Fn(&Name) -> Vec<IpAddr>,
    ) -> Zone {
        names.sort();
        names.dedup();
        names.truncate(MOST_SERVERS);
        let found = join_all(names.iter().map(|name| self.addresses_of(name))).await;
        let mut servers: Vec<NameServer> = Vec::new();
        for (name, mut addresses) in names.iter().zip(found) {
            if addresses.is_empty() {
                addresses = glue(name);
            }
            servers.extend(self.server(name, addresses, &servers));
        }
        Zone { apex, servers }
    }

    /// Nothing where all of the addresses are those of servers that are `known` under other names.
    fn server(
        &self,
        name: &Name,
        addresses: Vec<IpAddr>,
        known: &[NameServer],
    ) -> Option<NameServer> {
        let mut server = NameServer {
            name: text(name),
            addresses: Vec::new(),
            refused: Vec::new(),
        };
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv4);
        let some = v4
            .into_iter()
            .take(MOST_IPV4)
            .chain(v6.into_iter().take(MOST_IPV6));
        let mut is_known = false;
        for address in some {
            match self.asker.name_server(address) {
                None => server.refused.push(address),
                Some(at) if known.iter().any(|other| other.addresses.contains(&at)) => {
                    is_known = true
                }
                Some(at) => server.addresses.push(at),
            }
        }
        (!server.addresses.is_empty() || !is_known).then_some(server)
    }

    async fn addresses_of(&self, server: &Name) -> Vec<IpAddr> {
        let found = async |kind| {
            let reply = self.of_a_resolver(Question::at(server.clone(), kind)).await;
            reply.map(|reply| reply.addresses()).unwrap_or_default()
        };
        let (mut v4, v6) = join(found(RecordType::A), found(RecordType::AAAA)).await;
        v4.extend(v6);
        v4
    }
}

fn is_unheard_of(said: &Said) -> bool {
    said.reply.as_ref().is_err_and(AskError::is_unheard_of)
}

/// As many as a zone in good order has; the root and `com` have more, and any eight of theirs will do.
const MOST_SERVERS: usize = 8;
/// Addresses of one server that are asked: a customer's zone must not make us send to whole networks.
const MOST_IPV4: usize = 2;
/// As [`MOST_IPV4`].
const MOST_IPV6: usize = 1;
/// From one zone down to the next; more than two in a row are hardly ever broken.
const MOST_REFERRALS: usize = 4;
