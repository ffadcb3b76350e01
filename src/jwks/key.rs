//! One key: what a JWK must be to become one, and what it may verify. The algorithm and the kind of key are matched together, so a
//! public key can never serve as a shared secret (CVE-2016-10555).

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::algorithm_named;
use crate::config::TokenAlgorithm;
use crate::model::Secret;

/// A key that verifies signatures.
#[derive(Clone)]
pub struct Key {
    kid: Option<Box<str>>,
    algorithm: Option<TokenAlgorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Rsa(PublicKeyComponents<Box<[u8]>>),
    P256(ParsedPublicKey),
    P384(ParsedPublicKey),
    Ed25519(ParsedPublicKey),
    Hmac(Secret),
}

/// Why a published key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum KeyFault {
    #[error("it is not a JWK: a member is missing, doubled or of the wrong kind")]
    Malformed,
    #[error("a shared secret does not belong in a key set that is published")]
    Symmetric,
    #[error("it holds a private key: whoever reads the set can sign")]
    Private,
    #[error("an RSA key has 2048 to 8192 bits")]
    RsaSize,
    #[error("an RSA modulus is odd, and its exponent odd and between 3 and 2^33")]
    RsaNumbers,
    #[error("its coordinates are no point of the curve")]
    OffCurve,
    #[error("an Ed25519 key has 32 bytes")]
    Ed25519,
}

impl Key {
    /// A shared secret. It has no name: whatever `kid` a token has, this is its key.
    pub fn hmac(secret: Secret) -> Self {
        Self {
            kid: None,
            algorithm: None,
            material: Material::Hmac(secret),
        }
    }

    /// Reads one JWK (RFC 7517 section 4). `Ok(None)` for a key that is none of our business: of an unknown kind, curve or algorithm,
    /// or not for verifying signatures.
    pub(super) fn from_jwk(json: &str) -> Result<Option<Self>, KeyFault> {
        let jwk: Jwk = serde_json::from_str(json).map_err(|_| KeyFault::Malformed)?;
        if !jwk.is_for_verifying() {
            return Ok(None);
        }
        let algorithm = match jwk.alg.as_deref().map(algorithm_named) {
            Some(None) => return Ok(None),
            Some(named) => named,
            None => None,
        };
        let Some(material) = jwk.material()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            kid: jwk.kid.map(Into::into),
            algorithm,
            material,
        }))
    }

    /// Its name in the set.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether it is of the kind that `algorithm` needs, and not published for another algorithm.
    pub fn suits(&self, algorithm: TokenAlgorithm) -> bool {
        use TokenAlgorithm as Is;
        let kind = match &self.material {
            Material::Rsa(_) => rsa_parameters(algorithm).is_some(),
            Material::P256(_) => algorithm == Is::ES256,
            Material::P384(_) => algorithm == Is::ES384,
            Material::Ed25519(_) => algorithm == Is::EdDSA,
            Material::Hmac(_) => algorithm.is_symmetric(),
        };
        kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// Whether `signature` is this key's over `message` under `algorithm`.
    pub fn verifies(&self, algorithm: TokenAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.suits(algorithm) {
            return false;
        }
        match &self.material {
            Material::Rsa(key) => rsa_parameters(algorithm)
                .is_some_and(|with| key.verify(with, message, signature).is_ok()),
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => {
                key.verify_sig(message, signature).is_ok()
            }
            Material::Hmac(secret) => hmac_algorithm(algorithm).is_some_and(|with| {
                let key = hmac::Key::new(with, secret.expose());
                hmac::verify(&key, message, signature).is_ok()
            }),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let material = match (&self.material, &other.material) {
            (Material::Rsa(a), Material::Rsa(b)) => a.n == b.n && a.e == b.e,
            (Material::P256(a), Material::P256(b))
            | (Material::P384(a), Material::P384(b))
            | (Material::Ed25519(a), Material::Ed25519(b)) => a.as_ref() == b.as_ref(),
            (Material::Hmac(a), Material::Hmac(b)) => a == b,
            _ => false,
        };
        material && self.kid == other.kid && self.algorithm == other.algorithm
    }
}

impl fmt::Debug for Key {
    /// Its name and kind; never its bytes, which may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Rsa(_) => "RSA",
            Material::P256(_) => "P-256",
            Material::P384(_) => "P-384",
            Material::Ed25519(_) => "Ed25519",
            Material::Hmac(_) => "HMAC",
        };
        write!(f, "Key({kind}, {:?})", self.kid)
    }
}

