//! One visitor's handshake, from the ClientHello to the stream.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::challenge;
use super::hello::{self, Hello, MAX_HELLO, fatal};
use super::inventory::{Found, Inventory, NamePolicy};
use super::load::Certificate;
use super::protocol::in_order_of;
use crate::metrics::Metrics;
use crate::model::certificate::CertificateNames;
use crate::model::{Causes, Hostname};
use crate::store::ChallengeSource;

/// Handshakes between ClientHello and end at the same time; further ones wait for their turn within their time.
const MAX_HANDSHAKES: usize = 1000;
/// Alert descriptions (RFC 8446 section 6.2).
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// Takes visitors' handshakes.
pub struct TlsAcceptor {
    inventory: Arc<Inventory>,
    metrics: Arc<Metrics>,
    /// That of the handshakes that went well, found once.
    done: IntCounter,
    limit: Duration,
    turns: Semaphore,
    challenges: Option<Arc<dyn ChallengeSource>>,
}

/// What the handshake settled.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// The name that the visitor asked for.
    pub sni: Option<Hostname>,
    /// The names of the certificate it was shown: a request for another host is misdirected (RFC 9110 section 15.5.20).
    pub names: Arc<CertificateNames>,
    /// What it had to bring for that name, where that was more than all must: a request for a host that demands anything else is
    /// misdirected.
    pub policy: Option<Arc<NamePolicy>>,
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
    /// A CA was shown what it came for; nothing is said after that.
    #[error("a CA was shown a challenge")]
    Challenge,
    /// A CA, or who pretends to be one, came for a name that has no open challenge: for it the protocol is not spoken.
    #[error("there is no open challenge for {0}")]
    NoChallenge(Hostname),
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
    const LABELS: [&str; 10] = [
        "timeout",
        "no_name",
        "illegal_name",
        "unknown_name",
        "unavailable",
        "challenge",
        "no_challenge",
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
            Self::Challenge => "challenge",
            Self::NoChallenge(_) => "no_challenge",
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
            challenges: None,
        }
    }

    /// The same, answering CAs with what `challenges` has.
    pub fn answering(mut self, challenges: Arc<dyn ChallengeSource>) -> Self {
        self.challenges = Some(challenges);
        self
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
        if challenge::is_meant(&hello.accepted.client_hello()) {
            // Boxed: hardly any connection has this visit.
            return Err(Box::pin(self.show(hello, io)).await);
        }
        let (certificate, sni) = match self.choose(&hello).await {
            Ok(chosen) => chosen,
            Err(error) => return Err(refused(io, error).await),
        };
        let (config, policy) = match self.demands(&certificate, sni.as_ref()).await {
            Ok(demands) => demands,
            Err(error) => return Err(refused(io, error).await),
        };
        // From here on it costs: signing, key exchange. A visitor who has sent nothing yet holds up nobody.
        let _turn = self.turns.acquire().await;
        let config = in_order_of(&config, hello.accepted.client_hello().cipher_suites());
        let handshake = StartHandshake::from_parts(hello.accepted, io)
            .into_stream(config)
            .into_fallible();
        match handshake.await {
            Ok(stream) => {
                let facts = facts(&stream, &certificate, (sni, policy));
                Ok((stream, facts))
            }
            Err((error, mut io)) => {
                // The alert is out; in good order, so that it arrives.
                let _ = io.shutdown().await;
                Err(error.into())
            }
        }
    }

    /// Shows a CA what it came for, and ends: there is never a stream (RFC 8737 section 4).
    async fn show<IO>(&self, hello: Hello, io: IO) -> HandshakeError
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = match self.challenge(&hello).await {
            Ok(config) => config,
            Err(error) => return refused(io, error).await,
        };
        let _turn = self.turns.acquire().await;
        let handshake = StartHandshake::from_parts(hello.accepted, io).into_stream(config);
        match handshake.into_fallible().await {
            Ok(mut stream) => {
                let _ = stream.shutdown().await;
                HandshakeError::Challenge
            }
            Err((error, mut io)) => {
                let _ = io.shutdown().await;
                error.into()
            }
        }
    }

    /// What is shown to the CA that has sent `hello`. Of several open challenges the latest one: a handshake has room for no more.
    async fn challenge(&self, hello: &Hello) -> Result<Arc<ServerConfig>, HandshakeError> {
        let name = named(hello)?.ok_or(HandshakeError::NoName)?;
        let open = match &self.challenges {
            Some(challenges) => challenges.tls_alpn01(&name).await,
            None => Ok(Vec::new()),
        };
        let open = open.map_err(|error| {
            tracing::debug!(error = %Causes(&error), %name, "open challenges cannot be read");
            HandshakeError::Unavailable(name.clone())
        })?;
        let Some(latest) = open.first() else {
            return Err(HandshakeError::NoChallenge(name));
        };
        challenge::config(&name, latest, self.inventory.protocol()).map_err(|error| {
            tracing::warn!(error = %Causes(&error), %name, "a CA cannot be shown what it came for");
            HandshakeError::Unavailable(name)
        })
    }

    /// How `certificate` is shown to a visitor of `sni`, and what was demanded of him beyond what is of all.
    async fn demands(
        &self,
        certificate: &Arc<Certificate>,
        sni: Option<&Hostname>,
    ) -> Result<(Arc<ServerConfig>, Option<Arc<NamePolicy>>), HandshakeError> {
        let Some(name) = sni else {
            return Ok((Arc::clone(&certificate.config), None));
        };
        let unavailable = || HandshakeError::Unavailable(name.clone());
        let policy = self.inventory.find_policy(name).await;
        match policy.ok_or_else(unavailable)? {
            None => Ok((Arc::clone(&certificate.config), None)),
            Some(policy) => {
                let config = policy.config(certificate).ok_or_else(unavailable)?;
                Ok((config, Some(policy)))
            }
        }
    }

    async fn choose(
        &self,
        hello: &Hello,
    ) -> Result<(Arc<Certificate>, Option<Hostname>), HandshakeError> {
        let Some(name) = named(hello)? else {
            let default = self.inventory.default_certificate();
            return Ok((default.ok_or(HandshakeError::NoName)?, None));
        };
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

/// The name that the visitor asks for, if any.
fn named(hello: &Hello) -> Result<Option<Hostname>, HandshakeError> {
    let facts = hello.accepted.client_hello();
    let Some(text) = facts.server_name() else {
        return Ok(None);
    };
    if hello.final_dot {
        return Err(HandshakeError::IllegalName);
    }
    let name = Hostname::parse(text).map_err(|_| HandshakeError::IllegalName)?;
    Ok(Some(name))
}

/// Tells the visitor of `error`, and hands it on.
async fn refused<IO: AsyncWrite + Unpin>(mut io: IO, error: HandshakeError) -> HandshakeError {
    let alert = match error {
        HandshakeError::Unavailable(_) => INTERNAL_ERROR,
        HandshakeError::NoChallenge(_) => NO_APPLICATION_PROTOCOL,
        _ => UNRECOGNIZED_NAME,
    };
    refuse(&mut io, &fatal(alert)).await;
    error
}

async fn refuse<IO: AsyncWrite + Unpin>(io: &mut IO, alert: &[u8]) {
    // Whoever is not there to hear it needs no answer.
    if io.write_all(alert).await.is_ok() {
        let _ = io.shutdown().await;
    }
}

fn facts<IO>(
    stream: &TlsStream<IO>,
    certificate: &Certificate,
    (sni, policy): (Option<Hostname>, Option<Arc<NamePolicy>>),
) -> TlsFacts {
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version();
    let suite = connection.negotiated_cipher_suite();
    TlsFacts {
        sni,
        policy,
        names: Arc::clone(&certificate.names),
        alpn_h2: connection.alpn_protocol() == Some(b"h2"),
        version: version.and_then(|it| it.as_str()).unwrap_or("unknown"),
        cipher: suite
            .and_then(|it| it.suite().as_str())
            .unwrap_or("unknown"),
    }
}
