//! `[[upstream]]`: the application servers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::item::Item;
use super::notes::Reason;
use super::routing::hostname;
use super::secret_file::{self, MIN_HMAC_KEY};
use super::section::Section;
use crate::model::{Hostname, Secret};

/// Idle connections kept by default: what a dozen visitors over HTTP/2 can have under way at once. Whatever is above it is connected
/// anew each time, at twice the price of a request; an idle connection is a socket and little else, and goes with `keep_alive`.
const IDLE_CONNECTIONS: usize = 1024;

/// `[[upstream]]`
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Where it answers; at least one.
    pub endpoints: Vec<Endpoint>,
    /// How one of several is chosen.
    pub balance: Balance,
    /// The `Host` it is sent.
    pub host: HostPolicy,
    /// Times on its connections.
    pub timeouts: UpstreamTimeouts,
    /// Idle connections kept to one endpoint by one data-plane thread.
    pub idle_connections: usize,
    /// The secret of its assertions under HS256.
    pub hmac_secret: Option<Secret>,
    /// A file of CA certificates to trust besides the system's for `https`.
    pub ca_file: Option<PathBuf>,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// A host name or an IP address.
    pub host: EndpointHost,
    /// The port.
    pub port: u16,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointHost {
    /// A name that is resolved again and again.
    Name(Hostname),
    /// An address.
    Ip(IpAddr),
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two drawn by chance.
    PowerOfTwo,
    /// One after the other.
    RoundRobin,
}

/// The `Host` that an upstream is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPolicy {
    /// The visitor's: canonical hostname, with the port the visitor sent.
    Preserve,
    /// The endpoint's own.
    Endpoint,
    /// This name.
    Name(Hostname),
}

/// `[upstream.timeouts]`
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// From the end of the request head to the first byte of the answer.
    pub response: Duration,
    /// Between two reads of an answer's body, and between two writes of the request's.
    pub idle: Duration,
    /// How long an unused connection is kept.
    pub keep_alive: Duration,
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);
/// Ports of SSH and mail: no application answers there, and a request sent there may be taken for something else.
const FORBIDDEN_PORTS: [u16; 4] = [22, 25, 465, 587];
/// Where cloud machines ask for their credentials.
const METADATA: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Upstream {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let name = section.need("name", |item| item.checked(name(item.text()?)));
        let endpoints = section.need("endpoints", endpoints);
        for key in ["health", "retry"] {
            section.not_yet(key);
        }
        Self {
            name: name.unwrap_or_default(),
            endpoints: endpoints.unwrap_or_default(),
            balance: section
                .get("balance", balance)
                .unwrap_or(Balance::PowerOfTwo),
            host: section
                .text("host", host_policy)
                .unwrap_or(HostPolicy::Preserve),
            timeouts: section.sub("timeouts", UpstreamTimeouts::read),
            idle_connections: section.count("idle_connections", IDLE_CONNECTIONS, 0..=100_000),
            hmac_secret: section.text("hmac_secret_file", |path| {
                secret_file::read(path, MIN_HMAC_KEY)
            }),
            ca_file: section.text("ca_file", secret_file::present),
        }
    }

    /// What there is where no upstream is configured.
    pub(super) fn built_in() -> Self {
        Self {
            name: "default".to_owned(),
            endpoints: vec![Endpoint {
                tls: false,
                host: EndpointHost::Ip(Ipv4Addr::LOCALHOST.into()),
                port: 3000,
            }],
            balance: Balance::PowerOfTwo,
            host: HostPolicy::Preserve,
            timeouts: UpstreamTimeouts::default(),
            idle_connections: IDLE_CONNECTIONS,
            hmac_secret: None,
            ca_file: None,
        }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: SECOND * 5,
            response: SECOND * 60,
            idle: SECOND * 60,
            keep_alive: SECOND * 30,
        }
    }
}

