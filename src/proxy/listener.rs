//! Accepting visitors: one socket per data-plane thread and address, all bound before anything is served.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::time::Duration;

use prometheus::IntGauge;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::connection;
use super::open::{Ending, OpenConnection};
use super::spread::{Desk, Passed, Seat};
use super::worker::Worker;
use crate::guard::ConnectionPermit;
use crate::metrics::Metrics;
use crate::shutdown::Phase;

/// Pause after an accept that failed for want of descriptors or memory: trying at once would burn the core and gain nothing.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that the kernel holds ready for us.
const BACKLOG: i32 = 4096;
/// Bytes that the kernel may hold unsent for a visitor before writing has to wait.
const NOT_SENT: u32 = 128 * 1024;

/// What is spoken on a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Kind {
    /// The metrics' and the log's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// An address with one bound socket for each data-plane thread.
#[derive(Debug)]
pub struct Bound {
    /// What is spoken there.
    pub kind: Kind,
    /// The address, with the port that the system chose for 0.
    pub address: SocketAddr,
    /// The sockets.
    pub sockets: Vec<StdListener>,
}

/// Binds `address` once for each of `threads`; the kernel spreads visitors over the sockets (`SO_REUSEPORT`), and the threads even out
/// what is left to chance.
///
/// # Errors
/// The address is in use by a socket of somebody else, may not be used, or is not of this machine.
pub fn bind(address: SocketAddr, kind: Kind, threads: usize) -> io::Result<Bound> {
    let first = socket(address)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..threads {
        sockets.push(socket(address)?);
    }
    Ok(Bound {
        kind,
        address,
        sockets,
    })
}

fn socket(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Both are passed on to accepted connections. Without the first a small answer behind another waits for the visitor's
    // acknowledgement; the second lets a slow visitor show as soon as he falls behind, not after megabytes.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(NOT_SENT)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Bound {
    /// Lets a scrape before the first visitor find nought, not nothing: what appears with a first value has no rate.
    pub fn show(&self, metrics: &Metrics) {
        let listener = self.kind.as_str();
        metrics.open_connections.with_label_values(&[listener]);
        metrics
            .requests
            .with_label_values(&[listener, "none", "2xx", ""]);
    }
}

/// Accepts until draining begins.
pub(super) async fn accept(worker: Rc<Worker>, desk: Desk, listener: TcpListener, kind: Kind) {
    let stopping = worker.shared.stopping.clone();
    let accepting = async {
        loop {
            match listener.accept().await {
                Ok((socket, remote)) => admit(&worker, &desk, socket, remote, kind),
                Err(error) if is_the_visitors(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stopping.reached(Phase::Draining) => {}
    }
    // Whoever got through to the kernel before would find the connection reset.
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((socket, remote)) = listener.accept() {
        let socket = socket.set_nonblocking(true).map(|()| socket);
        if let Ok(socket) = socket.and_then(TcpStream::from_std) {
            admit(&worker, &desk, socket, remote, kind);
        }
    }
}

fn is_the_visitors(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

fn admit(worker: &Rc<Worker>, desk: &Desk, socket: TcpStream, remote: SocketAddr, kind: Kind) {
    // The guard counts those that it turns away.
    let Ok(permit) = worker.shared.guard.connection(remote.ip()) else {
        return;
    };
    let seat = desk.seat();
    if desk.is_own(&seat) {
        return begin(worker, socket, kind, permit, seat);
    }
    let Ok(socket) = socket.into_std() else {
        return;
    };
    let passed = Passed {
        socket,
        kind,
        permit,
        seat,
    };
    if let Err(back) = desk.pass(passed) {
        take_in(worker, back);
    }
}

/// Serves what other threads have accepted and passed on, until draining begins: then they pass on no more.
pub(super) async fn receive(worker: Rc<Worker>, mut inbox: mpsc::Receiver<Passed>) {
    let stopping = worker.shared.stopping.clone();
    let receiving = async {
        while let Some(passed) = inbox.recv().await {
            take_in(&worker, passed);
        }
    };
    tokio::select! {
        () = receiving => {}
        () = stopping.reached(Phase::Draining) => {}
    }
    inbox.close();
    while let Some(passed) = inbox.recv().await {
        take_in(&worker, passed);
    }
}

/// Serves a connection that was accepted elsewhere.
fn take_in(worker: &Rc<Worker>, passed: Passed) {
    let Passed {
        socket,
        kind,
        permit,
        seat,
    } = passed;
    match TcpStream::from_std(socket) {
        Ok(socket) => begin(worker, socket, kind, permit, seat),
        Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
    }
}

fn begin(worker: &Rc<Worker>, socket: TcpStream, kind: Kind, permit: ConnectionPermit, seat: Seat) {
    let place = Place::take(worker, kind, permit, seat);
    // It has room for a handshake and for either protocol: boxed, so that tokio, at its begin and at its end, does not copy it.
    let serving = Box::pin(connection::serve(Rc::clone(worker), socket, kind, place));
    tokio::task::spawn_local(serving);
}

/// What one connection takes up, given back when nothing of it is left: no request, no tunnel.
pub(super) struct Place {
    gauge: IntGauge,
    open: OpenConnection,
    _permit: ConnectionPermit,
    _seat: Seat,
}

impl Place {
    fn take(worker: &Worker, kind: Kind, permit: ConnectionPermit, seat: Seat) -> Self {
        let gauges = &worker.shared.metrics.open_connections;
        let gauge = gauges.with_label_values(&[kind.as_str()]);
        gauge.inc();
        Self {
            gauge,
            open: worker.connections.open(),
            _permit: permit,
            _seat: seat,
        }
    }

    /// Whether the connection is to end.
    pub(super) fn ending(&self) -> &Rc<Ending> {
        self.open.ending()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
