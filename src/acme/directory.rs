//! What a CA says of itself (RFC 8555 section 7.1.1), read once an hour; that it does not say it is believed for some seconds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::Mutex;

use super::exchange::retry_after;
use super::fault::unavailable;
use super::{AcmeError, CaProblem, Directory};
use crate::clock::{Clock, Timestamp};
use crate::model::Causes;
use crate::outgoing::Outgoing;

/// How long what a CA says of itself is believed.
const BELIEVED: Duration = Duration::from_secs(3600);
/// How long it is believed that it cannot be had. Whoever waited for somebody else's attempt must not make the next one, and the one behind
/// him another: the last of a long queue would wait for minutes.
const MISSED: Duration = Duration::from_secs(5);

/// A directory as it came, and as we understand it.
pub(super) struct Kept {
    pub(super) text: Bytes,
    pub(super) read: Document,
    at: Timestamp,
}

/// Of the directory what we need ourselves; the library reads it for itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    #[expect(dead_code, reason = "a directory without it is none")]
    new_order: String,
    pub(super) key_change: Option<String>,
    pub(super) renewal_info: Option<String>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    caa_identities: Vec<String>,
    profiles: BTreeMap<String, IgnoredAny>,
}

impl Document {
    pub(super) fn offers(&self, profile: &str) -> bool {
        self.meta.profiles.contains_key(profile)
    }

    pub(super) fn profiles(&self) -> impl Iterator<Item = &str> {
        self.meta.profiles.keys().map(String::as_str)
    }

    /// In the words of the seam.
    pub(super) fn view(&self) -> Directory {
        Directory {
            caa_identities: self.meta.caa_identities.clone(),
            profiles: self.profiles().map(str::to_owned).collect(),
            renewal_info: self.renewal_info.is_some(),
        }
    }
}

/// The directory of one CA.
#[derive(Default)]
pub(super) struct Directories(Mutex<State>);

#[derive(Default)]
struct State {
    kept: Option<Arc<Kept>>,
    missed: Option<Missed>,
}

/// An attempt that came to nothing.
struct Missed {
    at: Timestamp,
    why: AcmeError,
}

impl Directories {
    /// What was read within the last hour, or what the CA says now. Several askers wait for one answer, or for its absence.
    pub(super) async fn get(
        &self,
        url: &str,
        outgoing: &Outgoing,
        clock: &Clock,
    ) -> Result<Arc<Kept>, AcmeError> {
        let mut state = self.0.lock().await;
        let now = clock.now();
        // A clock that was set back must not keep anything for longer.
        let within = |at: Timestamp, span| at <= now && now.since(at) < span;
        if let Some(known) = state.kept.as_ref().filter(|it| within(it.at, BELIEVED)) {
            return Ok(Arc::clone(known));
        }
        if let Some(missed) = state.missed.as_ref().filter(|it| within(it.at, MISSED)) {
            return Err(again(&missed.why));
        }
        match fetch(url, outgoing, now).await {
            Ok(read) => {
                let read = Arc::new(read);
                *state = State {
                    kept: Some(Arc::clone(&read)),
                    missed: None,
                };
                Ok(read)
            }
            Err(why) => {
                let told = again(&why);
                let at = clock.now();
                state.missed = Some(Missed { at, why });
                Err(told)
            }
        }
    }
}

/// The same failure for another asker.
fn again(error: &AcmeError) -> AcmeError {
    match error {
        AcmeError::RateLimited {
            problem,
            retry_after,
        } => AcmeError::RateLimited {
            problem: problem.clone(),
            retry_after: *retry_after,
        },
        AcmeError::Unusable { what } => AcmeError::Unusable { what: what.clone() },
        AcmeError::Unavailable {
            source,
            retry_after,
        } => unavailable(Causes(&**source).to_string(), *retry_after),
        // Nothing else becomes of a fetch.
        other => unavailable(Causes(other).to_string(), None),
    }
}

async fn fetch(url: &str, outgoing: &Outgoing, now: Timestamp) -> Result<Kept, AcmeError> {
    let unusable = |error: http::Error| AcmeError::Unusable {
        what: format!("{url:?} cannot be asked for: {error}"),
    };
    let request = Request::get(url).body(Bytes::new()).map_err(unusable)?;
    let answer = outgoing.send(request).await;
    let answer = answer.map_err(|error| AcmeError::Unavailable {
        source: Box::new(error),
        retry_after: None,
    })?;
    let retry_after = retry_after(answer.headers(), now);
    let away = |why: String| AcmeError::Unavailable {
        source: why.into(),
        retry_after,
    };
    match answer.status() {
        StatusCode::OK => {
            let text = answer.into_body();
            let read = serde_json::from_slice(&text);
            let read = read.map_err(|error| away(format!("{url} is no directory: {error}")))?;
            Ok(Kept {
                text,
                read,
                at: now,
            })
        }
        StatusCode::TOO_MANY_REQUESTS => Err(AcmeError::RateLimited {
            problem: CaProblem {
                kind: "rateLimited".to_owned(),
                detail: "too many requests for the directory".to_owned(),
            },
            retry_after,
        }),
        status => Err(away(format!("{url} answers with status {status}"))),
    }
}
