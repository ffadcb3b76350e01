//! tls-alpn-01 (RFC 8737): what a CA is shown that comes in order to see that a name is ours. It speaks a protocol of its own, in which
//! nothing is said after the handshake.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::protocol::{CHALLENGE_ALPN, Protocol};
use crate::model::Hostname;
use crate::model::challenge::key_digest;

/// Why a certificate for a CA could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChallengeFault {
    #[error("the certificate cannot be made")]
    Made(#[from] rcgen::Error),
    #[error("the certificate cannot be shown")]
    Shown(#[from] rustls::Error),
}

/// Whether this is a CA's visit: the challenge's protocol, and no other beside it.
pub(super) fn is_meant(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|offered| offered.eq([CHALLENGE_ALPN]))
}

/// What shows that whoever serves `name` knows `key_authorization`: a certificate for this one name that holds its digest, signed by its
/// own key and used for this one handshake (RFC 8737 section 3).
pub(super) fn config(
    name: &Hostname,
    key_authorization: &str,
    protocol: &Protocol,
) -> Result<Arc<ServerConfig>, ChallengeFault> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new([name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    let digest = key_digest(key_authorization);
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = any_ecdsa_type(&key)?;
    let chain = vec![certificate.der().clone()];
    Ok(protocol.challenge(CertifiedKey::new(chain, key)))
}
