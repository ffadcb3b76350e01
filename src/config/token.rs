//! `[[routing.token]]` and `[routing.jwks]`: whose tokens name tenants, and where their keys come from.

use std::path::PathBuf;
use std::time::Duration;

use super::item::Item;
use super::notes::Reason;
use super::secret_file::{self, MIN_HMAC_KEY};
use super::section::Section;
use crate::model::Secret;

/// `[[routing.token]]`
#[derive(Debug, Clone)]
pub struct TokenIssuer {
    /// `iss`, compared exactly.
    pub issuer: String,
    /// At least one of these must be in `aud`.
    pub audience: Vec<String>,
    /// The algorithms its tokens may have.
    pub algorithms: Vec<TokenAlgorithm>,
    /// Where its keys come from.
    pub keys: TokenKeys,
    /// The path of the claim that names the tenant, split at the dots.
    pub claim: Vec<String>,
    /// Whether a token without the claim is invalid (else it names nobody).
    pub claim_required: bool,
    /// The cookie that may hold a token.
    pub cookie: Option<String>,
}

/// Signature algorithms of tokens (RFC 7518, RFC 8037). `none` is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of RFC 7518")]
pub enum TokenAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl TokenAlgorithm {
    /// Whether it takes a shared secret.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone)]
pub enum TokenKeys {
    /// A JWKS fetched from this URL (`https`, or `http` to a loopback address).
    Url(String),
    /// A JWKS in this file, read at start.
    File(PathBuf),
    /// A shared secret, at least 32 bytes.
    Hmac(Secret),
}

/// `[routing.jwks]`
#[derive(Debug, Clone, Copy)]
pub struct Jwks {
    /// For one fetch, in all.
    pub timeout: Duration,
    /// Age after which a key set is fetched again in the background.
    pub refresh: Duration,
    /// At least this long between two fetches that an unknown `kid` causes.
    pub refetch: Duration,
    /// How long a key set is used while it cannot be fetched.
    pub keep: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);
const ALGORITHMS: [(&str, TokenAlgorithm); 12] = [
    ("HS256", TokenAlgorithm::HS256),
    ("HS384", TokenAlgorithm::HS384),
    ("HS512", TokenAlgorithm::HS512),
    ("RS256", TokenAlgorithm::RS256),
    ("RS384", TokenAlgorithm::RS384),
    ("RS512", TokenAlgorithm::RS512),
    ("PS256", TokenAlgorithm::PS256),
    ("PS384", TokenAlgorithm::PS384),
    ("PS512", TokenAlgorithm::PS512),
    ("ES256", TokenAlgorithm::ES256),
    ("ES384", TokenAlgorithm::ES384),
    ("EdDSA", TokenAlgorithm::EdDSA),
];

impl TokenIssuer {
    fn read(section: &Section<'_>) -> Option<Self> {
        let issuer = section.need("issuer", |item| match item.text()? {
            "" => item.refuse("is empty"),
            text => Some(text.to_owned()),
        });
        let audience = section.need("audience", |item| {
            not_empty(item, item.texts(|text| Ok(text.to_owned()))?)
        });
        let algorithms = section.need("algorithms", |item| {
            not_empty(item, item.set(|item| item.one_of(&ALGORITHMS))?)
        });
        let keys = token_keys(section);
        if let (Some(algorithms), Some(keys)) = (&algorithms, &keys) {
            same_kind(section, algorithms, keys);
        }
        let claim = section.text("claim", claim_path);
        let claim_required = section.flag("claim_required", true);
        let cookie = section.text("cookie", cookie_name);
        Some(Self {
            issuer: issuer?,
            audience: audience?,
            algorithms: algorithms?,
            keys: keys?,
            claim: claim.unwrap_or_else(|| vec!["tenant_id".to_owned()]),
            claim_required,
            cookie,
        })
    }
}

impl Jwks {
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            timeout: section.duration("timeout", SECOND * 5, MILLISECOND..=SECOND * 60),
            refresh: section.duration("refresh", SECOND * 600, MILLISECOND..=DAY),
            refetch: section.duration("refetch", SECOND * 30, MILLISECOND..=DAY),
            keep: section.duration("keep", DAY, MILLISECOND..=DAY * 30),
        }
    }
}

