//! Which names a certificate is good for, and where it came from.

use serde::{Deserialize, Serialize};

use super::{DomainPattern, Hostname};

/// The DNS names of a certificate's subjectAltName, ready to be asked (RFC 6125 section 6.4: exact, or one label under `*.`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames(Vec<DomainPattern>);

impl CertificateNames {
    /// From the names as they stand in the certificate.
    pub fn new(names: Vec<DomainPattern>) -> Self {
        Self(names)
    }

    /// Whether a visitor who asked for `hostname` may be served with this certificate.
    pub fn covers(&self, hostname: &Hostname) -> bool {
        self.0.iter().any(|pattern| pattern.matches(hostname))
    }

    /// The names, in the order of the certificate.
    pub fn patterns(&self) -> &[DomainPattern] {
        &self.0
    }
}

/// However long a certificate lives, it is late in its last two weeks, in milliseconds.
pub const LATE_AT_MOST: i64 = 14 * 86_400_000;

/// When a certificate that is valid from and to is to be replaced at the latest, all in milliseconds since 1970: with a sixth of its life
/// left. Renewal begins at a third, so half of that is late whether it lives for six days or for ninety.
pub fn late_at(not_before: i64, not_after: i64) -> i64 {
    let life = not_after.saturating_sub(not_before);
    not_after.saturating_sub((life / 6).min(LATE_AT_MOST))
}

/// Where a certificate in the store came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateSource {
    /// An operator brought it.
    Import,
    /// It was ordered of a CA (RFC 8555).
    Acme,
}

impl CertificateSource {
    /// Every source.
    pub const ALL: [Self; 2] = [Self::Import, Self::Acme];

    /// Its name in the store, the CLI and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Acme => "acme",
        }
    }

    /// The source called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == name)
    }
}
