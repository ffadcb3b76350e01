//! What is looked at of a customer's name: whether its tenant controls it, whether it leads here, whether a CA may be asked for a
//! certificate, and in plain words what to set where it is not so.
//!
//! Nothing here knows the store or remembers anything: a caller hands in what is claimed and what we expect, and gets findings.
//! When a name is looked at, and what follows from a finding, is the caller's business.

mod caa;
mod cdn;
mod challenge;
mod dnssec;
mod expect;
mod look;
mod pointing;
mod preflight;
mod proof;
mod records;
mod words;
mod zone;

pub use expect::{CaExpectation, Expected, Here, Whose};
pub use look::Looker;
pub use records::{
    RecordToSet, challenge_name, delegated_name, proof_name, proof_value, records_to_set,
};

pub use crate::model::domain_life::Seen;

use crate::model::{ChallengeKind, Check, DomainPattern};

/// A name that a tenant claims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claimed {
    /// The name.
    pub pattern: DomainPattern,
    /// What the proof must hold: of this tenant and this name, 32 lower-case hexadecimal digits.
    pub secret: String,
}

/// What was seen of a claimed name, for its life cycle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Looked {
    /// Whether the tenant's own proof stands.
    pub proof: Seen,
    /// Whether the name leads here.
    pub pointing: Seen,
    /// The findings, those that are well among them: `zone`, `proof`, `pointing`, and `ipv6`, `cdn`, `dnssec` where there is
    /// something to say.
    pub checks: Vec<Check>,
}

/// Whether a CA may be asked for a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preflight {
    /// The findings, those that are well among them: `zone`, `pointing`, `dnssec`, `caa`; `challenge` where there is a delegation or
    /// a CA needs one; `ipv6`, `cdn`, `certificate` where something is wrong.
    pub checks: Vec<Check>,
    /// For each of [`Expected::cas`], in its order, the kinds of challenge that can succeed there now, in the order of the CA's
    /// own configuration. An order is placed at a CA only with one of these; where there is none it would be wasted.
    pub ready: Vec<Vec<ChallengeKind>>,
    /// Whether something could not be looked at: where nothing is ready, that may be why, and it is worth looking again soon.
    pub unsure: bool,
}

impl Preflight {
    /// The first CA that can be asked, as an index into [`Expected::cas`], and how.
    pub fn first_ready(&self) -> Option<(usize, &[ChallengeKind])> {
        let kinds = self.ready.iter().map(Vec::as_slice);
        kinds.enumerate().find(|(_, kinds)| !kinds.is_empty())
    }
}
