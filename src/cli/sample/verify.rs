//! How an application verifies the assertion: with an ordinary JWT library, the public keys fetched from the edge and kept for as
//! long as they say, and every claim that it relies on compared with what it expects.

use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::received::{text, visited};
use super::{ISSUER, UPSTREAM};

/// What an application concludes from a request's identity fields.
pub(super) enum Verdict {
    /// The claims are the edge's.
    Verified(Map<String, Value>),
    /// There is no assertion, or one that must not be believed, and why.
    Refused(String),
    /// There are no keys to verify with, and why.
    NoKeys(String),
}

/// Verifies assertions with the keys at one URL.
pub(super) struct Verifier {
    url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    kept: Mutex<Option<Kept>>,
}

/// The keys, and until when they may be used without asking again.
struct Kept {
    keys: JwkSet,
    fetched: Instant,
    fresh_for: Duration,
}

impl Verifier {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            client: Client::builder(TokioExecutor::new()).build_http(),
            kept: Mutex::new(None),
        }
    }

    /// Whether the request is the edge's, and what it says.
    pub(super) async fn verify(&self, headers: &HeaderMap) -> Verdict {
        let Some(assertion) = text(headers, "x-tenant-assertion") else {
            return Verdict::Refused(
                "there is no assertion: this request did not come through Vestibule".to_owned(),
            );
        };
        let kid = match key_name(assertion) {
            Ok(kid) => kid,
            Err(reason) => return Verdict::Refused(reason),
        };
        let key = match self.key(&kid).await {
            Ok(Some(key)) => key,
            Ok(None) => return Verdict::Refused(format!("the key {kid} is not published")),
            Err(reason) => return Verdict::NoKeys(reason),
        };
        let claims = match decode(assertion, &key) {
            Ok(claims) => claims,
            Err(reason) => return Verdict::Refused(reason),
        };
        match mismatch(&claims, headers) {
            Some(reason) => Verdict::Refused(reason),
            None => Verdict::Verified(claims),
        }
    }

    /// The key of this name. The lock is held while fetching, so that many requests fetch once.
    async fn key(&self, kid: &str) -> Result<Option<DecodingKey>, String> {
        let mut kept = self.kept.lock().await;
        let usable = kept.as_ref().is_some_and(|kept| {
            let age = kept.fetched.elapsed();
            // A name that is not among them may be newer than they are; whoever makes names up must not make us ask each time.
            age < kept.fresh_for && (kept.keys.find(kid).is_some() || age < ASK_AGAIN)
        });
        if !usable {
            *kept = Some(self.fetch().await?);
        }
        let found = kept.as_ref().and_then(|kept| kept.keys.find(kid));
        found
            .map(DecodingKey::from_jwk)
            .transpose()
            .map_err(|error| format!("the key {kid} is not usable: {error}"))
    }

    async fn fetch(&self) -> Result<Kept, String> {
        let unreachable = |reason: String| format!("the keys at {} are away: {reason}", self.url);
        let url: Uri = self
            .url
            .parse()
            .map_err(|error| unreachable(format!("{error}")))?;
        let fetching = async {
            let response = self.client.get(url).await.map_err(|e| e.to_string())?;
            if response.status() != StatusCode::OK {
                return Err(format!("the answer was {}", response.status()));
            }
            let fresh_for = max_age(response.headers());
            let body = Limited::new(response.into_body(), MAX_KEYS).collect().await;
            let body = body.map_err(|e| e.to_string())?.to_bytes();
            let keys = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
            Ok(Kept {
                keys,
                fetched: Instant::now(),
                fresh_for,
            })
        };
        timeout(PATIENCE, fetching)
            .await
            .unwrap_or_else(|_| Err("no answer in time".to_owned()))
            .map_err(unreachable)
    }
}

/// The name of the key, from a header that is an assertion's.
fn key_name(assertion: &str) -> Result<String, String> {
    let header = jsonwebtoken::decode_header(assertion)
        .map_err(|error| format!("the assertion is malformed: {error}"))?;
    if header.typ.as_deref() != Some("tenant+jwt") {
        return Err("the token is of another type than tenant+jwt".to_owned());
    }
    header
        .kid
        .ok_or_else(|| "the assertion names no key".to_owned())
}

fn decode(assertion: &str, key: &DecodingKey) -> Result<Map<String, Value>, String> {
    // The algorithm is ours to choose, never the token's.
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_issuer(&[ISSUER]);
    rules.set_audience(&[UPSTREAM]);
    rules.set_required_spec_claims(&["exp", "iss", "aud"]);
    rules.leeway = 5;
    jsonwebtoken::decode(assertion, key, &rules)
        .map(|token| token.claims)
        .map_err(|error| format!("the assertion does not verify: {error}"))
}

/// What beside the assertion says something else than it does.
fn mismatch(claims: &Map<String, Value>, headers: &HeaderMap) -> Option<String> {
    let claimed = |name: &str| claims.get(name).and_then(Value::as_str);
    for (field, claim) in [("x-tenant-id", "sub"), ("x-tenant-slug", "slug")] {
        if text(headers, field) != claimed(claim) {
            return Some(format!("{field} is not the {claim} that was signed"));
        }
    }
    let host = visited(headers).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    if claimed("host").is_none_or(|signed| !signed.eq_ignore_ascii_case(host)) {
        return Some("the assertion was made for another host".to_owned());
    }
    None
}

fn max_age(headers: &HeaderMap) -> Duration {
    let directives = text(headers, CACHE_CONTROL.as_str()).unwrap_or_default();
    let seconds = directives
        .split(',')
        .find_map(|one| one.trim().strip_prefix("max-age=")?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).min(LONGEST)
}

/// How soon the keys are asked for again because of a name that is not among them.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long the keys are kept whatever they say.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long fetching them may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How large their document may be, in bytes.
const MAX_KEYS: usize = 64 * 1024;
