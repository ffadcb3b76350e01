//! All addresses are bound before anything else is done: a node that cannot listen changes nothing.

use std::net::SocketAddr;

use super::{Addresses, StartError};
use crate::config::Config;
use crate::nameserver;
use crate::proxy::{self, Bound, Kind};

/// Every bound socket of a node.
pub(super) struct Sockets {
    /// The visitors'.
    pub(super) edges: Vec<Bound>,
    /// The operator's.
    pub(super) admin: Option<std::net::TcpListener>,
    /// The scrapers'.
    pub(super) metrics: Option<std::net::TcpListener>,
    /// Those of our own zone.
    pub(super) name_server: Vec<nameserver::Sockets>,
}

pub(super) fn bind(config: &Config) -> Result<Sockets, StartError> {
    let edge = |addresses: &[SocketAddr], kind| -> Result<Vec<Bound>, StartError> {
        addresses
            .iter()
            .map(|address| {
                proxy::bind(*address, kind, config.edge.workers).map_err(listen(*address))
            })
            .collect()
    };
    let mut edges = edge(&config.edge.http, Kind::Http)?;
    edges.extend(edge(&config.edge.https, Kind::Https)?);
    let single = |address: Option<SocketAddr>| {
        address
            .map(|address| one(address).map_err(listen(address)))
            .transpose()
    };
    Ok(Sockets {
        edges,
        admin: single(config.admin.listen)?,
        metrics: single(config.metrics.listen)?,
        name_server: name_server(config)?,
    })
}

fn name_server(config: &Config) -> Result<Vec<nameserver::Sockets>, StartError> {
    let addresses = config.acme_dns.iter().flat_map(|it| &it.listen);
    addresses
        .map(|address| nameserver::Sockets::bind(*address).map_err(listen(*address)))
        .collect()
}

fn one(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn listen(address: SocketAddr) -> impl FnOnce(std::io::Error) -> StartError {
    move |source| StartError::Listen { address, source }
}

impl Sockets {
    /// Where all of them are.
    pub(super) fn addresses(&self) -> Addresses {
        let of = |kind| {
            self.edges
                .iter()
                .filter(|bound| bound.kind == kind)
                .map(|bound| bound.address)
                .collect()
        };
        let local = |listener: &Option<std::net::TcpListener>| {
            listener
                .as_ref()
                .and_then(|listener| listener.local_addr().ok())
        };
        Addresses {
            http: of(Kind::Http),
            https: of(Kind::Https),
            admin: local(&self.admin),
            metrics: local(&self.metrics),
            name_server: self.name_server.iter().map(|it| it.address()).collect(),
        }
    }
}
