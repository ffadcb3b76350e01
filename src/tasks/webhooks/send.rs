//! One POST over its own connection, bounded in time, that goes nowhere but where the webhook's URL leads, and to no address that is
//! nobody's on the internet unless the operator has said so.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::clock::Timestamp;
use crate::model::address::is_public;
use crate::model::webhook::Reply;
use crate::model::{Causes, WebhookUrl};

/// Largest answer head, in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// What is read of an answer's body, in bytes and at most for how long: the status says it all, but some servers take a connection that
/// is closed before they have written everything for a fault.
const MAX_BODY: usize = 64 * 1024;
const DRAIN: Duration = Duration::from_secs(1);

/// Sends events. Runs on whatever runtime polls it, which must not be a data-plane thread's. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    tls: TlsConnector,
    limit: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("{0} cannot be resolved")]
    Unresolved(String, #[source] io::Error),
    #[error(
        "{0} leads only to addresses that are nobody's on the internet, and they are not allowed"
    )]
    Private(String),
    #[error("nobody answers there")]
    Unreachable(#[source] io::Error),
    #[error("no TLS with {0}")]
    Tls(String, #[source] io::Error),
    #[error("the answer is not HTTP or breaks off")]
    Http(#[source] hyper::Error),
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the request cannot be made")]
    Request(#[source] http::Error),
}

/// What is sent, and the fields that say who sent it.
pub(super) struct Post {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Sender {
    /// Trusts whom `tls` trusts. Every attempt ends within `limit`, but for what is left of an answer's body.
    pub fn new(tls: Arc<ClientConfig>, limit: Duration) -> Self {
        let tls = TlsConnector::from(tls);
        Self { tls, limit }
    }

    /// Sends `post` to `url`; `now` is what a date in the answer is compared with.
    pub(super) async fn send(
        &self,
        url: &WebhookUrl,
        allow_private: bool,
        post: Post,
        now: Timestamp,
    ) -> Reply {
        let sending = async {
            let stream = self.connect(url, allow_private).await?;
            if url.is_tls() {
                exchange(self.handshake(url, stream).await?, url, post, now).await
            } else {
                exchange(stream, url, post, now).await
            }
        };
        let limit = self.limit;
        let reply = timeout(limit + DRAIN, sending).await;
        match reply.unwrap_or(Err(SendError::Timeout(limit))) {
            Ok(reply) => reply,
            Err(error) => Reply::Unanswered(Causes(&error).to_string()),
        }
    }

    /// The first address that answers. Each gets its share of the time, so that a dead one does not cost the others theirs.
    async fn connect(&self, url: &WebhookUrl, allow_private: bool) -> Result<TcpStream, SendError> {
        let (host, port) = url.place();
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|error| SendError::Unresolved(host.to_owned(), error))?;
        // "localhost" leads wherever the system's resolver says.
        let mut addresses: Vec<SocketAddr> = found
            .filter(|address| url.is_tls() || address.ip().is_loopback())
            .collect();
        // What is asked here is what is connected to: a name cannot lead elsewhere in between.
        addresses.retain(|address| allow_private || is_public(address.ip()));
        let mut failure = SendError::Private(host.to_owned());
        let share = self.limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = SendError::Unreachable(error),
                Err(_) => failure = SendError::Timeout(share),
            }
        }
        Err(failure)
    }

    async fn handshake(
        &self,
        url: &WebhookUrl,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, SendError> {
        let (host, _) = url.place();
        let failed = |error| SendError::Tls(host.to_owned(), error);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| failed(io::Error::other(error)))?;
        self.tls.connect(name, stream).await.map_err(failed)
    }
}

/// One request on `stream`, and what was heard.
async fn exchange<S>(
    stream: S,
    url: &WebhookUrl,
    post: Post,
    now: Timestamp,
) -> Result<Reply, SendError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(SendError::Http)?;
    let asking = async {
        let answer = sender.send_request(request(url, post)?).await;
        let answer = answer.map_err(SendError::Http)?;
        let reply = reply(&answer, now);
        drain(answer).await;
        Ok(reply)
    };
    // The connection reports its failures to whoever asks; its own end is no news.
    let driving = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        reply = asking => reply,
        never = driving => match never {},
    }
}

fn request(url: &WebhookUrl, post: Post) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::post(url.target())
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .header(
            header::USER_AGENT,
            concat!("vestibule/", env!("CARGO_PKG_VERSION")),
        )
        .body(Full::new(Bytes::from(post.body)))
        .map_err(SendError::Request)?;
    request.headers_mut().extend(post.headers);
    Ok(request)
}

fn reply(answer: &Response<Incoming>, now: Timestamp) -> Reply {
    let field = answer.headers().get(header::RETRY_AFTER);
    let asked = field.and_then(|value| value.to_str().ok());
    Reply::Answered {
        status: answer.status().as_u16(),
        retry_after: asked.and_then(|text| retry_after(text, now)),
    }
}

/// Seconds or a date (RFC 9110 section 10.2.3); one that is over is none.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text.trim()).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.0).ok()?);
    date.checked_sub(now)
}

async fn drain(answer: Response<Incoming>) {
    let body = Limited::new(answer.into_body(), MAX_BODY).collect();
    // Whatever becomes of it, the status has been said.
    let _ = timeout(DRAIN, body).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_seconds_or_a_date() {
        let now = Timestamp(784_111_777_000);
        for (text, wait) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("-5", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ] {
            let wait = wait.map(Duration::from_secs);
            assert_eq!(retry_after(text, now), wait, "{text}");
        }
    }
}
