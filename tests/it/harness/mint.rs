//! Issuers' keys, and tokens made with them: good ones, and whatever else can be signed.
#![expect(
    clippy::unwrap_used,
    reason = "what cannot be made for a test fails it"
)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
};
use aws_lc_rs::{encoding::AsDer, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key that signs tokens.
pub(crate) struct Signer {
    kid: Option<String>,
    key: SigningKey,
}

enum SigningKey {
    Rs256(RsaKeyPair),
    Ps512(RsaKeyPair),
    Es256(EcdsaKeyPair),
    Es384(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Hs256(Vec<u8>),
}

impl Signer {
    pub(crate) fn rs256(kid: &str) -> Self {
        Self::new(
            kid,
            SigningKey::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        )
    }

    pub(crate) fn ps512(kid: &str) -> Self {
        Self::new(
            kid,
            SigningKey::Ps512(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
        )
    }

    pub(crate) fn es256(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(kid, SigningKey::Es256(key))
    }

    pub(crate) fn es384(kid: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::new(kid, SigningKey::Es384(key))
    }

    pub(crate) fn eddsa(kid: &str) -> Self {
        Self::new(kid, SigningKey::EdDsa(Ed25519KeyPair::generate().unwrap()))
    }

    pub(crate) fn hs256(secret: &[u8]) -> Self {
        Self {
            kid: None,
            key: SigningKey::Hs256(secret.to_vec()),
        }
    }

    fn new(kid: &str, key: SigningKey) -> Self {
        Self {
            kid: Some(kid.to_owned()),
            key,
        }
    }

    /// The same key under no name.
    pub(crate) fn nameless(mut self) -> Self {
        self.kid = None;
        self
    }

    /// `alg` of its tokens.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.key {
            SigningKey::Rs256(_) => "RS256",
            SigningKey::Ps512(_) => "PS512",
            SigningKey::Es256(_) => "ES256",
            SigningKey::Es384(_) => "ES384",
            SigningKey::EdDsa(_) => "EdDSA",
            SigningKey::Hs256(_) => "HS256",
        }
    }

    /// What an issuer publishes of it.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.key {
            SigningKey::Rs256(pair) | SigningKey::Ps512(pair) => {
                // PKCS#1: a sequence of the modulus, with its sign byte, and 65537.
                let der = pair.public_key().as_ref();
                json!({ "kty": "RSA", "n": encode(&der[9..der.len() - 5]), "e": "AQAB" })
            }
            SigningKey::Es256(pair) => curve("P-256", pair),
            SigningKey::Es384(pair) => curve("P-384", pair),
            SigningKey::EdDsa(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
            SigningKey::Hs256(secret) => json!({ "kty": "oct", "k": encode(secret) }),
        };
        jwk["use"] = "sig".into();
        if let Some(kid) = &self.kid {
            jwk["kid"] = kid.as_str().into();
        }
        jwk
    }

    /// The private key in PKCS#8, for other makers of tokens.
    pub(crate) fn pkcs8(&self) -> Vec<u8> {
        match &self.key {
            SigningKey::Rs256(pair) | SigningKey::Ps512(pair) => {
                AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(pair)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            }
            SigningKey::Es256(pair) | SigningKey::Es384(pair) => {
                pair.to_pkcs8v1().unwrap().as_ref().to_vec()
            }
            SigningKey::EdDsa(pair) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            SigningKey::Hs256(secret) => secret.clone(),
        }
    }

    /// A token of these claims under the usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(json!({}), claims)
    }

    /// A token of these claims whose header has `more` in it, or something else in place of the usual; null takes a member away.
    pub(crate) fn token_with(&self, more: Value, claims: &Value) -> String {
        let mut header = json!({ "alg": self.algorithm(), "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(header.as_object_mut().unwrap().remove(name)),
                value => header[name] = value.clone(),
            }
        }
        self.raw(&header.to_string(), &claims.to_string())
    }

    /// Signs any two texts.
    pub(crate) fn raw(&self, header: &str, payload: &str) -> String {
        let message = format!(
            "{}.{}",
            encode(header.as_bytes()),
            encode(payload.as_bytes())
        );
        let signature = encode(&self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            SigningKey::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            SigningKey::Ps512(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PSS_SHA512, &random, message, &mut signature)
                    .unwrap();
                signature
            }
            SigningKey::Es256(pair) | SigningKey::Es384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            SigningKey::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            SigningKey::Hs256(secret) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// Base64url as JOSE has it.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn curve(name: &str, pair: &EcdsaKeyPair) -> Value {
    // 4, then both coordinates.
    let (x, y) =
        pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
    json!({ "kty": "EC", "crv": name, "x": encode(x), "y": encode(y) })
}