impl UpstreamTimeouts {
    fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let time = |key, default| section.duration(key, default, MILLISECOND..=DAY);
        Self {
            connect: time("connect", default.connect),
            response: time("response", default.response),
            idle: time("idle", default.idle),
            keep_alive: time("keep_alive", default.keep_alive),
        }
    }
}

impl Endpoint {
    /// Reads `http://host[:port]` or `https://host[:port]`; nothing may stand before the host or behind the port.
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let (tls, rest) = scheme(text)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err("may not hold a user name or password".into());
        }
        if authority.contains(['/', '?', '#']) {
            let hint = "requests keep the path that the visitor asked for";
            return Err(Reason::with_hint(
                "is an address without path and query",
                hint,
            ));
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(port) => endpoint_port(port)?,
            None if tls => 443,
            None => 80,
        };
        Ok(Self {
            tls,
            host: endpoint_host(host)?,
            port,
        })
    }
}

fn endpoints(item: &Item<'_>) -> Option<Vec<Endpoint>> {
    let endpoints = item.set(|item| {
        let endpoint = item.checked(Endpoint::parse(item.text()?))?;
        if let EndpointHost::Ip(address) = endpoint.host {
            let target = (SocketAddr::new(address, endpoint.port), item.place());
            item.notes.targets.borrow_mut().push(target);
        }
        Some(endpoint)
    })?;
    match item.is_empty() {
        true => item.refuse("is empty"),
        false => Some(endpoints),
    }
}

fn scheme(text: &str) -> Result<(bool, &str), Reason> {
    let hint = "such as \"http://127.0.0.1:3000\" or \"https://app.internal\"";
    match text.split_once("://") {
        Some(("http", rest)) => Ok((false, rest)),
        Some(("https", rest)) => Ok((true, rest)),
        Some(("h2c", _)) => Err(Reason::with_hint(
            "is HTTP/2 without TLS, which is not supported yet",
            "write http:// for HTTP/1.1",
        )),
        _ if text.starts_with("unix:") || text.starts_with("file:") => {
            Err(Reason::with_hint("must be http or https over TCP", hint))
        }
        _ => Err(Reason::with_hint("is no http or https address", hint)),
    }
}

/// Cuts the port off; the colons of an IPv6 literal are its own.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), Reason> {
    let after_literal = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[after_literal..].find(':') {
        None => Ok((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at(after_literal + colon);
            Ok((host, Some(&port[1..])))
        }
    }
}

fn endpoint_port(text: &str) -> Result<u16, Reason> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if FORBIDDEN_PORTS.contains(&port) => {
            Err(format!("may not be at port {port}, which belongs to another protocol").into())
        }
        Ok(port) if digits && port != 0 => Ok(port),
        _ => Err("has a port that is no number from 1 to 65535".into()),
    }
}

fn endpoint_host(text: &str) -> Result<EndpointHost, Reason> {
    let literal = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address: Option<IpAddr> = match literal {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    };
    let Some(address) = address else {
        return hostname(text).map(EndpointHost::Name);
    };
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err("is an address that nobody can answer at".into());
    }
    if METADATA.contains(&address) {
        return Err("is where a cloud machine asks for its credentials".into());
    }
    Ok(EndpointHost::Ip(address))
}

/// An upstream's name goes into the assertion's `aud` and into metrics.
fn name(text: &str) -> Result<String, Reason> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("has 1 to 64 letters, digits, `-`, `_` and `.`".into())
}

fn balance(item: &Item<'_>) -> Option<Balance> {
    if item.text()? == "hash" {
        return item.refuse("\"hash\" is not supported yet");
    }
    item.one_of(&[
        ("p2c", Balance::PowerOfTwo),
        ("round_robin", Balance::RoundRobin),
    ])
}

fn host_policy(text: &str) -> Result<HostPolicy, Reason> {
    match text {
        "preserve" => Ok(HostPolicy::Preserve),
        "endpoint" => Ok(HostPolicy::Endpoint),
        name => hostname(name).map(HostPolicy::Name),
    }
}