/// `[[routing.token]]`: issuers, each once, because a token's `iss` leads to one set of keys.
pub(super) fn issuers(section: &Section<'_>) -> Vec<TokenIssuer> {
    let read = section.subs("token", |token| {
        (TokenIssuer::read(token), token.place_of("issuer"))
    });
    let mut tokens: Vec<TokenIssuer> = Vec::new();
    for (token, place) in read {
        let Some(token) = token else { continue };
        if tokens.iter().any(|other| other.issuer == token.issuer) {
            section.flaw(
                place,
                format!("the issuer {:?} is there twice", token.issuer),
            );
        }
        tokens.push(token);
    }
    tokens
}

fn not_empty<T>(item: &Item<'_>, values: Vec<T>) -> Option<Vec<T>> {
    match item.is_empty() {
        true => item.refuse("is empty: nothing would ever be accepted"),
        false => Some(values),
    }
}

fn token_keys(section: &Section<'_>) -> Option<TokenKeys> {
    let url = section.text("jwks_url", jwks_url).map(TokenKeys::Url);
    let file = section
        .text("jwks_file", secret_file::present)
        .map(TokenKeys::File);
    let hmac = section.text("hmac_secret_file", |path| {
        secret_file::read(path, MIN_HMAC_KEY)
    });
    let written = ["jwks_url", "jwks_file", "hmac_secret_file"].map(|key| section.has(key));
    match written.iter().filter(|is| **is).count() {
        1 => url.or(file).or(hmac.map(TokenKeys::Hmac)),
        count => {
            let what = match count {
                0 => "the issuer has no keys",
                _ => "the issuer has more than one source of keys",
            };
            let hint = "set one of `jwks_url`, `jwks_file` and `hmac_secret_file`";
            section.flaw(section.place(), Reason::with_hint(what, hint));
            None
        }
    }
}

/// A public key taken for a shared secret lets anyone sign, so the two kinds never meet (RFC 8725 section 3.1).
fn same_kind(section: &Section<'_>, algorithms: &[TokenAlgorithm], keys: &TokenKeys) {
    let shared = matches!(keys, TokenKeys::Hmac(_));
    if algorithms
        .iter()
        .any(|algorithm| algorithm.is_symmetric() != shared)
    {
        let what = match shared {
            true => "a shared secret goes with HS256, HS384 and HS512 only",
            false => "public keys do not go with HS256, HS384 and HS512",
        };
        section.flaw(section.place_of("algorithms"), what);
    }
}

fn jwks_url(text: &str) -> Result<String, Reason> {
    let uri: http::Uri = text.parse().map_err(|_| "is no URL")?;
    let host = uri.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let userinfo = uri
        .authority()
        .is_some_and(|authority| authority.as_str().contains('@'));
    match uri.scheme_str() {
        _ if userinfo => Err("may not hold a user name or password".into()),
        Some("https") if !host.is_empty() => Ok(text.to_owned()),
        Some("http") if loopback => Ok(text.to_owned()),
        Some("http") => {
            Err("must be https: whoever changes the keys on the way could sign tokens".into())
        }
        _ => Err("is no https URL".into()),
    }
}

fn claim_path(text: &str) -> Result<Vec<String>, Reason> {
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    match parts.iter().any(String::is_empty) {
        true => Err("has an empty part between its dots".into()),
        false => Ok(parts),
    }
}

/// A cookie's name (RFC 6265 section 4.1.1: a token).
fn cookie_name(text: &str) -> Result<String, Reason> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.bytes().all(token) {
        true => Ok(text.to_owned()),
        false => Err("is no name that a cookie can have".into()),
    }
}
