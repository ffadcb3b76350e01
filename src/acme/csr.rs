//! Keys of certificates, and the requests that carry them to a CA.

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
    RsaKeySize, SanType,
};

use super::AcmeError;
use crate::config::CertificateKey;
use crate::model::{DomainPattern, Secret};

/// A new key, PKCS#8 in PEM. Making an RSA key takes a good part of a second: not on a thread that others wait for.
pub fn new_key(kind: CertificateKey) -> Result<Secret, AcmeError> {
    let made = match kind {
        CertificateKey::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        CertificateKey::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    };
    let key = made.map_err(|error| unusable("no key could be made", &error))?;
    Ok(Secret::new(key.serialize_pem().into_bytes()))
}

/// The request for a certificate for `names` (PKCS#10, DER), with a key that [`new_key`] made here or on another node.
pub fn signing_request(key: &Secret, names: &[DomainPattern]) -> Result<Vec<u8>, AcmeError> {
    let what = "the kept key of the certificate cannot be used";
    let text = key.expose_str().ok_or_else(|| AcmeError::Unusable {
        what: what.to_owned(),
    })?;
    let key = KeyPair::from_pem(text).map_err(|error| unusable(what, &error))?;
    signed(names, &key)
}

/// The names stand in subjectAltName alone: a common name may hold 64 characters, and CAs are about to leave it out.
fn signed(names: &[DomainPattern], key: &KeyPair) -> Result<Vec<u8>, AcmeError> {
    let what = "no certificate can be asked for";
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for name in names {
        let text = name.to_string().try_into();
        let text = text.map_err(|error| unusable(what, &error))?;
        params.subject_alt_names.push(SanType::DnsName(text));
    }
    let request = params
        .serialize_request(key)
        .map_err(|error| unusable(what, &error))?;
    Ok(request.der().to_vec())
}

fn unusable(what: &str, error: &rcgen::Error) -> AcmeError {
    AcmeError::Unusable {
        what: format!("{what}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::FromDer;
    use x509_parser::public_key::PublicKey;

    use super::*;

    fn patterns(names: &[&str]) -> Vec<DomainPattern> {
        let parse = |name: &&str| DomainPattern::parse(name).expect("a name");
        names.iter().map(parse).collect()
    }

    fn read(der: &[u8]) -> X509CertificationRequest<'_> {
        let (rest, request) = X509CertificationRequest::from_der(der).expect("a request");
        assert!(rest.is_empty());
        request
    }

    #[test]
    fn names_stand_in_subject_alt_name_alone() {
        let names = patterns(&["shop.example", "*.shop.example"]);
        let key = new_key(CertificateKey::EcdsaP256).expect("a key");
        let der = signing_request(&key, &names).expect("a request");
        let request = read(&der);
        let info = &request.certification_request_info;
        assert_eq!(info.subject.iter().count(), 0);
        let mut found = Vec::new();
        for extension in request.requested_extensions().expect("extensions") {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                found.extend(names.general_names.iter().map(|name| match name {
                    GeneralName::DNSName(name) => (*name).to_owned(),
                    other => panic!("{other:?}"),
                }));
            }
        }
        assert_eq!(found, ["shop.example", "*.shop.example"]);
    }

    #[test]
    fn a_key_that_was_kept_asks_again_with_the_same_key() {
        let names = patterns(&["shop.example"]);
        for kind in [CertificateKey::EcdsaP256, CertificateKey::Rsa2048] {
            let key = new_key(kind).expect("a key");
            let first = signing_request(&key, &names).expect("a request");
            let second = signing_request(&key, &names).expect("a request");
            let raw = |der: &[u8]| {
                let request = read(der);
                let info = &request.certification_request_info;
                match info.subject_pki.parsed().expect("a key") {
                    PublicKey::EC(point) => assert_eq!(point.key_size(), 256),
                    PublicKey::RSA(key) => assert_eq!(key.key_size(), 2048),
                    other => panic!("{other:?}"),
                }
                info.subject_pki.raw.to_vec()
            };
            assert_eq!(raw(&first), raw(&second));
        }
        let other = Secret::new(b"no key".to_vec());
        assert!(signing_request(&other, &names).is_err());
    }
}
