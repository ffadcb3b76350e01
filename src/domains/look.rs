//! The looker: one bounded look at a name after another.

use super::preflight::survey;
use super::{Claimed, Expected, Looked, Preflight, Seen, dnssec, pointing, proof, records, zone};
use crate::clock::Timestamp;
use crate::config::Domains;
use crate::dns::{Asker, Authority, DnsError, Inquiry, Patience};
use crate::model::{Check, CheckCode, DomainPattern};

/// Looks at names. Cheap to clone. Every look asks anew, sends to a fixed number of servers at most, and is over within the time of
/// its [`Patience`] (10 s and a little): whoever has not answered by then has not answered.
#[derive(Clone, Debug)]
pub struct Looker(Asker);

impl Looker {
    /// Asks the resolvers of the configuration, or the system's.
    pub fn new(domains: &Domains) -> Result<Self, DnsError> {
        Asker::new(domains).map(Self)
    }

    /// Waits as long as `patience` says.
    pub fn with_patience(self, patience: Patience) -> Self {
        Self(self.0.with_patience(patience))
    }

    /// Proof and pointing, for the life cycle.
    pub async fn look(&self, claim: &Claimed, expected: &Expected, now: Timestamp) -> Looked {
        let inquiry = self.0.inquire();
        let (proof, pointed) = tokio::join!(
            proof::look(&inquiry, claim, expected, now),
            pointing::look(&inquiry, &claim.pattern, expected, now)
        );
        let name = records::named(&claim.pattern);
        let authority = proof.authority.as_ref();
        let zone = authority.map(|found| zone::check(name, found, &proof.said, now));
        let mut checks: Vec<Check> = zone.into_iter().collect();
        checks.push(proof.check);
        checks.extend(pointed.checks);
        if proof.servfail || pointed.servfail {
            let known = authority.and_then(|found| found.as_ref().ok());
            checks.extend(suspect(&inquiry, &claim.pattern, known, now).await);
        }
        Looked {
            proof: proof.seen,
            pointing: pointed.seen,
            checks,
        }
    }

    /// Whether a CA may be asked for a certificate of `pattern`, which need not be anybody's claim.
    pub async fn preflight(
        &self,
        pattern: &DomainPattern,
        expected: &Expected,
        now: Timestamp,
    ) -> Preflight {
        let inquiry = self.0.inquire();
        let survey = survey(&inquiry, pattern, expected, now).await;
        survey.conclude(pattern, expected, now)
    }

    /// Whether `domains.cname_target` is known to have no address: whoever points a name there then leads it nowhere.
    pub async fn target_is_dead(&self, expected: &Expected) -> bool {
        pointing::target_is_dead(&self.0.inquire(), expected).await
    }

    /// Everything there is to say of a claimed name: what is looked at for its life, what is looked at before an order, and where
    /// the proof stands by mistake.
    pub async fn doctor(&self, claim: &Claimed, expected: &Expected, now: Timestamp) -> Vec<Check> {
        let inquiry = self.0.inquire();
        let (mut proof, survey) = tokio::join!(
            proof::look(&inquiry, claim, expected, now),
            survey(&inquiry, &claim.pattern, expected, now)
        );
        if proof.seen == Seen::No
            && let Some(where_it_is) = proof::misplaced(&inquiry, claim, &proof).await
        {
            proof.check.hint = Some(where_it_is);
        }
        let mut checks = survey.conclude(&claim.pattern, expected, now).checks;
        let place = checks
            .iter()
            .position(|check| check.code != CheckCode::Zone);
        checks.insert(place.unwrap_or(checks.len()), proof.check);
        checks
    }
}

/// Why resolvers fail, where it is the signatures.
async fn suspect(
    inquiry: &Inquiry<'_>,
    pattern: &DomainPattern,
    authority: Option<&Authority>,
    now: Timestamp,
) -> Option<Check> {
    let signed = dnssec::look(inquiry, pattern, authority, now).await;
    (signed.seen == Seen::No).then_some(signed.check)
}
