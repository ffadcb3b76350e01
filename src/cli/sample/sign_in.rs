//! Signing in: a cookie with a token that names a tenant, as any sign-in service would set it. There is no password, because there
//! is nothing to protect: it is here to show what the edge makes of a session that does not fit the address.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderValue, Method, Response, StatusCode, request};
use http_body_util::Full;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use super::received::{Place, text};
use crate::clock::Clock;
use crate::model::{Secret, Slug};

/// `iss` and `aud` of the tokens.
pub const SESSION_ISSUER: &str = "sample";
/// How long a session lasts, in seconds.
const LIFETIME: i64 = 8 * 3600;
const COOKIE: &str = "session";
/// Behind this stands the slug to sign in to.
pub(super) const SIGN_IN: &str = "/sign-in/";
pub(super) const SIGN_OUT: &str = "/sign-out";

/// Makes sessions that the edge believes, because it has the same secret.
pub struct Sessions {
    key: EncodingKey,
    clock: Clock,
}

impl Sessions {
    /// Signs with `secret`.
    pub fn new(secret: &Secret, clock: Clock) -> Self {
        let key = EncodingKey::from_secret(secret.expose());
        Self { key, clock }
    }

    /// The answer to a request that signs in or out.
    pub(super) fn answer(
        &self,
        head: &request::Parts,
        place: &Place,
    ) -> Option<Response<Full<Bytes>>> {
        if head.method != Method::POST || from_elsewhere(head) {
            return None;
        }
        let cookie = match (head.uri.path(), head.uri.path().strip_prefix(SIGN_IN)) {
            (SIGN_OUT, _) => format!("{COOKIE}=; Max-Age=0"),
            (_, Some(slug)) => format!(
                "{COOKIE}={}; Max-Age={LIFETIME}",
                self.token(&Slug::parse(slug).ok()?)?
            ),
            _ => return None,
        };
        let cookie =
            HeaderValue::try_from(format!("{cookie}; Path=/; HttpOnly; SameSite=Lax")).ok()?;
        let back = HeaderValue::try_from(format!("{}/", place.prefix)).ok()?;
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response.headers_mut().insert(LOCATION, back);
        response.headers_mut().insert(SET_COOKIE, cookie);
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn token(&self, tenant: &Slug) -> Option<String> {
        let now = self.clock.now().seconds();
        let claims = json!({
            "iss": SESSION_ISSUER, "aud": SESSION_ISSUER, "tenant": tenant.as_str(),
            "iat": now, "exp": now + LIFETIME,
        });
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key).ok()
    }
}

/// Another site's form must not choose who somebody is here.
fn from_elsewhere(head: &request::Parts) -> bool {
    text(&head.headers, "sec-fetch-site").is_some_and(|site| site != "same-origin")
}
