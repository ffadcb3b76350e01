//! What we expect of names, customers' and the operator's own: where they point, where proofs and challenges may be delegated to, and who certifies them.

use std::net::{IpAddr, SocketAddr};

use crate::config::{AcmeIssuer, Config};
use crate::model::{ChallengeKind, Hostname};

/// What is right. Where nothing says where names lead (neither a target nor addresses), they may lead anywhere: a node behind an
/// address translator does not know where it is. Built once from the configuration, and again when a CA has said more of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expected {
    /// Where names point by CNAME.
    pub cname_target: Option<Hostname>,
    /// Where names point by A and AAAA.
    pub addresses: Vec<IpAddr>,
    /// Below which a proof may be delegated: `_vestibule.<hostname> CNAME <secret>.<proof zone>`.
    pub proof_zone: Option<Hostname>,
    /// Below which `_acme-challenge` is delegated for dns-01; nothing where we answer no such zone.
    pub challenge_zone: Option<Hostname>,
    /// The CAs in order of preference; none where no certificates are ordered.
    pub cas: Vec<CaExpectation>,
    /// Whose names are looked at.
    pub whose: Whose,
}

/// Whose name is looked at: to whom findings are told, and what makes a name lead here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Whose {
    /// A customer's.
    #[default]
    Customer,
    /// The operator's own: a base domain or a platform host. It leads here as customers' names do, or by addresses of this node.
    Operator(Here),
}

/// Where this node is, as far as it knows itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Here {
    /// Addresses of listeners that have one of their own.
    pub listeners: Vec<IpAddr>,
    /// Whether a listener is at every address that the machine has.
    pub machine: bool,
}

/// What is known of a CA before it is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaExpectation {
    /// Its directory, by which messages name it.
    pub directory_url: String,
    /// The names by which CAA records mean it (`caaIdentities`, RFC 8555 section 7.1.1); none while it has not said. Then CAA
    /// records that name somebody are left to the CA to read.
    pub identities: Vec<String>,
    /// Our account's address there, once there is one (`accounturi`, RFC 8657 section 3).
    pub account: Option<String>,
    /// How control is shown to it, in order of preference.
    pub challenges: Vec<ChallengeKind>,
}

impl Expected {
    /// What the configuration says of customers' names. Identities that are not configured and accounts are filled in by whoever has
    /// asked the CA.
    pub fn new(config: &Config) -> Self {
        let domains = &config.domains;
        let cas = config.acme.iter().filter(|_| config.orders_certificates());
        Self {
            cname_target: domains.cname_target.clone(),
            addresses: domains.addresses.clone(),
            proof_zone: domains.proof_zone.clone(),
            challenge_zone: config.acme_dns.as_ref().map(|own| own.zone.clone()),
            cas: cas.map(|ca| CaExpectation::new(ca, config)).collect(),
            whose: Whose::Customer,
        }
    }

    /// The same for the operator's own names.
    pub fn of_own(self, config: &Config) -> Self {
        let listeners = config.edge.http.iter().chain(&config.edge.https);
        let listeners: Vec<IpAddr> = listeners.map(SocketAddr::ip).collect();
        let machine = listeners.iter().any(IpAddr::is_unspecified);
        let mut listeners = listeners;
        listeners.retain(|address| !address.is_unspecified());
        listeners.sort_unstable();
        listeners.dedup();
        Self {
            whose: Whose::Operator(Here { listeners, machine }),
            ..self
        }
    }

    /// From now on a name may lead anywhere.
    pub fn forget_where(&mut self) {
        self.cname_target = None;
        self.addresses = Vec::new();
        self.whose = Whose::Customer;
    }

    /// As for a wildcard: of the ways to show control only the one by DNS records.
    pub fn only_dns01(&mut self) {
        for ca in &mut self.cas {
            ca.challenges.retain(|kind| *kind == ChallengeKind::Dns01);
        }
    }

    /// Whether any CA is shown control of names by DNS records.
    pub fn uses_dns01(&self) -> bool {
        let uses = |ca: &CaExpectation| ca.challenges.contains(&ChallengeKind::Dns01);
        self.challenge_zone.is_some() && self.cas.iter().any(uses)
    }
}

impl CaExpectation {
    fn new(issuer: &AcmeIssuer, config: &Config) -> Self {
        Self {
            directory_url: issuer.directory_url.clone(),
            identities: issuer.caa_identities.clone(),
            account: None,
            challenges: config.challenges_for(issuer),
        }
    }
}
