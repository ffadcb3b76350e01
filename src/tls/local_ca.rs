//! A certificate authority for this machine: makes HTTPS on `*.localhost` work while developing.
//!
//! Its certificate may end up in a system's trust store, so it is good for `localhost` and the names below it only (name
//! constraints, RFC 5280 section 4.2.1.10): a stolen key signs for nobody else.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, date_time_ymd,
};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::inventory::SetupError;
use super::load;
use super::protocol::Protocol;
use crate::clock::Timestamp;
use crate::config::TlsVersion;
use crate::model::DomainPattern;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_LIFETIME: Duration = DAY.saturating_mul(3650);
const LEAF_LIFETIME: Duration = DAY.saturating_mul(30);
/// What is left of a certificate's life when it is replaced.
const RENEW_BELOW: Duration = DAY.saturating_mul(10);
/// For clocks that differ.
const BACKDATED: Duration = Duration::from_secs(3600);
const PERMITTED: &str = "localhost";
const SUBJECT: &str = "Vestibule local CA";
const LEAF_SUBJECT: &str = "Vestibule development certificate";

/// The authority.
pub struct LocalCa {
    path: PathBuf,
    der: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Whether a certificate had to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issued {
    /// Made now.
    New,
    /// The one there is good for the same names, was made by this authority, and will last.
    Kept,
}

/// Why the authority does not work.
#[derive(Debug, thiserror::Error)]
pub enum LocalCaError {
    /// A file cannot be read or written.
    #[error("{path} cannot be read or written")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name is not below `localhost`.
    #[error("{0:?} is not below localhost, and the local CA signs for nothing else")]
    Outside(String),
    /// A wildcard right below a top-level name: no browser and no TLS library accepts one.
    #[error("nobody accepts a certificate for {0:?}; list the names instead")]
    TopLevelWildcard(String),
    /// The library refused.
    #[error("no certificate could be made")]
    Make(#[from] rcgen::Error),
    /// TLS itself cannot be set up.
    #[error("TLS cannot be set up")]
    Setup(#[from] SetupError),
}

impl LocalCa {
    /// The authority in `directory` (`ca.crt`, `ca.key` with mode 0600); made where there is none, or none that will last.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, LocalCaError> {
        let path = directory.join("ca.crt");
        let key_path = directory.join("ca.key");
        if let Some(ca) = Self::read(&path, &key_path, now) {
            return Ok(ca);
        }
        std::fs::create_dir_all(directory).map_err(file(directory))?;
        let key = KeyPair::generate()?;
        let params = ca_params(now);
        let certificate = params.self_signed(&key)?;
        write_key(&key_path, &key)?;
        write(&path, certificate.pem().as_bytes(), 0o644)?;
        Ok(Self {
            path,
            der: certificate.der().clone(),
            pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The certificate that whoever is to believe the authority must trust.
    pub fn certificate_path(&self) -> &Path {
        &self.path
    }

    /// Puts a certificate for `names` into `directory` as `NAME.crt` and `NAME.key`, unless a good one is there.
    pub fn issue(
        &self,
        directory: &Path,
        name: &str,
        names: &[DomainPattern],
        now: Timestamp,
    ) -> Result<Issued, LocalCaError> {
        for pattern in names {
            let (DomainPattern::Exact(host) | DomainPattern::Wildcard(host)) = pattern;
            let last = host.as_str().rsplit('.').next();
            if last != Some(PERMITTED) {
                return Err(LocalCaError::Outside(pattern.to_string()));
            }
            if matches!(pattern, DomainPattern::Wildcard(parent) if parent.parent().is_none()) {
                return Err(LocalCaError::TopLevelWildcard(pattern.to_string()));
            }
        }
        if self.is_good(directory, name, names, now)? {
            return Ok(Issued::Kept);
        }
        let key = KeyPair::generate()?;
        let certificate = leaf_params(names, now)?.signed_by(&key, &self.issuer)?;
        std::fs::create_dir_all(directory).map_err(file(directory))?;
        write_key(&directory.join(format!("{name}.key")), &key)?;
        let chain = certificate.pem() + &self.pem;
        write(
            &directory.join(format!("{name}.crt")),
            chain.as_bytes(),
            0o644,
        )?;
        Ok(Issued::New)
    }

    fn read(path: &Path, key_path: &Path, now: Timestamp) -> Option<Self> {
        let der = load::read_chain(path).ok()?.into_iter().next()?;
        let key_pem = Zeroizing::new(std::fs::read_to_string(key_path).ok()?);
        let key = KeyPair::from_pem(&key_pem).ok()?;
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let not_after = Timestamp(parsed.validity().not_after.timestamp().saturating_mul(1000));
        let own = parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
        if !own || not_after < now.plus(LEAF_LIFETIME) {
            return None;
        }
        Some(Self {
            path: path.to_owned(),
            pem: std::fs::read_to_string(path).ok()?,
            der: der.clone(),
            // The issuer's part in a certificate is its name and key, and both are fixed.
            issuer: Issuer::new(ca_params(now), key),
        })
    }

    fn is_good(
        &self,
        directory: &Path,
        name: &str,
        names: &[DomainPattern],
        now: Timestamp,
    ) -> Result<bool, LocalCaError> {
        let protocol = Protocol::new(TlsVersion::Tls12)?;
        let pair = load::read_pair(directory, name, &protocol);
        let chain = load::read_chain(&directory.join(format!("{name}.crt")));
        let (Ok(pair), Ok(chain)) = (pair, chain) else {
            return Ok(false);
        };
        let ours = chain.get(1) == Some(&self.der);
        let lasting = pair.not_before <= now && now.plus(RENEW_BELOW) < pair.not_after;
        Ok(ours && lasting && pair.names.patterns() == names)
    }
}

fn ca_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, SUBJECT);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // A kind of name that is not mentioned is not constrained, so addresses are.
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName(PERMITTED.to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(LOOPBACK_V6, 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    lasting(params, now, CA_LIFETIME)
}

const LOOPBACK_V6: [u8; 16] = std::net::Ipv6Addr::LOCALHOST.octets();

fn leaf_params(names: &[DomainPattern], now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(DomainPattern::to_string).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, LEAF_SUBJECT);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(lasting(params, now, LEAF_LIFETIME))
}

fn lasting(mut params: CertificateParams, now: Timestamp, lifetime: Duration) -> CertificateParams {
    let millis = u64::try_from(now.0).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_millis(millis);
    params.not_before = now - BACKDATED;
    params.not_after = now + lifetime;
    params
}

fn write_key(path: &Path, key: &KeyPair) -> Result<(), LocalCaError> {
    write(path, Zeroizing::new(key.serialize_pem()).as_bytes(), 0o600)
}

/// Replaces `path` whole: a reader sees the old text or the new one, and a key is never readable by others, not even at first.
fn write(path: &Path, text: &[u8], mode: u32) -> Result<(), LocalCaError> {
    let new = path.with_added_extension("new");
    let written = (|| {
        let _ = std::fs::remove_file(&new);
        let mut options = std::fs::OpenOptions::new();
        let mut target = options.write(true).create_new(true).mode(mode).open(&new)?;
        target.write_all(text)?;
        target.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.map_err(file(path))
}

fn file(path: &Path) -> impl Fn(io::Error) -> LocalCaError + use<> {
    let path = path.to_owned();
    move |source| LocalCaError::File {
        path: path.clone(),
        source,
    }
}
