//! HTTPS requests of our own to other people's servers, such as a certificate authority: bounded in time and size, sent nowhere but where
//! they are addressed. For the control plane; what visitors ask for goes through `upstream`.

mod connect;
mod trust;

pub use trust::{TrustError, system_roots, trusting};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use connect::Connector;

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));

/// Largest answer head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How long a connection is kept for the next request, and how many to one server.
const KEPT: (Duration, usize) = (Duration::from_secs(30), 2);

/// Sends requests; connections are kept for a while. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outgoing {
    client: Client<Connector, Full<Bytes>>,
    time: Duration,
    size: usize,
}

/// Why there is no answer, or none to be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum OutgoingError {
    #[error("the server cannot be reached")]
    Unreachable(#[source] legacy::Error),
    #[error("the request was not answered to its end")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no whole answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the server redirects (status {0}), and nobody is followed elsewhere")]
    Redirect(StatusCode),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl Outgoing {
    /// Every request ends within `time`; answers are at most `size` bytes long.
    pub fn new(tls: ClientConfig, time: Duration, size: usize) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT.0)
            .pool_max_idle_per_host(KEPT.1)
            .http1_max_buf_size(MAX_HEAD)
            .build(Connector::new(Arc::new(tls)));
        Self { client, time, size }
    }

    /// Sends `request`, whose address is absolute and `https`. An answer of any status but a redirect is an answer.
    pub async fn send(
        &self,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, OutgoingError> {
        let agent = HeaderValue::from_static(USER_AGENT);
        request.headers_mut().insert(header::USER_AGENT, agent);
        let sending = async {
            let answer = self.client.request(request.map(Full::new)).await;
            let answer = answer.map_err(|error| match error.is_connect() {
                true => OutgoingError::Unreachable(error),
                false => OutgoingError::Broken(Box::new(error)),
            })?;
            if answer.status().is_redirection() {
                return Err(OutgoingError::Redirect(answer.status()));
            }
            let (parts, body) = answer.into_parts();
            let whole = Limited::new(body, self.size).collect().await;
            let whole = whole.map_err(|error| match error.is::<LengthLimitError>() {
                true => OutgoingError::TooLarge(self.size),
                false => OutgoingError::Broken(error),
            })?;
            Ok(Response::from_parts(parts, whole.to_bytes()))
        };
        tokio::time::timeout(self.time, sending)
            .await
            .unwrap_or(Err(OutgoingError::Timeout(self.time)))
    }
}
