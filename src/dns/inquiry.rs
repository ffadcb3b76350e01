//! Who is asked about names, and one bounded inquiry after another: nothing is remembered from one to the next.

use std::net::{IpAddr, SocketAddr};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::system_conf::read_system_conf;
use ipnet::IpNet;
use tokio::time::Instant;

use super::ask::{AskError, Patience, Question, ask};
use super::reply::Reply;
use super::{DnsError, Zone};
use crate::config::Domains;
use crate::model::address::is_public;

/// Whom to ask: resolvers, and name servers as far as they may be asked. Cheap enough to clone.
#[derive(Clone, Debug)]
pub struct Asker {
    resolvers: Vec<SocketAddr>,
    /// The operator has chosen the resolvers for this.
    pub(super) chosen: bool,
    name_server_port: u16,
    private: Vec<IpNet>,
    patience: Patience,
}

/// One inquiry, which is over when its time is.
#[derive(Debug)]
pub struct Inquiry<'a> {
    pub(super) asker: &'a Asker,
    until: Instant,
}

/// What one server said.
#[derive(Debug)]
pub struct Said {
    /// Which: `resolver 9.9.9.9`, `ns1.acme.com (192.0.2.1)`.
    pub by: String,
    /// What it said.
    pub reply: Result<Reply, AskError>,
}

/// What a name server of a zone said, at each of its addresses.
#[derive(Debug)]
pub struct ServerSaid {
    /// Its name.
    pub name: String,
    /// At each address.
    pub said: Vec<Said>,
    /// Why it could not even be asked.
    pub fault: Option<String>,
    /// Whether that is because all its addresses are private, and not of networks that are asked all the same.
    pub is_private: bool,
}

impl Said {
    /// Whether the server says that it could not find out: a validating resolver says so of bad signatures.
    pub fn is_servfail(&self) -> bool {
        self.reply.as_ref().is_err_and(AskError::is_servfail)
    }
}

impl ServerSaid {
    /// What was answered.
    pub fn replies(&self) -> impl Iterator<Item = (&str, &Reply)> {
        self.said
            .iter()
            .filter_map(|said| Some((said.by.as_str(), said.reply.as_ref().ok()?)))
    }
}

impl Asker {
    /// The resolvers of the configuration, or the system's where it names none.
    pub fn new(domains: &Domains) -> Result<Self, DnsError> {
        let mut named = domains.resolvers.clone();
        if named.is_empty() {
            let (system, _) = read_system_conf().map_err(DnsError::Settings)?;
            let servers = system.name_servers().iter();
            named.extend(servers.map(|server| SocketAddr::new(server.ip, DNS)));
        }
        let mut resolvers: Vec<SocketAddr> = Vec::new();
        for resolver in named {
            if !resolvers.contains(&resolver) {
                resolvers.push(resolver);
            }
        }
        resolvers.truncate(MOST_RESOLVERS);
        if resolvers.is_empty() {
            return Err(DnsError::NoResolver);
        }
        Ok(Self {
            resolvers,
            chosen: !domains.resolvers.is_empty(),
            name_server_port: domains.name_server_port,
            private: domains.private_name_servers.clone(),
            patience: Patience::default(),
        })
    }

    /// Waits as long as `patience` says.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// Begins an inquiry; its time runs.
    pub fn inquire(&self) -> Inquiry<'_> {
        Inquiry {
            asker: self,
            until: Instant::now() + self.patience.in_all,
        }
    }

    /// Where the name server with this address is asked; nothing where it may not be.
    pub(super) fn name_server(&self, address: IpAddr) -> Option<SocketAddr> {
        let allowed = is_public(address)
            || (self.private.iter()).any(|network| network.contains(&address.to_canonical()));
        allowed.then(|| SocketAddr::new(address, self.name_server_port))
    }
}

impl Inquiry<'_> {
    /// What each resolver says.
    pub async fn of_resolvers(&self, question: Question) -> Vec<Said> {
        let question = &question.recursive();
        join_all(self.asker.resolvers.iter().map(|at| self.of(*at, question))).await
    }

    /// What the first resolver says that can answer; where none can, why.
    pub async fn of_a_resolver(&self, question: Question) -> Result<Reply, Vec<Said>> {
        let question = &question.recursive();
        let resolvers = self.asker.resolvers.iter();
        let mut asked: FuturesUnordered<_> = resolvers.map(|at| self.of(*at, question)).collect();
        let mut failed = Vec::new();
        while let Some(said) = asked.next().await {
            match said.reply {
                Ok(reply) => return Ok(reply),
                Err(_) => failed.push(said),
            }
        }
        failed.sort_by(|a, b| a.by.cmp(&b.by));
        Err(failed)
    }

    /// What the zone's own servers say of themselves, without asking anybody else. An answer that is not the server's own
    /// ([`Reply::authoritative`]) is a [`AskError::Lame`].
    pub async fn of_zone(&self, zone: &Zone, question: &Question) -> Vec<ServerSaid> {
        let mut servers = self.of_servers(zone, question).await;
        for said in servers.iter_mut().flat_map(|server| &mut server.said) {
            if said.reply.as_ref().is_ok_and(|reply| !reply.authoritative) {
                said.reply = Err(AskError::Lame);
            }
        }
        servers
    }

    pub(super) async fn of_servers(&self, zone: &Zone, question: &Question) -> Vec<ServerSaid> {
        let asked = zone.servers.iter().map(async |server| ServerSaid {
            name: server.name.clone(),
            said: join_all(server.addresses.iter().map(async |at| Said {
                by: format!("{} ({})", server.name, at.ip()),
                reply: self.ask(*at, question).await,
            }))
            .await,
            fault: server.fault(),
            is_private: server.is_private(),
        });
        join_all(asked).await
    }

    async fn of(&self, resolver: SocketAddr, question: &Question) -> Said {
        let by = match resolver.port() {
            DNS => format!("resolver {}", resolver.ip()),
            _ => format!("resolver {resolver}"),
        };
        let reply = self.ask(resolver, question).await;
        Said { by, reply }
    }

    async fn ask(&self, server: SocketAddr, question: &Question) -> Result<Reply, AskError> {
        ask(server, question, self.asker.patience.a_try, self.until).await
    }
}

/// The port of the protocol.
const DNS: u16 = 53;
/// As many as a look can wait for.
const MOST_RESOLVERS: usize = 4;