/// The members that matter; serde refuses a doubled one (RFC 7517 section 4 leaves the choice).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    fn is_for_verifying(&self) -> bool {
        let usage = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let ops = self.key_ops.as_ref();
        usage && ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }

    fn material(&self) -> Result<Option<Material>, KeyFault> {
        let known = match (self.kty.as_str(), self.crv.as_deref()) {
            ("oct", _) => return Err(KeyFault::Symmetric),
            ("RSA", _) => Self::rsa,
            ("EC", Some("P-256")) => Self::p256,
            ("EC", Some("P-384")) => Self::p384,
            ("OKP", Some("Ed25519")) => Self::ed25519,
            _ => return Ok(None),
        };
        if self.d.is_some() {
            return Err(KeyFault::Private);
        }
        known(self).map(Some)
    }

    fn rsa(&self) -> Result<Material, KeyFault> {
        let n = unsigned(&self.n)?;
        let e = unsigned(&self.e)?;
        let bits = n.len() * 8 - n.first().map_or(0, |top| top.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyFault::RsaSize);
        }
        let exponent =
            (e.len() <= 5).then(|| e.iter().fold(0_u64, |all, b| all << 8 | u64::from(*b)));
        let odd = n.last().is_some_and(|low| low & 1 == 1);
        match exponent {
            Some(e @ 3..=0x1_ffff_ffff) if e & 1 == 1 && odd => {}
            _ => return Err(KeyFault::RsaNumbers),
        }
        Ok(Material::Rsa(PublicKeyComponents { n, e }))
    }

    fn p256(&self) -> Result<Material, KeyFault> {
        self.point(32, &ECDSA_P256_SHA256_FIXED).map(Material::P256)
    }

    fn p384(&self) -> Result<Material, KeyFault> {
        self.point(48, &ECDSA_P384_SHA384_FIXED).map(Material::P384)
    }

    /// RFC 7518 section 6.2.1: both coordinates have the full length of the curve. aws-lc checks that the point is on it.
    fn point(
        &self,
        length: usize,
        curve: &'static dyn VerificationAlgorithm,
    ) -> Result<ParsedPublicKey, KeyFault> {
        let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
        if x.len() != length || y.len() != length {
            return Err(KeyFault::OffCurve);
        }
        let uncompressed = [&[4], &x[..], &y[..]].concat();
        ParsedPublicKey::new(curve, uncompressed).map_err(|_| KeyFault::OffCurve)
    }

    fn ed25519(&self) -> Result<Material, KeyFault> {
        let x = bytes(&self.x)?;
        if x.len() != 32 {
            return Err(KeyFault::Ed25519);
        }
        let key = ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyFault::Ed25519)?;
        Ok(Material::Ed25519(key))
    }
}

fn bytes(member: &Option<String>) -> Result<Box<[u8]>, KeyFault> {
    let text = member.as_deref().ok_or(KeyFault::Malformed)?;
    let decoded = URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyFault::Malformed)?;
    Ok(decoded.into())
}

/// A number, without the leading zeros that RFC 7518 section 2 forbids and some issuers send.
fn unsigned(member: &Option<String>) -> Result<Box<[u8]>, KeyFault> {
    let padded = bytes(member)?;
    let zeros = padded.iter().take_while(|byte| **byte == 0).count();
    Ok(padded[zeros..].into())
}

fn rsa_parameters(algorithm: TokenAlgorithm) -> Option<&'static RsaParameters> {
    use TokenAlgorithm as Is;
    Some(match algorithm {
        Is::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Is::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Is::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Is::PS256 => &RSA_PSS_2048_8192_SHA256,
        Is::PS384 => &RSA_PSS_2048_8192_SHA384,
        Is::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn hmac_algorithm(algorithm: TokenAlgorithm) -> Option<hmac::Algorithm> {
    use TokenAlgorithm as Is;
    Some(match algorithm {
        Is::HS256 => hmac::HMAC_SHA256,
        Is::HS384 => hmac::HMAC_SHA384,
        Is::HS512 => hmac::HMAC_SHA512,
        _ => return None,
    })
}
