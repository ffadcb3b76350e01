//! Events: what happens to names and certificates that others want to hear of.

use super::DomainState;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// A tenant claimed a name.
    DomainPending,
    /// Its proof was seen.
    DomainVerified,
    /// It is served.
    DomainActive,
    /// It is served, and will not be for long.
    DomainDegraded,
    /// It is served no more.
    DomainLapsed,
    /// The claim has ended.
    DomainRemoved,
    /// A name has its first certificate.
    CertificateIssued,
    /// A name has another certificate, before the old one expired.
    CertificateRenewed,
    /// A certificate was ordered in vain.
    CertificateFailed,
    /// Nothing: an operator tries a webhook.
    Ping,
}

impl EventKind {
    /// Every kind that a webhook can be for. A ping is for the webhook that is tried.
    pub const ALL: [Self; 9] = [
        Self::DomainPending,
        Self::DomainVerified,
        Self::DomainActive,
        Self::DomainDegraded,
        Self::DomainLapsed,
        Self::DomainRemoved,
        Self::CertificateIssued,
        Self::CertificateRenewed,
        Self::CertificateFailed,
    ];

    /// The kind's name in the store, the audit, the CLI and in what receivers get.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DomainPending => "domain.pending",
            Self::DomainVerified => "domain.verified",
            Self::DomainActive => "domain.active",
            Self::DomainDegraded => "domain.degraded",
            Self::DomainLapsed => "domain.lapsed",
            Self::DomainRemoved => "domain.removed",
            Self::CertificateIssued => "certificate.issued",
            Self::CertificateRenewed => "certificate.renewed",
            Self::CertificateFailed => "certificate.failed",
            Self::Ping => "ping",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain([Self::Ping]);
        all.find(|kind| kind.as_str() == name)
    }
}

impl From<DomainState> for EventKind {
    /// The arrival in a state.
    fn from(state: DomainState) -> Self {
        match state {
            DomainState::Pending => Self::DomainPending,
            DomainState::Verified => Self::DomainVerified,
            DomainState::Active => Self::DomainActive,
            DomainState::Degraded => Self::DomainDegraded,
            DomainState::Lapsed => Self::DomainLapsed,
            DomainState::Removed => Self::DomainRemoved,
        }
    }
}

impl serde::Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}
