//! One visitor's handshake, from the ClientHello to the stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::hello::{self, Hello, MAX_HELLO, fatal};
use super::inventory::{Found, Inventory};
use super::load::Certificate;
use super::protocol::in_order_of;
use crate::metrics::Metrics;
use crate::model::Hostname;
use crate::model::certificate::CertificateNames;

/// Handshakes between ClientHello and end at the same time; further ones wait for their turn within their time.
const MAX_HANDSHAKES: usize = 1000;
/// Alert descriptions (RFC 8446 section 6.2).
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;

/// Takes visitors' handshakes.
pub struct TlsAcceptor {
    inventory: Arc<Inventory>,
    metrics: Arc<Metrics>,
    /// That of the handshakes that went well, found once.
    done: IntCounter,
    limit: Duration,
    turns: Semaphore,
}

/// What the handshake settled.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// The name that the visitor asked for.
    pub sni: Option<Hostname>,
    /// The names of the certificate it was shown: a request for another host is misdirected (RFC 9110 section 15.5.20).
    pub names: Arc<CertificateNames>,
    /// Whether HTTP/2 was agreed on.
    pub alpn_h2: bool,
    /// As in `TLSv1_3`.
    pub version: &'static str,
    /// As in `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
}

/// Why there is no stream. Where TLS has an alert for it, the visitor was sent it.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It took longer than allowed in all.
    #[error("the handshake was not over in time")]
    Timeout,
    /// No server name (or an IP address for one), and no default certificate.
    #[error("the visitor named no host")]
    NoName,
    /// A server name with a final dot, or one that is no host name (RFC 6066 section 3).
    #[error("the visitor named an impossible host")]
    IllegalName,
    /// Nobody here has a certificate for the name, and there is no default certificate.
    #[error("there is no certificate for {0}")]
    UnknownName(Hostname),
    /// The certificate for the name is in the store and not in memory, and the store is away or what it holds cannot be used. No
    /// default certificate is shown then: it would be the wrong one.
    #[error("the certificate for {0} cannot be had now")]
    Unavailable(Hostname),
    /// The ClientHello is longer than 16 KiB.
    #[error("the ClientHello is longer than {MAX_HELLO} bytes")]
    HelloTooLong,
    /// What came is not TLS, or cannot be agreed on.
    #[error("no agreement on TLS")]
    Protocol(#[source] rustls::Error),
    /// The connection broke.
    #[error("the connection broke during the handshake")]
    Io(#[source] io::Error),
}

impl HandshakeError {
    /// Every label.
    const LABELS: [&str; 8] = [
        "timeout",
        "no_name",
        "illegal_name",
        "unknown_name",
        "unavailable",
        "hello_too_long",
        "protocol",
        "io",
    ];

    /// The metrics' label.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoName => "no_name",
            Self::IllegalName => "illegal_name",
            Self::UnknownName(_) => "unknown_name",
            Self::Unavailable(_) => "unavailable",
            Self::HelloTooLong => "hello_too_long",
            Self::Protocol(_) => "protocol",
            Self::Io(_) => "io",
        }
    }
}

impl From<io::Error> for HandshakeError {
    /// tokio-rustls hands the library's errors on inside an I/O error, and the socket below has deadlines of its own.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::Timeout;
        }
        match error.downcast::<rustls::Error>() {
            Ok(error) => Self::Protocol(error),
            Err(error) => Self::Io(error),
        }
    }
}

/// Makes every series of handshakes: a scrape before the first one, or of a node that takes none, finds nought, not nothing.
pub(super) fn show_handshakes(metrics: &Metrics) {
    for result in HandshakeError::LABELS.into_iter().chain(["ok"]) {
        metrics.tls_handshakes.with_label_values(&[result]);
    }
}

