//! One visitor with one connection over HTTP/1.1, plain or TLS, who looks at every byte of an answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{CipherSuite, ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::request;
use crate::fault::{Fault, Result, While};

/// Bytes in both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A visitor.
pub(crate) struct Visitor {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
}

/// What a visitor got.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// It was the last one on its connection.
    pub(crate) is_last: bool,
}

/// How visitors speak TLS: anew each time, and as all contenders can: over X25519, since the hybrid groups are not in every library.
/// The other group is only named: OpenSSL shows no certificate with a key of a group that the visitor does not name.
pub(crate) fn tls(authority: &CertificateDer<'static>, alpn: &[&str]) -> Result<TlsConnector> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1];
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Opens a connection from one of the many addresses that loopback has: as from many visitors, not all from one.
pub(crate) async fn connect(to: SocketAddr, visitor: usize) -> Result<TcpStream> {
    let from = Ipv4Addr::new(127, 0, 1, u8::try_from(visitor % 200 + 1).unwrap_or(1));
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = socket
        .connect(to)
        .await
        .when(|| format!("no connection to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Visitor {
    /// Number `visitor` connects; with `tls` it asks for the certificate of the server name.
    pub(crate) async fn arrive(
        to: SocketAddr,
        visitor: usize,
        tls: Option<(&TlsConnector, &str)>,
    ) -> Result<Self> {
        let stream = connect(to, visitor).await?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some((connector, name)) => {
                let name = ServerName::try_from(name.to_owned())?;
                let handshake = connector.connect(name, stream);
                let stream = handshake.await.when(|| "no handshake".to_owned())?;
                let suite = stream.get_ref().1.negotiated_cipher_suite();
                let suite = suite.map(|suite| suite.suite());
                if suite != Some(CipherSuite::TLS13_AES_128_GCM_SHA256) {
                    return Err(Fault::new(format!("{suite:?} was agreed on, not AES-128")));
                }
                Box::new(stream)
            }
        };
        let read = Vec::new();
        Ok(Self { stream, read })
    }

    /// Asks for `path` of `host`.
    pub(crate) async fn ask(&mut self, host: &str, path: &str) -> Result<Answer> {
        self.send(&request(host, path)).await?;
        self.answer().await
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads one answer to its end.
    pub(crate) async fn answer(&mut self) -> Result<Answer> {
        let head = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let text = String::from_utf8_lossy(&self.read[..head]).to_ascii_lowercase();
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find_map(|(key, value)| (key == name).then(|| value.trim().to_owned()))
        };
        let length = field("content-length").and_then(|length| length.parse().ok());
        let (Some(status), Some(length)) = (status, length) else {
            return Err(Fault::wrong_answer(format!(
                "not an answer with a length: {text}"
            )));
        };
        let length: usize = length;
        while self.read.len() < head + length {
            self.more().await?;
        }
        let body = self.read[head..head + length].to_vec();
        self.read.drain(..head + length);
        let is_last = field("connection").as_deref() == Some("close");
        Ok(Answer {
            status,
            body,
            is_last,
        })
    }

    async fn more(&mut self) -> Result<()> {
        // `read_buf` into what there is room for would read a large answer in very many pieces.
        self.read.reserve(64 << 10);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(Fault::wrong_answer(
                "the connection ended in the middle of an answer",
            )),
            _ => Ok(()),
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

impl Answer {
    /// Whether it is what the application said.
    pub(crate) fn expect(&self, body: &[u8], who: &str) -> Result<()> {
        if self.status == 200 && self.body == body {
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&self.body[..self.body.len().min(80)]).into_owned();
        Err(Fault::wrong_answer(format!(
            "{who} answered {} with {} bytes instead of the application's {}: {shown:?}",
            self.status,
            self.body.len(),
            body.len()
        )))
    }
}
