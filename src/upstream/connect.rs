//! Opening a connection to one address: TCP, TLS, the codec and the task that drives it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::SendError;
use super::address::{Address, is_own};
use super::outgoing::Outgoing;
use super::wire::{Activity, Stream, Wire};

/// Longest head of an answer in bytes. The codec itself stops at 100 fields.
const MAX_HEAD: usize = 64 * 1024;

/// An open connection. Dropping it closes it at once, whatever it was doing: a request half sent, an answer nobody wants any more.
pub(super) struct Connection<B> {
    pub(super) sender: SendRequest<Outgoing<B>>,
    pub(super) activity: Arc<Activity>,
    driver: Option<JoinHandle<()>>,
}

impl<B> Connection<B> {
    /// Lets the connection go on without us, because another protocol takes it over.
    pub(super) fn detach(mut self) {
        self.activity.begin_tunnel();
        self.driver = None;
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// Connects to `address` within `limit`, TLS included, unless it is one of our own `listeners`.
pub(super) async fn open<B>(
    address: &Address,
    listeners: &[SocketAddr],
    limit: Duration,
) -> Result<Connection<B>, SendError>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = tokio::time::timeout(limit, stream(address, listeners))
        .await
        .unwrap_or(Err(SendError::ConnectTimeout(address.socket)))?;
    let (wire, activity) = Wire::new(stream);
    let shaken = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .handshake(TokioIo::new(wire));
    let (sender, connection) = shaken
        .await
        .map_err(|error| unreachable(address, io::Error::other(error)))?;
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an upstream ended badly");
        }
    });
    Ok(Connection {
        sender,
        activity,
        driver: Some(driver),
    })
}

async fn stream(address: &Address, listeners: &[SocketAddr]) -> Result<Stream, SendError> {
    let target = address.socket;
    if is_own(listeners, target, None) {
        return Err(SendError::Loop(target));
    }
    let tcp = TcpStream::connect(target)
        .await
        .map_err(|source| unreachable(address, source))?;
    let from = tcp.local_addr().ok().map(|from| from.ip());
    if is_own(listeners, target, from) {
        return Err(SendError::Loop(target));
    }
    tcp.set_nodelay(true)
        .map_err(|source| unreachable(address, source))?;
    let Some((config, name)) = &address.site.tls else {
        return Ok(Stream::Plain(tcp));
    };
    let tls = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp);
    let tls = tls.await.map_err(|source| SendError::Tls {
        endpoint: target,
        source,
    })?;
    Ok(Stream::Tls(Box::new(tls)))
}

fn unreachable(address: &Address, source: io::Error) -> SendError {
    SendError::Unreachable {
        endpoint: address.socket,
        source,
    }
}
