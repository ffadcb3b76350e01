//! The compact serialisation (RFC 7515 section 3.1): whether a text could be a JWT at all, and one that is, taken apart.
//!
//! A signature covers header and payload as they were written, so whoever holds a token can only dress it: put something before or
//! behind it (white space, quotes, a scheme), escape it, spell the signature in another way. `look` sees through the dress, `strict`
//! refuses it, for no dress is base64url.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};

use super::json::{Json, Object};
use crate::config::TokenAlgorithm;
use crate::jwks::{Key, algorithm_named};

/// Longest token read, in bytes: what one header field may have.
pub(super) const MAX_TOKEN: usize = 16 * 1024;
/// Characters decoded to see how a part begins; a multiple of four.
const BEGINNING: usize = 64;

pub(super) const ALGORITHM: &str = "its algorithm is not one of the issuer's";

/// Readers that are not strict take padding, and bits behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a text looks like.
#[derive(Debug)]
pub(super) enum Seen<'a> {
    /// No token of an issuer of ours, however it is read.
    Foreign {
        /// Whether it is a JWT (a JWE among them) at all.
        jwt: bool,
    },
    /// A JWT that cannot be read within our limits, so that nobody can say whose it is.
    Unreadable(&'static str),
    /// A JWT, or what could pass for one.
    Jwt(Readable<'a>),
}

/// A text with the payload of a JWT in it.
#[derive(Debug)]
pub(super) struct Readable<'a> {
    raw: &'a str,
    payload: Object,
}

/// A well-formed token; nothing in it is proven yet.
#[derive(Debug)]
pub(super) struct Compact<'a> {
    pub(super) header: Header,
    pub(super) payload: Object,
    signed: &'a str,
    signature: Vec<u8>,
}

/// What we read of a token's header. Keys that it brings along or points to (`jwk`, `jku`, `x5u`, `x5c`) are not looked at
/// (RFC 8725 section 3.10).
#[derive(Debug)]
pub(super) struct Header {
    pub(super) algorithm: TokenAlgorithm,
    pub(super) kid: Option<String>,
}

impl<'a> Readable<'a> {
    /// Every `iss` in the payload: one, unless somebody plays tricks.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.payload.all("iss").filter_map(|value| match value {
            Json::Text(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The token, if it is exactly what RFC 7515 says, or what is wrong with it.
    pub(super) fn strict(self) -> Result<Compact<'a>, &'static str> {
        let mut parts = self.raw.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it has not three parts");
        };
        let decode = |part| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| "a part of it is not base64url")
        };
        decode(payload)?;
        if self.payload.repeats_itself() {
            return Err("its payload says something twice");
        }
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err("it is not signed");
        }
        Ok(Compact {
            header: Header::parse(&decode(header)?)?,
            payload: self.payload,
            signed: &self.raw[..header.len() + 1 + payload.len()],
            signature,
        })
    }
}

impl Compact<'_> {
    /// Whether `key` made the signature.
    pub(super) fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(
            self.header.algorithm,
            self.signed.as_bytes(),
            &self.signature,
        )
    }
}

impl Header {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let header = Object::parse(text).map_err(|_| "its header cannot be read")?;
        if header.repeats_itself() {
            return Err("its header says something twice");
        }
        if header.get("crit").is_some() {
            return Err("its header asks for an extension");
        }
        match header.get("typ") {
            None => {}
            Some(Json::Text(kind)) if is_jwt(kind) => {}
            Some(_) => return Err("it is of another type"),
        }
        let Some(Json::Text(algorithm)) = header.get("alg") else {
            return Err("its header names no algorithm");
        };
        let kid = match header.get("kid") {
            None => None,
            Some(Json::Text(kid)) => Some(kid.clone()),
            Some(_) => return Err("its kid is no text"),
        };
        let algorithm = algorithm_named(algorithm).ok_or(ALGORITHM)?;
        Ok(Self { algorithm, kid })
    }
}

/// Sees what `raw` is, through whatever dress it wears.
pub(super) fn look(raw: &str) -> Seen<'_> {
    let text = unescaped(raw);
    let mut parts = text.split('.');
    let (Some(header), Some(payload), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return Seen::Foreign { jwt: false };
    };
    let header = header
        .rsplit(is_outside_of_base64url)
        .next()
        .unwrap_or_default();
    if !begins_like_an_object(header) {
        return Seen::Foreign { jwt: false };
    }
    if text.len() <= MAX_TOKEN && parts.count() == 2 && is_encrypted(header) {
        return Seen::Foreign { jwt: true };
    }
    if !begins_like_an_object(payload) {
        return Seen::Foreign { jwt: false };
    }
    if raw.len() > MAX_TOKEN {
        return Seen::Unreadable("it is too long");
    }
    let decoded = LENIENT.decode(payload).ok();
    match decoded.and_then(|text| Object::parse(&text).ok()) {
        Some(payload) => Seen::Jwt(Readable { raw, payload }),
        None => Seen::Unreadable("its payload cannot be read"),
    }
}

/// RFC 7516: five parts, and a header that names a content encryption.
fn is_encrypted(header: &str) -> bool {
    let text = LENIENT.decode(header).ok();
    let header = text.and_then(|text| Object::parse(&text).ok());
    header.is_some_and(|header| header.get("enc").is_some())
}

fn begins_like_an_object(part: &str) -> bool {
    let part = part.as_bytes();
    let beginning = LENIENT.decode(&part[..part.len().min(BEGINNING)]);
    beginning.is_ok_and(|text| text.trim_ascii_start().first() == Some(&b'{'))
}

/// RFC 7519 section 5.1 and RFC 9068 section 2.1; the long forms by RFC 7515 section 4.1.9. Our own assertions are `tenant+jwt` and
/// stay out.
fn is_jwt(kind: &str) -> bool {
    ["jwt", "at+jwt", "application/jwt", "application/at+jwt"]
        .iter()
        .any(|name| kind.eq_ignore_ascii_case(name))
}

fn is_outside_of_base64url(c: char) -> bool {
    !matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_')
}

/// What a reader of cookies may take `raw` for.
fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| behind.get(..2).and_then(hex))
            .flatten();
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() {
            &behind[2..]
        } else {
            behind
        };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?;
    u8::try_from(value).ok()
}
