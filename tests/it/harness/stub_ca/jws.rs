//! What clients sign (RFC 8555 section 6.2), checked.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::Value;

/// Why a request is refused: status, kind of problem, words.
#[derive(Debug)]
pub(super) struct Fault(pub(super) u16, pub(super) &'static str, pub(super) String);

pub(super) fn malformed(why: &str) -> Fault {
    Fault(400, "malformed", why.to_owned())
}

/// A signed text whose signature is not yet checked.
pub(super) struct Signed {
    pub(super) header: Value,
    pub(super) payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Signed {
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let text: Value = serde_json::from_slice(body).map_err(|_| malformed("no JSON"))?;
        Self::from(&text)
    }

    pub(super) fn from(text: &Value) -> Result<Self, Fault> {
        let part = |name: &str| {
            let part = text[name].as_str();
            part.ok_or_else(|| malformed(&format!("no {name}")))
        };
        let decoded = |name: &str| {
            let bytes = BASE64.decode(part(name)?);
            bytes.map_err(|_| malformed(&format!("{name} is no base64url")))
        };
        let header = serde_json::from_slice(&decoded("protected")?);
        Ok(Self {
            header: header.map_err(|_| malformed("no header"))?,
            payload: decoded("payload")?,
            signed: format!("{}.{}", part("protected")?, part("payload")?),
            signature: decoded("signature")?,
        })
    }

    pub(super) fn json(&self) -> Result<Value, Fault> {
        serde_json::from_slice(&self.payload).map_err(|_| malformed("the payload is no JSON"))
    }

    pub(super) fn expect(&self, name: &str, value: &str) -> Result<(), Fault> {
        match self.header[name] == value {
            true => Ok(()),
            false => Err(malformed(&format!(
                "{name} is not {value:?}: {}",
                self.header
            ))),
        }
    }

    /// Checks that `key` has signed with ES256.
    pub(super) fn verify(&self, key: &Jwk) -> Result<(), Fault> {
        if self.header["alg"] != "ES256" {
            return Err(Fault(400, "badSignatureAlgorithm", String::new()));
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &key.point)
            .verify(self.signed.as_bytes(), &self.signature)
            .map_err(|_| malformed("the signature is not by this key"))
    }

    /// Checks that the owner of the shared `key` has signed with HS256.
    pub(super) fn verify_shared(&self, key: &[u8]) -> Result<(), Fault> {
        self.expect("alg", "HS256")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, self.signed.as_bytes(), &self.signature).map_err(|_| {
            Fault(
                403,
                "unauthorized",
                "the binding is not by this key".to_owned(),
            )
        })
    }
}

/// A public key on P-256.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Jwk {
    point: Vec<u8>,
}

impl Jwk {
    pub(super) fn read(text: &Value) -> Result<Self, Fault> {
        let bad = || Fault(400, "badPublicKey", text.to_string());
        let coordinate = |name: &str| {
            let bytes = BASE64.decode(text[name].as_str().ok_or_else(bad)?);
            bytes.ok().filter(|it| it.len() == 32).ok_or_else(bad)
        };
        if text["kty"] != "EC" || text["crv"] != "P-256" {
            return Err(bad());
        }
        let mut point = vec![4];
        point.extend(coordinate("x")?);
        point.extend(coordinate("y")?);
        Ok(Self { point })
    }

    /// RFC 7638.
    pub(super) fn thumbprint(&self) -> String {
        let [x, y] = [&self.point[1..33], &self.point[33..]].map(|it| BASE64.encode(it));
        let text = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        BASE64.encode(digest(&SHA256, text.as_bytes()))
    }
}
