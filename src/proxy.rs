//! The visitor's side: connections, requests, answers. `request` tells the story of one request.

use std::cell::Cell;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub mod access_log;
mod asker;
mod body;
mod challenge;
mod connection;
mod failure;
mod fault;
mod find;
mod h1;
mod ids;
mod inbound;
pub mod io;
mod known_hosts;
mod listener;
mod live;
mod local;
mod open;
mod record;
pub mod refusal;
mod request;
mod respond;
mod spread;
mod upgrade;
mod upload;
mod worker;

pub use listener::{Bound, Kind, bind};
pub use spread::{Post, posts};
pub use worker::Shared;

use crate::shutdown::Phase;
use crate::upstream::Pool;
use ids::IdSource;
use known_hosts::KnownHosts;
use live::Live;
use open::Connections;
use worker::{Counters, Worker};

/// Runs one data-plane thread: accepts on its sockets, serves, and returns when everything has ended or time is up.
pub async fn run(
    shared: Arc<Shared>,
    sockets: Vec<(Kind, StdListener)>,
    post: Post,
    seed: [u8; 32],
) {
    let stopping = shared.stopping.clone();
    let worker = Rc::new(Worker {
        signer: shared.signer.thread(),
        pool: Pool::new(&shared.policy.upstreams),
        ids: IdSource::new(StdRng::from_seed(seed)),
        hosts: KnownHosts::default(),
        live: Rc::new(Live::default()),
        counters: Counters::new(&shared.metrics),
        memories: h1::Memories::default(),
        connections: Rc::new(Connections::default()),
        lost: Cell::default(),
        shared,
    });
    let watch = Rc::clone(&worker.live).watch(Arc::clone(&worker.shared.resolver));
    let watching = tokio::task::spawn_local(watch);
    let ending = tokio::task::spawn_local(Rc::clone(&worker.connections).watch(stopping.clone()));
    let Post { desk, inbox } = post;
    let receive = listener::receive(Rc::clone(&worker), inbox);
    let mut accepting = vec![tokio::task::spawn_local(receive)];
    for (kind, socket) in sockets {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => accepting.push(tokio::task::spawn_local(listener::accept(
                Rc::clone(&worker),
                desk.clone(),
                listener,
                kind,
            ))),
            Err(error) => tracing::error!(%error, "a listener could not be taken over"),
        }
    }
    for accepting in accepting {
        let _ = accepting.await;
    }
    tokio::select! {
        () = worker.connections.none_left() => {}
        () = stopping.reached(Phase::Ended) => {}
    }
    watching.abort();
    ending.abort();
}
