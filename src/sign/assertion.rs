//! What an assertion says, and how it is written: a compact JWS (RFC 7515) whose payload is a JWT (RFC 7519).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use serde_json::value::RawValue;

use super::SignError;
use crate::clock::Timestamp;
use crate::model::{Hostname, Placement, Route, Slug, Sources, TenantId};

/// The least life that an assertion has left when it is sent.
pub(super) const LEAST_LEFT: Duration = Duration::from_secs(30);

/// What there is to say about one request.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// The tenant, if one was named.
    pub route: Option<&'a Route>,
    /// The upstream's name, which becomes `aud`.
    pub upstream: &'a str,
    /// Every source that named the tenant; the first of them becomes `via`.
    pub sources: Sources,
    /// The host of the request.
    pub host: &'a Hostname,
}

/// A signed assertion and the time in which it may be sent.
pub(super) struct Assertion {
    pub(super) value: HeaderValue,
    /// `iat`, in milliseconds since 1970.
    pub(super) issued: i64,
    /// When another one is to be made, in milliseconds since 1970.
    pub(super) renew_at: i64,
}

/// The first part of a JWS, with its final dot: the same for every assertion of one key.
pub(super) fn header(algorithm: &str, kid: &str) -> Box<str> {
    #[derive(Serialize)]
    struct Header<'a> {
        alg: &'a str,
        typ: &'a str,
        kid: &'a str,
    }
    let header = Header {
        alg: algorithm,
        typ: "tenant+jwt",
        kid,
    };
    // Three strings always serialize.
    let json = serde_json::to_vec(&header).unwrap_or_default();
    let mut text = URL_SAFE_NO_PAD.encode(json);
    text.push('.');
    text.into()
}

/// Writes and signs. `sign` gets the signing input (RFC 7515 section 5.1); the key is out of use at `retired_at`.
pub(super) fn write<S: AsRef<[u8]>>(
    header: &str,
    payload: &Payload<'_>,
    retired_at: Option<i64>,
    sign: impl FnOnce(&[u8]) -> Result<S, SignError>,
) -> Result<Assertion, SignError> {
    let json = serde_json::to_vec(payload).map_err(SignError::Encode)?;
    // A dot and the signature's 64 bytes in base64 take 87.
    let mut text = String::with_capacity(header.len() + json.len().div_ceil(3) * 4 + 87);
    text.push_str(header);
    URL_SAFE_NO_PAD.encode_string(json, &mut text);
    let signature = sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);

    let mut value = HeaderValue::from_maybe_shared(Bytes::from(text))
        .map_err(|_| SignError::Encode(serde::ser::Error::custom("not a field value")))?;
    // Whoever sees it can replay it for a while: this keeps it out of `{:?}` (and of HPACK tables), for one flag.
    value.set_sensitive(true);
    let issued = payload.iat * 1000;
    let lifetime = (payload.exp - payload.iat) * 1000;
    let least_left = LEAST_LEFT.as_millis() as i64;
    let renew_at = issued + (lifetime / 2).min(lifetime - least_left);
    Ok(Assertion {
        value,
        issued,
        renew_at: retired_at.map_or(renew_at, |date| date.min(renew_at)),
    })
}

/// The claims as they are written, in this order.
#[derive(Serialize)]
pub(super) struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<&'a Slug>,
    via: &'static str,
    #[serde(serialize_with = "names")]
    agree: Sources,
    host: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<&'a Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<&'a RawValue>,
}

impl<'a> Payload<'a> {
    /// `claims` as `issuer` says them at `now`, for `lifetime`.
    pub(super) fn new(
        issuer: &'a str,
        lifetime: Duration,
        claims: &Claims<'a>,
        now: Timestamp,
    ) -> Result<Self, SignError> {
        let route = claims.route;
        let meta = route
            .and_then(|route| route.meta.as_deref())
            .map(serde_json::from_str)
            .transpose()
            .map_err(SignError::Encode)?;
        let iat = now.seconds();
        Ok(Self {
            iss: issuer,
            aud: claims.upstream,
            sub: route.map(|route| route.tenant),
            slug: route.map(|route| &route.slug),
            via: claims.sources.via_str(),
            agree: claims.sources,
            host: claims.host.as_str(),
            iat,
            exp: iat + lifetime.as_secs() as i64,
            plan: route.and_then(|route| route.plan.as_deref()),
            placement: route.map(|route| &route.placement),
            meta,
        })
    }
}

fn names<S: serde::Serializer>(sources: &Sources, out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(sources.iter().map(|source| source.as_str()))
}
