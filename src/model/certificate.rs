//! Which names a certificate is good for.

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
