//! Opening a connection to one address: TCP, then TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::SendError;
use super::address::{Address, is_own};
use super::wire::Stream;
use crate::runtime::Alarm;

/// An open connection. Dropping it closes it at once, whatever it was doing: a request half sent, an answer nobody wants any more.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// What was read and belongs to nothing yet.
    pub(super) read: BytesMut,
    /// Wakes whoever waits on the connection now. It stays set from one request to the next, so that most of them set no timer.
    pub(super) alarm: Alarm,
}

/// Connects to `address` within `limit`, TLS included, unless it is one of our own `listeners`.
pub(super) async fn open(
    address: &Address,
    listeners: &[SocketAddr],
    limit: Duration,
) -> Result<Box<Connection>, SendError> {
    let stream = tokio::time::timeout(limit, stream(address, listeners))
        .await
        .unwrap_or(Err(SendError::ConnectTimeout(address.socket)))?;
    Ok(Box::new(Connection {
        stream,
        read: BytesMut::new(),
        alarm: Alarm::unset(),
    }))
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
