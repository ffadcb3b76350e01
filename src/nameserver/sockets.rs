//! Where questions come in: one socket for datagrams and one for connections at each address, on the control plane.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answer::{LONGEST_QUESTION, Step};
use super::shares::{Places, Shares, Source};
use super::{NameServer, Transport};
use crate::shutdown::{Phase, Stopping};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 128;
/// Connections of one source at once; more are closed. Resolvers need one, for what did not fit into a datagram.
const OF_ONE_SOURCE: usize = 16;
/// How long a connection may last, and how many questions it may have: whoever comes by one has been told that an answer is too long
/// for a datagram, and asks again.
const AGE: Duration = Duration::from_secs(5);
const QUESTIONS: usize = 16;
/// Pause after a failure of a socket that nobody can help: trying at once would burn a core.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts to find a port that is free for both.
const ATTEMPTS: usize = 16;

/// Both sockets at one address, bound.
#[derive(Debug)]
pub struct Sockets {
    address: SocketAddr,
    datagrams: std::net::UdpSocket,
    connections: std::net::TcpListener,
}

impl Sockets {
    /// Binds both at `address`; with port 0 the system chooses one for both.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let connections = std::net::TcpListener::bind(address)?;
            let chosen = connections.local_addr()?;
            let datagrams = match std::net::UdpSocket::bind(chosen) {
                // Somebody else has the port that the system chose for connections.
                Err(_) if address.port() == 0 && attempts < ATTEMPTS => continue,
                other => other?,
            };
            connections.set_nonblocking(true)?;
            datagrams.set_nonblocking(true)?;
            return Ok(Self {
                address: chosen,
                datagrams,
                connections,
            });
        }
    }

    /// Where they are, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until stopping has ended: a CA may come for what another node orders while this one drains.
    pub async fn serve(self, server: Arc<NameServer>, stopping: Stopping) -> io::Result<()> {
        let datagrams = UdpSocket::from_std(self.datagrams)?;
        let connections = TcpListener::from_std(self.connections)?;
        tokio::select! {
            () = answer_datagrams(Arc::clone(&server), Arc::new(datagrams)) => {}
            () = answer_connections(server, connections) => {}
            () = stopping.reached(Phase::Ended) => {}
        }
        Ok(())
    }
}

async fn answer_datagrams(server: Arc<NameServer>, socket: Arc<UdpSocket>) {
    let places = Places::new();
    let mut under_way = JoinSet::new();
    let mut buffer = [0; LONGEST_QUESTION + 1];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "a question could not be received");
                sleep(PAUSE).await;
                continue;
            }
        };
        while under_way.try_join_next().is_some() {}
        let Some(question) = buffer.get(..length).filter(|_| from.port() != 0) else {
            continue;
        };
        let step = server.zone.step(question);
        let Step::Look { label, .. } = &step else {
            // Nothing is waited for, so that this costs no task.
            say(&server, step, &socket, from).await;
            continue;
        };
        let likely = server.challenges.had_dns01(label);
        // Without a place it is dropped, as the network might have done: resolvers ask again.
        if let Some(place) = places.take(from.ip(), label, likely) {
            let (server, socket) = (Arc::clone(&server), Arc::clone(&socket));
            under_way.spawn(async move {
                say(&server, step, &socket, from).await;
                drop(place);
            });
        }
    }
}

async fn say(server: &NameServer, step: Step, socket: &UdpSocket, to: SocketAddr) {
    if let Some(answer) = server.finish(step, Transport::Udp).await {
        // Whoever is not there to hear it needs no answer.
        let _ = socket.send_to(&answer, to).await;
    }
}

async fn answer_connections(server: Arc<NameServer>, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let sources = Shares::new(OF_ONE_SOURCE);
    let mut under_way = JoinSet::new();
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        while under_way.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => {
                // Closed at once: who waits behind it may be somebody else.
                let Some(share) = sources.take(Source::of(from.ip())) else {
                    continue;
                };
                let server = Arc::clone(&server);
                under_way.spawn(async move {
                    let _ = timeout(AGE, converse(&server, stream)).await;
                    drop((slot, share));
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// One question after the other, each behind its length (RFC 1035 section 4.2.2).
async fn converse(server: &NameServer, mut stream: TcpStream) -> io::Result<()> {
    let mut question = [0; LONGEST_QUESTION];
    for _ in 0..QUESTIONS {
        let length = usize::from(stream.read_u16().await?);
        let Some(question) = question.get_mut(..length) else {
            break;
        };
        stream.read_exact(question).await?;
        let Some(answer) = server.answer(question, Transport::Tcp).await else {
            break;
        };
        let Ok(length) = u16::try_from(answer.len()) else {
            break;
        };
        // In one piece: some read no more than what comes at first.
        let framed = [length.to_be_bytes().as_slice(), &answer].concat();
        stream.write_all(&framed).await?;
    }
    stream.shutdown().await
}
