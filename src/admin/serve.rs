//! Connections of the admin and metrics listeners: few, short, HTTP/1.1.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::model::Causes;
use crate::shutdown::{Phase, Stopping};

/// What one listener grants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// For one request head, and between two requests.
    pub(super) head: Duration,
    /// After this a connection ends with the answer it is at.
    pub(super) age: Duration,
    /// For that last answer.
    pub(super) last_answer: Duration,
    /// Connections at the same time; more wait to be accepted.
    pub(super) connections: usize,
}

/// Serves `router` until stopping has ended: while a node drains, its operator still wants to know how it fares.
pub async fn serve(listener: TcpListener, router: Router, stopping: Stopping) {
    serve_within(BOUNDS, listener, router, stopping).await;
}

pub(super) async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    router: Router,
    stopping: Stopping,
) {
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    let mut ended = pin!(stopping.reached(Phase::Ended));
    loop {
        let accepted = tokio::select! {
            () = &mut ended => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (router, stopping) = (router.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(bounds, stream, router, stopping).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Most likely out of file descriptors: that passes, and spinning would not help.
                tracing::warn!(%error, "the admin listener could not accept a connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, impl Drop + use<>)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(bounds: Bounds, stream: TcpStream, router: Router, stopping: Stopping) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_headers(MAX_FIELDS)
        .max_header_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = until_end(bounds.age, &stopping) => {
            connection.as_mut().graceful_shutdown();
            timeout(bounds.last_answer, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        tracing::debug!(error = %Causes(&error), "a connection to the admin listener broke");
    }
}

async fn until_end(age: Duration, stopping: &Stopping) {
    tokio::select! {
        () = sleep(age) => {}
        () = stopping.reached(Phase::Ended) => {}
    }
}

const BOUNDS: Bounds = Bounds {
    head: Duration::from_secs(30),
    age: Duration::from_secs(300),
    last_answer: Duration::from_secs(2),
    connections: 256,
};
const MAX_FIELDS: usize = 100;
/// In bytes ("Safe defaults").
const MAX_HEAD: usize = 32 << 10;
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