impl TlsAcceptor {
    /// `limit` is the time for one whole handshake. One acceptor serves all threads of the process.
    pub fn new(inventory: Arc<Inventory>, limit: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            inventory,
            done: metrics.tls_handshakes.with_label_values(&["ok"]),
            metrics,
            limit,
            turns: Semaphore::new(MAX_HANDSHAKES),
        }
    }

    /// The same with another number of handshakes at a time.
    pub fn with_turns(mut self, turns: usize) -> Self {
        self.turns = Semaphore::new(turns);
        self
    }

    /// Shakes hands on `io`, in `limit` at the most, and counts the outcome. When it fails the connection has been closed.
    pub async fn accept<IO>(&self, io: IO) -> Result<(TlsStream<IO>, TlsFacts), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let outcome = timeout(self.limit, self.shake(io))
            .await
            .unwrap_or(Err(HandshakeError::Timeout));
        match &outcome {
            Ok(_) => self.done.inc(),
            Err(error) => self
                .metrics
                .tls_handshakes
                .with_label_values(&[error.as_str()])
                .inc(),
        }
        outcome
    }

    async fn shake<IO>(&self, mut io: IO) -> Result<(TlsStream<IO>, TlsFacts), HandshakeError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = match hello::read(&mut io).await {
            Ok(hello) => hello,
            Err((error, alert)) => {
                refuse(&mut io, &alert).await;
                return Err(error);
            }
        };
        let (certificate, sni) = match self.choose(&hello).await {
            Ok(chosen) => chosen,
            Err(error) => {
                let alert = match error {
                    HandshakeError::Unavailable(_) => INTERNAL_ERROR,
                    _ => UNRECOGNIZED_NAME,
                };
                refuse(&mut io, &fatal(alert)).await;
                return Err(error);
            }
        };
        // From here on it costs: signing, key exchange. A visitor who has sent nothing yet holds up nobody.
        let _turn = self.turns.acquire().await;
        let config = in_order_of(
            &certificate.config,
            hello.accepted.client_hello().cipher_suites(),
        );
        let handshake = StartHandshake::from_parts(hello.accepted, io)
            .into_stream(config)
            .into_fallible();
        match handshake.await {
            Ok(stream) => {
                let facts = facts(&stream, &certificate, sni);
                Ok((stream, facts))
            }
            Err((error, mut io)) => {
                // The alert is out; in good order, so that it arrives.
                let _ = io.shutdown().await;
                Err(error.into())
            }
        }
    }

    async fn choose(
        &self,
        hello: &Hello,
    ) -> Result<(Arc<Certificate>, Option<Hostname>), HandshakeError> {
        let hello_facts = hello.accepted.client_hello();
        let Some(text) = hello_facts.server_name() else {
            let default = self.inventory.default_certificate();
            return Ok((default.ok_or(HandshakeError::NoName)?, None));
        };
        if hello.final_dot {
            return Err(HandshakeError::IllegalName);
        }
        let name = Hostname::parse(text).map_err(|_| HandshakeError::IllegalName)?;
        match self.inventory.find(&name).await {
            Found::Certificate(certificate) => Ok((certificate, Some(name))),
            Found::Absent => match self.inventory.default_certificate() {
                Some(certificate) => Ok((certificate, Some(name))),
                None => Err(HandshakeError::UnknownName(name)),
            },
            Found::Unavailable => Err(HandshakeError::Unavailable(name)),
        }
    }
}

async fn refuse<IO: AsyncWrite + Unpin>(io: &mut IO, alert: &[u8]) {
    // Whoever is not there to hear it needs no answer.
    if io.write_all(alert).await.is_ok() {
        let _ = io.shutdown().await;
    }
}

fn facts<IO>(stream: &TlsStream<IO>, certificate: &Certificate, sni: Option<Hostname>) -> TlsFacts {
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version();
    let suite = connection.negotiated_cipher_suite();
    TlsFacts {
        sni,
        names: Arc::clone(&certificate.names),
        alpn_h2: connection.alpn_protocol() == Some(b"h2"),
        version: version.and_then(|it| it.as_str()).unwrap_or("unknown"),
        cipher: suite
            .and_then(|it| it.suite().as_str())
            .unwrap_or("unknown"),
    }
}
