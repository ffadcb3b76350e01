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
