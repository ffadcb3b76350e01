//! http-01: what a CA asks for in order to see that a name is ours, answered before every rule about hosts and tenants.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use super::record::Record;
use super::worker::Shared;
use crate::model::{Causes, Hostname};

/// The answer to a CA that asks for this token of this name, where one is due; everything else goes the ordinary way, also where it cannot be known.
pub(super) async fn answer(
    shared: &Shared,
    (name, token): (Hostname, &str),
    record: &mut Record,
) -> Option<Response<Bytes>> {
    let answer = open(shared, &name, token).await?;
    record.host = Some(name);
    Some(of(answer))
}

async fn open(shared: &Shared, name: &Hostname, token: &str) -> Option<String> {
    match shared.challenges.http01(name, token).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(error = %Causes(&error), %name, "open challenges cannot be read");
            None
        }
    }
}

/// Letter for letter (RFC 8555 section 8.3).
fn of(answer: String) -> Response<Bytes> {
    let mut response = Response::new(answer.into());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
