//! Why a claim is where it is: the names of reasons in the store, and their words.

/// Why a claim changed its state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// `pending`, `lapsed` -> `verified`
    ProofSeen,
    /// `pending` -> `removed`
    GivenUp,
    /// `verified` -> `active`
    CertificateInPlace,
    /// `verified` -> `active`
    TlsElsewhere,
    /// `verified` -> `pending`
    ProofGone,
    /// `active` -> `degraded`
    ControlGone,
    /// `active` -> `degraded`
    CertificateExpiring,
    /// `degraded` -> `active`
    Healed,
    /// `degraded` -> `lapsed`
    GraceOver,
    /// Any -> `removed`
    Displaced,
    /// Any -> `removed`
    GivenAway,
    /// Any -> `removed`
    Withdrawn,
    /// Any -> `removed`
    TenantRemoved,
    /// `removed` -> `pending`, and the first claim.
    Claimed,
    /// The first claim, on an operator's word.
    Trusted,
    /// As `Claimed` and on, in one step.
    Moved,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::ProofSeen,
        Self::GivenUp,
        Self::CertificateInPlace,
        Self::TlsElsewhere,
        Self::ProofGone,
        Self::ControlGone,
        Self::CertificateExpiring,
        Self::Healed,
        Self::GraceOver,
        Self::Displaced,
        Self::GivenAway,
        Self::Withdrawn,
        Self::TenantRemoved,
        Self::Claimed,
        Self::Trusted,
        Self::Moved,
    ];

    /// The reason called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }

    /// Its name in events and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProofSeen => "proof_seen",
            Self::GivenUp => "given_up",
            Self::CertificateInPlace => "certificate_in_place",
            Self::TlsElsewhere => "tls_elsewhere",
            Self::ProofGone => "proof_gone",
            Self::ControlGone => "control_gone",
            Self::CertificateExpiring => "certificate_expiring",
            Self::Healed => "healed",
            Self::GraceOver => "grace_over",
            Self::Displaced => "displaced",
            Self::GivenAway => "given_away",
            Self::Withdrawn => "withdrawn",
            Self::TenantRemoved => "tenant_removed",
            Self::Claimed => "claimed",
            Self::Trusted => "trusted",
            Self::Moved => "moved",
        }
    }

    /// In words, for the audit and for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::ProofSeen => "the proof of control was seen",
            Self::GivenUp => "no proof was seen in time",
            Self::CertificateInPlace => "the certificate is in place",
            Self::TlsElsewhere => "no certificate is needed here",
            Self::ProofGone => "the proof went away before the name was in service",
            Self::ControlGone => "the name no longer leads here and its proof is gone",
            Self::CertificateExpiring => "the certificate is about to expire and was not renewed",
            Self::Healed => "all is well again",
            Self::GraceOver => "it did not heal in time",
            Self::Displaced => "another tenant proved control, and this one's proof is gone",
            Self::GivenAway => "an operator gave it to another tenant",
            Self::Withdrawn => "the claim was withdrawn",
            Self::TenantRemoved => "the tenant was removed",
            Self::Claimed => "the name was claimed",
            Self::Trusted => "an operator vouched for it",
            Self::Moved => "it was given to this tenant",
        }
    }
}
