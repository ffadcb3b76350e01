//! What a payload must say (RFC 7519 section 4.1), and whom it names.

use uuid::Uuid;

use super::AUDIENCE;
use super::json::{Json, Object};
use crate::clock::Timestamp;
use crate::config::TokenIssuer;
use crate::model::{LookupKey, Slug, TenantId};

/// How far an issuer's clock may be off, in seconds (RFC 7519 section 4.1.4: "no more than a few minutes").
const SKEW: f64 = 60.0;

/// What one issuer's tokens must say.
#[derive(Debug)]
pub(super) struct Rules {
    audience: Vec<String>,
    path: Vec<String>,
    /// The path as it was typed: names such as `https://example.com/tenant` have dots of their own.
    name: String,
    required: bool,
}

/// What a payload that keeps the rules says.
#[derive(Debug, PartialEq)]
pub(super) struct Claims {
    /// The members of the tenant claim, `None` where there is no such claim.
    pub(super) tenants: Option<Vec<Option<LookupKey>>>,
    /// From when it does not hold any more.
    pub(super) until: Timestamp,
}

impl Rules {
    pub(super) fn new(issuer: &TokenIssuer) -> Self {
        Self {
            audience: issuer.audience.clone(),
            path: issuer.claim.clone(),
            name: issuer.claim.join("."),
            required: issuer.claim_required,
        }
    }

    /// Checks everything but `iss`, which chose these rules. The audience comes last: that it is another's is no fault of a token.
    pub(super) fn check(&self, payload: &Object, now: Timestamp) -> Result<Claims, &'static str> {
        let until = lifetime(payload, now)?;
        let tenants = self.tenants(payload)?;
        if tenants.is_none() && self.required {
            return Err("it has no tenant claim");
        }
        self.audience(payload)?;
        Ok(Claims { tenants, until })
    }

    fn audience(&self, payload: &Object) -> Result<(), &'static str> {
        let ours = |value: &Json| matches!(value, Json::Text(name) if self.audience.contains(name));
        let meant = match payload.get("aud") {
            Some(Json::Array(several)) => several.iter().any(ours),
            Some(one) => ours(one),
            None => false,
        };
        if meant { Ok(()) } else { Err(AUDIENCE) }
    }

    fn tenants(&self, payload: &Object) -> Result<Option<Vec<Option<LookupKey>>>, &'static str> {
        let by_path = self.by_path(payload);
        let by_name = payload.get(&self.name).filter(|_| self.path.len() > 1);
        let value = match (by_path, by_name) {
            (Some(_), Some(_)) => return Err("its tenant claim is there twice"),
            (found, other) => found.or(other),
        };
        match value {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Array(items)) => {
                items.iter().map(member).collect::<Result<_, _>>().map(Some)
            }
            Some(one) => Ok(Some(vec![member(one)?])),
        }
    }

    fn by_path<'a>(&self, payload: &'a Object) -> Option<&'a Json> {
        let (last, parents) = self.path.split_last()?;
        let mut object = payload;
        for parent in parents {
            match object.get(parent)? {
                Json::Object(inner) => object = inner,
                _ => return None,
            }
        }
        object.get(last)
    }
}

/// Whom a text names; numbers and truth values name nobody. What nests is not a tenant's name at all.
fn member(value: &Json) -> Result<Option<LookupKey>, &'static str> {
    match value {
        Json::Text(name) => Ok(match Uuid::try_parse(name) {
            Ok(id) => Some(LookupKey::Id(TenantId(id))),
            Err(_) => Slug::parse(name).ok().map(LookupKey::Slug),
        }),
        Json::Null | Json::Bool | Json::Number(_) => Ok(None),
        Json::Array(_) | Json::Object(_) => Err("its tenant claim is no name"),
    }
}

/// Checks `exp`, which must be there, `nbf` and `iat`; says from when the token is over, the skew included.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast saturates, and both ends are far from any date"
)]
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit in 53 bits"
)]
fn lifetime(payload: &Object, now: Timestamp) -> Result<Timestamp, &'static str> {
    let now = now.0 as f64 / 1000.0;
    let expiry = match payload.get("exp") {
        Some(Json::Number(at)) => *at + SKEW,
        Some(_) => return Err("its exp is no number"),
        None => return Err("it never expires"),
    };
    if now >= expiry {
        return Err("it has expired");
    }
    for claim in ["nbf", "iat"] {
        match payload.get(claim) {
            None => {}
            Some(Json::Number(at)) if *at - SKEW <= now => {}
            Some(Json::Number(_)) => return Err("it is from the future"),
            Some(_) => return Err("its nbf or iat is no number"),
        }
    }
    Ok(Timestamp((expiry * 1000.0) as i64))
}
