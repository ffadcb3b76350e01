//! The key of a certificate to come, and the request that is handed to the CA (PKCS#10).

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    RsaKeySize,
};

use crate::config::CertificateKey;
use crate::model::{DomainPattern, Secret};

/// Draws a key; PEM. An RSA key takes a good part of a second: not on a thread that others wait for.
pub(super) fn new_key(kind: CertificateKey) -> Result<Secret, rcgen::Error> {
    let key = match kind {
        CertificateKey::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        CertificateKey::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
    };
    Ok(Secret::new(key.serialize_pem().into_bytes()))
}

/// The request for a certificate for `pattern` alone; DER.
pub(super) fn signing_request(
    key: &Secret,
    pattern: &DomainPattern,
) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pem(key.expose_str().unwrap_or_default())?;
    let mut params = CertificateParams::new(vec![pattern.to_string()])?;
    // CAs take the names from the extension; a common name is none of their business and has but 64 characters.
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer;

    use super::*;

    #[test]
    fn a_request_is_for_its_name_and_signed_by_its_key() {
        for kind in [CertificateKey::EcdsaP256, CertificateKey::Rsa2048] {
            for name in ["shop.acme.test", "*.acme.test"] {
                let key = new_key(kind).unwrap();
                let request = signing_request(&key, &DomainPattern::parse(name).unwrap()).unwrap();
                let (rest, parsed) = X509CertificationRequest::from_der(&request).unwrap();
                assert!(rest.is_empty());
                let asked = format!(
                    "{:?}",
                    parsed.requested_extensions().unwrap().collect::<Vec<_>>()
                );
                assert!(asked.contains(&format!("DNSName({name:?})")), "{asked}");
                assert_eq!(parsed.certification_request_info.subject.iter().count(), 0);
                let own = KeyPair::from_pem(key.expose_str().unwrap()).unwrap();
                let public = &parsed
                    .certification_request_info
                    .subject_pki
                    .subject_public_key;
                assert_eq!(&*public.data, own.public_key_raw());
            }
        }
    }
}
