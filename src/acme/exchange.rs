//! What goes over the wire for one call: instant-acme's HTTP client, with the answer's status and fields kept, which its errors lose.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use serde_json::Value;

use super::directory::Kept;
use super::jws::Signer;
use crate::clock::{Clock, Timestamp};
use crate::outgoing::{Outgoing, OutgoingError};

/// The longest wait that is handed on: whoever asks for more is asked again then.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 86_400);

/// One call's way to the CA.
pub(super) struct Exchange {
    outgoing: Outgoing,
    clock: Clock,
    directory_url: String,
    /// What the CA says of itself; the library asks for it again and again.
    pub(super) directory: Arc<Kept>,
    last: Mutex<Last>,
}

/// What is known of the last answer; nothing where there was none.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub(super) method: Method,
    pub(super) status: Option<StatusCode>,
    pub(super) retry_after: Option<Duration>,
    pub(super) location: Option<String>,
}

impl Exchange {
    pub(super) fn new(
        outgoing: Outgoing,
        clock: Clock,
        directory_url: String,
        directory: Arc<Kept>,
    ) -> Arc<Self> {
        Arc::new(Self {
            outgoing,
            clock,
            directory_url,
            directory,
            last: Mutex::default(),
        })
    }

    /// For the library, which wants to own its client.
    pub(super) fn wire(self: &Arc<Self>) -> Box<dyn HttpClient> {
        Box::new(Wire(Arc::clone(self)))
    }

    pub(super) fn last(&self) -> Last {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends one request and notes what came of it.
    pub(super) async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, OutgoingError> {
        let method = request.method().clone();
        let answer = self.outgoing.send(request).await;
        let last = match &answer {
            Err(_) => Last {
                method,
                ..Last::default()
            },
            Ok(answer) => Last {
                method,
                status: Some(answer.status()),
                retry_after: retry_after(answer.headers(), self.clock.now()),
                location: field(answer.headers(), header::LOCATION).map(str::to_owned),
            },
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        answer
    }
}

impl Exchange {
    /// Sends what the library cannot be asked to sign, and as it would: a nonce that is refused is followed by two more.
    pub(super) async fn post(
        &self,
        signer: &Signer<'_>,
        url: &str,
        payload: &Value,
    ) -> Result<Response<Bytes>, Error> {
        let mut nonce = self.nonce().await?;
        for _ in 0..2 {
            match self.post_once(signer, url, payload, &nonce).await {
                Err(error) if is_bad_nonce(&error) => nonce = self.nonce().await?,
                done => return done,
            }
        }
        self.post_once(signer, url, payload, &nonce).await
    }

    async fn post_once(
        &self,
        signer: &Signer<'_>,
        url: &str,
        payload: &Value,
        nonce: &str,
    ) -> Result<Response<Bytes>, Error> {
        let body = signer.sign(url, Some(nonce), payload)?.to_string();
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/jose+json")
            .body(body.into())?;
        let answer = self.send(request).await.map_err(other)?;
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(serde_json::from_slice::<Problem>(answer.body())?.into()),
        }
    }

    async fn nonce(&self) -> Result<String, Error> {
        let request = Request::head(&self.directory.read.new_nonce).body(Bytes::new())?;
        let answer = self.send(request).await.map_err(other)?;
        let nonce = answer.headers().get("replay-nonce");
        let nonce = nonce.and_then(|nonce| nonce.to_str().ok());
        let nonce = nonce.filter(|_| answer.status().is_success());
        nonce
            .map(str::to_owned)
            .ok_or(Error::Str("no nonce in the answer to the request for one"))
    }
}

fn other(error: OutgoingError) -> Error {
    Error::Other(Box::new(error))
}

struct Wire(Arc<Exchange>);

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let exchange = Arc::clone(&self.0);
        Box::pin(async move {
            if request.method() == Method::GET && *request.uri() == *exchange.directory_url {
                return Ok(answer(Response::new(exchange.directory.text.clone())));
            }
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(whole) => whole.to_bytes(),
                Err(never) => match never {},
            };
            let sent = exchange.send(Request::from_parts(parts, body)).await;
            sent.map(answer).map_err(other)
        })
    }
}

fn answer(answer: Response<Bytes>) -> BytesResponse {
    let (parts, body) = answer.into_parts();
    BytesResponse {
        parts,
        body: Box::new(body),
    }
}

/// RFC 9110 section 10.2.3: seconds, or a date.
pub(super) fn retry_after(fields: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = field(fields, header::RETRY_AFTER)?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let since_epoch = date.duration_since(UNIX_EPOCH).ok()?;
            Timestamp::default().plus(since_epoch).since(now)
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

fn field(fields: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    fields.get(name)?.to_str().ok()
}

fn is_bad_nonce(error: &Error) -> bool {
    let kind = match error {
        Error::Api(problem) => problem.r#type.as_deref(),
        _ => None,
    };
    kind == Some("urn:ietf:params:acme:error:badNonce")
}

/// How often we try behind the three times of the library: with half of all nonces refused, one call in many millions fails.
const TRIES: u32 = 7;
/// The first wait between two tries; each further one is twice as long, up to the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Patience with a CA that refuses our nonces (RFC 8555 section 6.5: such a request may be sent again).
pub(super) struct Nonces {
    left: u32,
    wait: Duration,
}

impl Nonces {
    pub(super) fn new() -> Self {
        Self {
            left: TRIES,
            wait: WAITS.0,
        }
    }

    /// Whether to send again what failed with `error`; waits before it says yes.
    pub(super) async fn again(&mut self, error: &Error) -> bool {
        if !is_bad_nonce(error) || self.left == 0 {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(WAITS.1);
        true
    }
}

/// Evaluates a call of the library, again while its nonces are refused and [`Nonces`] has patience.
macro_rules! with_nonces {
    ($call:expr) => {{
        let mut nonces = $crate::acme::exchange::Nonces::new();
        loop {
            match $call.await {
                Err(error) if nonces.again(&error).await => {}
                done => break done,
            }
        }
    }};
}
pub(super) use with_nonces;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, now: i64) -> Option<Duration> {
        let mut fields = HeaderMap::new();
        fields.insert(header::RETRY_AFTER, text.parse().expect("a field"));
        retry_after(&fields, Timestamp(now))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(after("120", 0), seconds(120));
        assert_eq!(after(" 7 ", 0), seconds(7));
        assert_eq!(after("Thu, 01 Jan 1970 00:01:00 GMT", 10_000), seconds(50));
        assert_eq!(after("Thu, 01 Jan 1970 00:01:00 GMT", 90_000), seconds(0));
        assert_eq!(after("18446744073709551615", 0), Some(LONGEST_WAIT));
        assert_eq!(after("soon", 0), None);
        assert_eq!(after("-1", 0), None);
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp(0)), None);
    }

    proptest::proptest! {
        #[test]
        fn no_retry_after_panics_or_is_endless(text in "[ -~]{0,40}", now: i64) {
            let wait = after(&text, now).unwrap_or_default();
            proptest::prop_assert!(wait <= LONGEST_WAIT);
        }
    }
}
