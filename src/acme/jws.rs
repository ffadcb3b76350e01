//! Accounts' keys, and what the library cannot be asked to sign: new accounts with a key that there is already, and changes of keys.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use instant_acme::Error;
use serde_json::{Value, json};

use super::AcmeError;
use crate::config::ExternalAccount;
use crate::model::Secret;

/// A key on P-256, the one kind that every CA takes and the library knows.
pub(super) struct AccountKey {
    pair: EcdsaKeyPair,
    /// PKCS#8, DER
    pub(super) secret: Secret,
}

/// Who signs, as the CA finds out (RFC 8555 section 6.2).
pub(super) enum Signer<'k> {
    /// The owner of a key that the CA need not know.
    Key(&'k AccountKey),
    /// An account, by its address.
    Account(&'k AccountKey, &'k str),
}

impl AccountKey {
    pub(super) fn generate() -> Result<Self, AcmeError> {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let made = made.map_err(|_| AcmeError::Unusable {
            what: "no key could be made".to_owned(),
        })?;
        Self::read(Secret::new(made.as_ref().to_vec()))
    }

    /// From PKCS#8, DER.
    pub(super) fn read(secret: Secret) -> Result<Self, AcmeError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, secret.expose());
        let pair = pair.map_err(|_| AcmeError::Unusable {
            what: "the key of the account cannot be used: forget the account, another is made"
                .to_owned(),
        })?;
        Ok(Self { pair, secret })
    }

    /// The public half (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        // Uncompressed: a byte that says so, and two coordinates.
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        json!({ "crv": "P-256", "kty": "EC", "x": BASE64.encode(x), "y": BASE64.encode(y) })
    }
}

impl Signer<'_> {
    /// `payload`, signed for `url`; without a nonce where it goes into another one.
    pub(super) fn sign(
        &self,
        url: &str,
        nonce: Option<&str>,
        payload: &Value,
    ) -> Result<Value, Error> {
        let mut header = json!({ "alg": "ES256", "url": url });
        if let Some(nonce) = nonce {
            header["nonce"] = nonce.into();
        }
        let key = match self {
            Self::Key(key) => {
                header["jwk"] = key.jwk();
                key
            }
            Self::Account(key, account) => {
                header["kid"] = (*account).into();
                key
            }
        };
        let (header, payload) = (encoded(&header), encoded(payload));
        let random = SystemRandom::new();
        let text = format!("{header}.{payload}");
        let signature = key.pair.sign(&random, text.as_bytes());
        let signature = signature.map_err(|_| Error::Crypto)?;
        Ok(flattened(header, payload, signature.as_ref()))
    }
}

/// Binds the owner of `key` to an account elsewhere (section 7.3.4).
pub(super) fn binding(to: &ExternalAccount, url: &str, key: &AccountKey) -> Value {
    let header = encoded(&json!({ "alg": "HS256", "kid": to.kid, "url": url }));
    let payload = encoded(&key.jwk());
    let shared = hmac::Key::new(hmac::HMAC_SHA256, to.hmac_key.expose());
    let signature = hmac::sign(&shared, format!("{header}.{payload}").as_bytes());
    flattened(header, payload, signature.as_ref())
}

fn encoded(value: &Value) -> String {
    BASE64.encode(value.to_string())
}

/// RFC 7515 section 7.2.2.
fn flattened(header: String, payload: String, signature: &[u8]) -> Value {
    json!({ "protected": header, "payload": payload, "signature": BASE64.encode(signature) })
}
