//! Real certificates for real requests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, SerialNumber,
    SignatureAlgorithm, date_time_ymd,
};
use vestibule::clock::Timestamp;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use super::jws::Fault;

/// For clocks that differ.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A root, and the intermediate that signs.
pub(super) struct Authority {
    pub(super) root: String,
    intermediate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that was issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// Sorted.
    pub(crate) names: Vec<String>,
    /// PEM, with the intermediate behind it.
    pub(crate) chain: String,
    pub(crate) der: Vec<u8>,
    /// The key's algorithm, `EC` or `RSA`.
    pub(crate) key: &'static str,
}

impl Issued {
    /// RFC 9773 section 4.1.
    pub(crate) fn id(&self) -> String {
        let (_, parsed) = X509Certificate::from_der(&self.der).unwrap();
        let mut extensions = parsed.extensions().iter();
        let issuer = extensions.find_map(|it| match it.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref(),
            _ => None,
        });
        let [issuer, serial] =
            [issuer.unwrap().0, parsed.raw_serial()].map(|it| BASE64_URL_SAFE_NO_PAD.encode(it));
        format!("{issuer}.{serial}")
    }
}

impl Authority {
    pub(super) fn new() -> Self {
        let root_key = KeyPair::generate().unwrap();
        let root = ca_params("Stub root");
        let root_certificate = root.self_signed(&root_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = ca_params("Stub intermediate");
        let signer = Issuer::new(root, root_key);
        let intermediate = params.signed_by(&key, &signer).unwrap();
        Self {
            root: root_certificate.pem(),
            intermediate: intermediate.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Checks the request against the names ordered and signs.
    pub(super) fn sign(
        &self,
        csr: &[u8],
        ordered: &[String],
        serial: u64,
        now: Timestamp,
        validity: Duration,
    ) -> Result<Issued, Fault> {
        let bad = |why: &str| Fault(400, "badCSR", why.to_owned());
        let (_, request) =
            X509CertificationRequest::from_der(csr).map_err(|_| bad("no request"))?;
        let info = &request.certification_request_info;
        if info.subject.iter().count() > 0 {
            return Err(bad("names belong into subjectAltName"));
        }
        let mut names = asked_for(&request);
        let mut ordered = ordered.to_vec();
        names.sort();
        ordered.sort();
        if names != ordered {
            return Err(bad("its names are not those of the order"));
        }
        let (key, algorithm): (_, &dyn VerificationAlgorithm) = match info.subject_pki.parsed() {
            Ok(PublicKey::EC(_)) => ("EC", &ECDSA_P256_SHA256_ASN1),
            Ok(PublicKey::RSA(_)) => ("RSA", &RSA_PKCS1_2048_8192_SHA256),
            _ => return Err(bad("the key is of no kind we take")),
        };
        UnparsedPublicKey::new(algorithm, &info.subject_pki.subject_public_key.data)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|_| bad("not signed by its key"))?;
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = Duration::from_millis(u64::try_from(now.0).unwrap());
        let now = date_time_ymd(1970, 1, 1) + now;
        params.not_before = now - BACKDATED;
        params.not_after = now + validity;
        let public = Asked {
            bits: info.subject_pki.subject_public_key.data.to_vec(),
            rsa: key == "RSA",
        };
        let leaf = params.signed_by(&public, &self.issuer).unwrap();
        Ok(Issued {
            names,
            chain: leaf.pem() + &self.intermediate,
            der: leaf.der().to_vec(),
            key,
        })
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn asked_for(request: &X509CertificationRequest<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in request.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(all) = extension {
            names.extend(all.general_names.iter().map(|name| match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                other => other.to_string(),
            }));
        }
    }
    names
}

/// The key of a request.
struct Asked {
    bits: Vec<u8>,
    rsa: bool,
}

impl PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.rsa {
            true => &PKCS_RSA_SHA256,
            false => &PKCS_ECDSA_P256_SHA256,
        }
    }
}
