//! What can be wrong with a customer's name, one fault each: what its zone says, and what `domain doctor` says of it, word for word.
//!
//! In the texts stand `{name}`, `{zone}`, `{proof}`, `{secret}` and `{holder}` (the proof of the tenant who has the name) for the
//! customer's, `{here}`, `{ours}` (where `_acme-challenge` should lead), `{account}` (at the CA) and `{resolver}` for ours.

use vestibule::model::{CheckCode, DomainState};
use vestibule::store::Claim;

mod ordering;
mod pointing;
mod proof;
mod wildcard;
mod zone;

/// A name with one thing wrong. The proof of one that is [`PROVED`] has been seen: it would be ordered for.
pub(super) struct Fault {
    /// The customer's zone.
    pub(super) zone: &'static str,
    /// What stands before it in the claimed name.
    pub(super) label: &'static str,
    /// How the claim begins.
    pub(super) claim: Claim,
    /// Who has the name already, on the operator's word or not.
    pub(super) holder: Option<Claim>,
    /// What stands in a zone that is in order.
    pub(super) well: &'static str,
    /// What stands in this one: all records of each name that is mentioned.
    pub(super) records: &'static str,
    /// The same, as the resolver alone sees it.
    pub(super) resolver: &'static str,
    /// All findings that are not well, as they are printed; but for who has seen it, and but for what is said of the order.
    pub(super) found: &'static str,
    /// Why there was no order, where that is not the same as is found: nobody but us is to blame.
    pub(super) refused: Option<&'static str>,
}

/// Claimed, and not proved yet.
const CLAIMED: Fault = Fault {
    zone: "",
    label: "app",
    claim: Claim::PENDING,
    holder: None,
    well: WELL,
    records: "",
    resolver: "",
    found: "",
    refused: None,
};

/// Proved, and waiting for its certificate.
const PROVED: Fault = Fault {
    claim: VERIFIED,
    ..CLAIMED
};

const VERIFIED: Claim = Claim {
    state: DomainState::Verified,
    trusted: false,
};

/// Nothing is wrong.
pub(super) const NONE: Fault = Fault {
    zone: "in-order.test",
    ..CLAIMED
};

/// Two name servers; where the name leads, and its proof.
const WELL: &str = r#"
    {zone} SOA
    {zone} NS ns1.{zone}
    {zone} NS ns2.{zone}
    ns1.{zone} A 127.0.0.2
    ns2.{zone} A 127.0.0.3
    {name} CNAME edge.vestibule.test
    _vestibule.{name} TXT "{proof}""#;

/// Faults of names on a node that shows control of them by HTTP and TLS.
pub(super) fn of_names() -> impl Iterator<Item = &'static Fault> {
    let all = [
        proof::FAULTS,
        pointing::FAULTS,
        zone::FAULTS,
        ordering::FAULTS,
    ];
    all.into_iter().flatten()
}

/// Faults of wildcards on a node that answers for their challenges.
pub(super) fn of_wildcards() -> impl Iterator<Item = &'static Fault> {
    wildcard::FAULTS.iter()
}

/// Every code there is, each after the one before: who adds one comes by here, and to a fault that it is for.
fn codes() -> impl Iterator<Item = CheckCode> {
    std::iter::successors(Some(CheckCode::Proof), |code| match code {
        CheckCode::Proof => Some(CheckCode::Pointing),
        CheckCode::Pointing => Some(CheckCode::Ipv6),
        CheckCode::Ipv6 => Some(CheckCode::Cdn),
        CheckCode::Cdn => Some(CheckCode::Dnssec),
        CheckCode::Dnssec => Some(CheckCode::Caa),
        CheckCode::Caa => Some(CheckCode::Challenge),
        CheckCode::Challenge => Some(CheckCode::Zone),
        CheckCode::Zone => Some(CheckCode::Holder),
        CheckCode::Holder => Some(CheckCode::Certificate),
        CheckCode::Certificate => None,
    })
}

#[test]
fn there_is_a_fault_for_every_code() {
    for code in codes() {
        let line = format!("FIX {}: ", code.as_str());
        let mut all = of_names().chain(of_wildcards());
        assert!(all.any(|fault| fault.found.contains(&line)), "{code:?}");
    }
    let mut zones: Vec<_> = of_names().chain(of_wildcards()).map(|it| it.zone).collect();
    let many = zones.len();
    zones.sort_unstable();
    zones.dedup();
    assert_eq!(zones.len(), many, "a zone of its own for each");
}

impl Fault {
    /// The claimed name.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.label, self.zone)
    }

    /// What every name server says, but those in trouble.
    pub(super) fn lines(&self) -> String {
        but(self.well, self.records)
    }

    /// What the resolver says.
    pub(super) fn lines_of_the_resolver(&self) -> String {
        but(&self.lines(), self.resolver)
    }

    /// What a name server says to which the proof has not come yet.
    pub(super) fn lines_without_proof(&self) -> String {
        let lines = self.lines();
        let kept = lines
            .lines()
            .filter(|line| !line.trim().starts_with("_vestibule"));
        kept.collect::<Vec<_>>().join("\n")
    }
}

/// `zone` with `records` in the place of all that it has at their names.
fn but(zone: &str, records: &str) -> String {
    let name = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let changed: Vec<_> = records.lines().filter_map(name).collect();
    let kept = zone
        .lines()
        .filter(|line| name(line).is_none_or(|name| !changed.contains(&name)));
    kept.chain(records.lines()).collect::<Vec<_>>().join("\n")
}
