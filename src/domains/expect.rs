//! What we expect of customers' names: where they point, where proofs and challenges may be delegated to, and who certifies them.

use std::net::IpAddr;

use crate::config::{AcmeDns, AcmeIssuer, Domains};
use crate::model::{ChallengeKind, Hostname};

/// What is right; built once from the configuration, and again when a CA has said more of itself.
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
    /// The CAs in order of preference.
    pub cas: Vec<CaExpectation>,
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
    /// What the configuration says. Identities that are not configured and accounts are filled in by whoever has asked the CA.
    pub fn new(domains: &Domains, acme: &[AcmeIssuer], acme_dns: Option<&AcmeDns>) -> Self {
        let mut cas: Vec<_> = acme.iter().map(CaExpectation::new).collect();
        if acme_dns.is_none() {
            // Nobody would answer for it.
            for ca in &mut cas {
                ca.challenges.retain(|kind| *kind != ChallengeKind::Dns01);
            }
        }
        Self {
            cname_target: domains.cname_target.clone(),
            addresses: domains.addresses.clone(),
            proof_zone: domains.proof_zone.clone(),
            challenge_zone: acme_dns.map(|own| own.zone.clone()),
            cas,
        }
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
    fn new(issuer: &AcmeIssuer) -> Self {
        Self {
            directory_url: issuer.directory_url.clone(),
            identities: issuer.caa_identities.clone(),
            account: None,
            challenges: issuer.challenges.clone(),
        }
    }
}
