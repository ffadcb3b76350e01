//! Fetching a key set: one GET over its own connection, bounded in time and size, that goes nowhere but to the configured URL.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{KeySet, KeySetError, MAX_KEY_SET, RefusedKey};
use crate::outgoing::{USER_AGENT, system_roots};

/// Largest answer head, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// Where a key set is published: `https`, or `http` to a loopback address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeySetUrl {
    tls: bool,
    /// Without brackets.
    host: Box<str>,
    port: u16,
    /// `Host`
    authority: Box<str>,
    target: Box<str>,
}

/// Why a text is no [`KeySetUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum KeySetUrlError {
    #[error("a key set's URL is absolute: https://host/path")]
    Malformed,
    #[error(
        "keys that decide who is let in are fetched over https; http is for loopback addresses only"
    )]
    Plain,
    #[error("a key set is public: its URL has no user or password")]
    UserInfo,
}

/// Why a key set was not had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum FetchError {
    #[error("{0} has no address that may be used")]
    NoAddress(Box<str>),
    #[error("the issuer cannot be reached")]
    Unreachable(#[source] io::Error),
    #[error("the issuer's answer is not HTTP or breaks off")]
    Http(#[source] hyper::Error),
    #[error("no whole answer in time")]
    Timeout,
    #[error("the issuer redirects, and keys are taken only from where the configuration says")]
    Redirect,
    #[error("the issuer answers with status {0}")]
    Status(StatusCode),
    #[error("the answer is larger than {MAX_KEY_SET} bytes")]
    TooLarge,
    #[error("the answer is of no use")]
    KeySet(#[from] KeySetError),
    #[error("the fetch was broken off")]
    Abandoned,
}

impl FetchError {
    /// The failure's name in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoAddress(_) | Self::Unreachable(_) => "unreachable",
            Self::Http(_) => "http",
            Self::Timeout => "timeout",
            Self::Redirect => "redirect",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::KeySet(_) => "malformed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Why nothing can be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Nobody to trust.
    #[error("no CA certificate of the system can be read, so no https server can be trusted")]
    NoRoots,
    /// The TLS library does not take the settings.
    #[error("the TLS client cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Fetches key sets. Runs on whatever runtime polls it, which must not be a data-plane thread's.
#[derive(Clone)]
pub struct Fetcher {
    tls: TlsConnector,
    limit: Duration,
}

impl Fetcher {
    /// Trusts the system's CA certificates. Every fetch ends within `limit`.
    pub fn system(limit: Duration) -> Result<Self, SetupError> {
        let roots = system_roots();
        if roots.is_empty() {
            return Err(SetupError::NoRoots);
        }
        Self::with_roots(roots, limit)
    }

    /// Trusts `roots` and nobody else; with none of them only `http` to loopback works. Every fetch ends within `limit`.
    pub fn with_roots(roots: RootCertStore, limit: Duration) -> Result<Self, SetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            limit,
        })
    }

    /// Fetches and reads the set at `url`, and says which of its keys are refused.
    pub async fn fetch(&self, url: &KeySetUrl) -> Result<(KeySet, Vec<RefusedKey>), FetchError> {
        let fetching = async {
            let stream = self.connect(url).await?;
            let body = if url.tls {
                exchange(self.handshake(url, stream).await?, url).await?
            } else {
                exchange(stream, url).await?
            };
            Ok(KeySet::parse(&body)?)
        };
        tokio::time::timeout(self.limit, fetching)
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    /// The first address that answers. Each gets its share of the time, so that a dead one does not cost the others theirs.
    async fn connect(&self, url: &KeySetUrl) -> Result<TcpStream, FetchError> {
        let found = tokio::net::lookup_host((&*url.host, url.port)).await;
        let mut addresses: Vec<SocketAddr> = found.map_err(FetchError::Unreachable)?.collect();
        // "localhost" leads wherever the system's resolver says.
        addresses.retain(|address| url.tls || address.ip().is_loopback());
        let share = self.limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut failure = FetchError::NoAddress(url.host.clone());
        for address in addresses {
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failure = FetchError::Unreachable(error),
                Err(_) => failure = FetchError::Timeout,
            }
        }
        Err(failure)
    }

    async fn handshake(
        &self,
        url: &KeySetUrl,
        stream: TcpStream,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, FetchError> {
        let name = ServerName::try_from(url.host.to_string())
            .map_err(|_| FetchError::NoAddress(url.host.clone()))?;
        let shaken = self.tls.connect(name, stream).await;
        shaken.map_err(FetchError::Unreachable)
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// One request on `stream`, whose body is the answer's.
async fn exchange<S>(stream: S, url: &KeySetUrl) -> Result<Bytes, FetchError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    let asking = async {
        let answer = sender.send_request(url.request()?).await;
        body_of(answer.map_err(FetchError::Http)?).await
    };
    // The connection reports its failures to whoever asks; its own end is no news.
    let driving = async {
        let _ = connection.await;
        std::future::pending::<std::convert::Infallible>().await
    };
    tokio::select! {
        body = asking => body,
        never = driving => match never {},
    }
}

async fn body_of(answer: Response<Incoming>) -> Result<Bytes, FetchError> {
    let status = answer.status();
    if status.is_redirection() {
        return Err(FetchError::Redirect);
    }
    if status != StatusCode::OK {
        return Err(FetchError::Status(status));
    }
    match Limited::new(answer.into_body(), MAX_KEY_SET)
        .collect()
        .await
    {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(FetchError::TooLarge),
        Err(error) => Err(match error.downcast::<hyper::Error>() {
            Ok(error) => FetchError::Http(*error),
            Err(_) => FetchError::Abandoned,
        }),
    }
}

impl KeySetUrl {
    /// Checks `text`.
    pub fn parse(text: &str) -> Result<Self, KeySetUrlError> {
        let uri: Uri = text.parse().map_err(|_| KeySetUrlError::Malformed)?;
        let authority = uri.authority().ok_or(KeySetUrlError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(KeySetUrlError::UserInfo);
        }
        let bracketed = authority.host();
        let host = bracketed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(bracketed);
        if host.is_empty() {
            return Err(KeySetUrlError::Malformed);
        }
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback(host) => false,
            Some("http") => return Err(KeySetUrlError::Plain),
            _ => return Err(KeySetUrlError::Malformed),
        };
        // `Authority::port` takes a port that is none for no port.
        let port = match &authority.as_str()[bracketed.len()..] {
            "" if tls => 443,
            "" => 80,
            text => text
                .trim_start_matches(':')
                .parse()
                .map_err(|_| KeySetUrlError::Malformed)?,
        };
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            tls,
            host: host.into(),
            port,
            authority: authority.as_str().into(),
            target: format!("{slash}{target}").into(),
        })
    }

    /// Whether it is fetched over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, FetchError> {
        Request::get(&*self.target)
            .header(header::HOST, &*self.authority)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Empty::new())
            .map_err(|_| FetchError::NoAddress(self.host.clone()))
    }
}

impl fmt::Display for KeySetUrl {
    /// Without the query, which may hold an API key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl fmt::Debug for KeySetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
