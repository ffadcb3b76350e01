//! `[edge]` and `[tls]`: what visitors connect to.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::item::Item;
use super::notes::Reason;
use super::section::Section;
use crate::model::DomainPattern;

/// `[edge]`
#[derive(Debug, Clone)]
pub struct Edge {
    /// Plain listeners.
    pub http: Vec<SocketAddr>,
    /// TLS listeners.
    pub https: Vec<SocketAddr>,
    /// Whether plain requests for names that can be served over TLS are sent there.
    pub redirect_https: bool,
    /// The port that visitors reach the TLS listeners at.
    pub public_https_port: u16,
    /// Data-plane threads, at least 1.
    pub workers: usize,
    /// This node's name in a fleet.
    pub node: String,
    /// The path answered 200 or 503 for any host before everything else.
    pub probe_path: Option<String>,
    /// Whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Times on visitors' connections.
    pub timeouts: EdgeTimeouts,
}

/// `[edge.timeouts]`
#[derive(Debug, Clone, Copy)]
pub struct EdgeTimeouts {
    /// For the TLS handshake, for the first byte, and for one request head, each in all.
    pub head: Duration,
    /// Between two reads of a request body.
    pub body: Duration,
    /// Between two requests on a connection.
    pub idle: Duration,
    /// Without progress while the visitor is being written to.
    pub write: Duration,
    /// Without a byte in either direction on an upgraded connection.
    pub tunnel: Duration,
    /// How long a stopping node goes on accepting while it says that it is not ready.
    pub shutdown_wait: Duration,
    /// How long requests in flight may take after that.
    pub shutdown_drain: Duration,
}

/// `[tls]`
#[derive(Debug, Clone)]
pub struct Tls {
    /// Folder of `NAME.crt` + `NAME.key`.
    pub directory: PathBuf,
    /// NAME served where no SNI matches.
    pub default: Option<String>,
    /// Lowest version spoken.
    pub minimum: TlsVersion,
    /// Bytes that certificates loaded from the store may take in memory, roughly.
    pub memory: u64,
    /// Names of the operator's own that no certificate is ordered for.
    pub not_ordered: Vec<DomainPattern>,
}

/// A TLS version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

impl TlsVersion {
    /// The version's name in the configuration and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    /// The version called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Tls12, Self::Tls13];
        all.into_iter().find(|version| version.as_str() == name)
    }
}

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;
/// More data-plane threads than any machine has use for.
const MAX_WORKERS: u32 = 1024;

impl Edge {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let edge = Self {
            http: http_listeners(section),
            https: section.get("https", listeners).unwrap_or_default(),
            redirect_https: section.flag("redirect_https", true),
            public_https_port: section.number("public_https_port", 443, 1..=u16::MAX),
            workers: workers(section),
            node: section.text("node", node_name).unwrap_or_else(host_name),
            probe_path: section.text("probe_path", probe_path),
            trusted_proxies: networks(section, "trusted_proxies"),
            timeouts: section.sub("timeouts", EdgeTimeouts::read),
        };
        let proxy_protocol = section.flag("proxy_protocol", false);
        section.not_yet_where("proxy_protocol", proxy_protocol);
        let none = |key| section.get(key, |item| Some(item.is_empty()));
        if none("http") == Some(true) && none("https") != Some(false) {
            let what = "there is nothing to listen on: `edge.http` and `edge.https` are both empty";
            section.flaw(section.place_of("http"), what);
        }
        edge
    }
}

impl EdgeTimeouts {
    fn read(section: &Section<'_>) -> Self {
        let least = Duration::from_millis(1);
        let time = |key, seconds| section.duration(key, SECOND * seconds, least..=DAY);
        let maybe = |key, seconds| section.duration(key, SECOND * seconds, Duration::ZERO..=DAY);
        Self {
            head: time("head", 10),
            body: time("body", 30),
            idle: time("idle", 60),
            write: time("write", 60),
            tunnel: time("tunnel", 300),
            shutdown_wait: maybe("shutdown_wait", 5),
            shutdown_drain: maybe("shutdown_drain", 30),
        }
    }
}

impl Tls {
    /// `needed`: there is a TLS listener.
    pub(super) fn read(section: &Section<'_>, needed: bool) -> Self {
        let directory = section.get("directory", |item| Some(item.text()?.to_owned()));
        let tls = Self {
            directory: PathBuf::from(directory.unwrap_or_else(|| "certs".to_owned())),
            default: section.text("default", certificate_name),
            minimum: section.one_of(
                "minimum",
                TlsVersion::Tls12,
                &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)],
            ),
            memory: section
                .get("memory", |item| item.size(MIB..=1 << 40))
                .unwrap_or(128 * MIB),
            not_ordered: section.get("not_ordered", patterns).unwrap_or_default(),
        };
        if needed && section.has("directory") {
            tls.look_for_directory(section);
        }
        tls
    }

    /// Whether there is such a folder. Whether one that is not there may be missing is judged when all has been read.
    fn look_for_directory(&self, section: &Section<'_>) {
        let (directory, place) = (&self.directory, section.place_of("directory"));
        if directory.is_dir() {
            return;
        }
        if !directory.exists() {
            *section.notes.no_directory.borrow_mut() = Some(place);
            return;
        }
        let what = format!("`tls.directory` {directory:?} is no folder");
        let hint =
            "name a folder that holds NAME.crt and NAME.key for each certificate, or leave it out";
        section.flaw(place, Reason::with_hint(what, hint));
    }
}

fn http_listeners(section: &Section<'_>) -> Vec<SocketAddr> {
    match section.has("http") {
        true => section.get("http", listeners).unwrap_or_default(),
        false => vec![section.notes.built_in_listener(8080)],
    }
}

fn listeners(item: &Item<'_>) -> Option<Vec<SocketAddr>> {
    item.list(listener)
}

/// An address to listen on, noted so that two that clash are found.
pub(super) fn listener(item: &Item<'_>) -> Option<SocketAddr> {
    let address = item.checked(socket_address(item.text()?))?;
    item.notes
        .listeners
        .borrow_mut()
        .push((address, Some(item.place())));
    Some(address)
}

fn socket_address(text: &str) -> Result<SocketAddr, Reason> {
    text.parse().map_err(|_| {
        let what = "is no address to listen on";
        Reason::with_hint(
            what,
            "write an IP address and a port: \"127.0.0.1:8080\", \"0.0.0.0:80\" or \"[::]:80\"",
        )
    })
}

fn workers(section: &Section<'_>) -> usize {
    match section.count("workers", 0, 0..=MAX_WORKERS) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

fn node_name(text: &str) -> Result<String, Reason> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if text.len() <= 253 && text.chars().all(fits) {
        return Ok(text.to_owned());
    }
    Err("may have letters, digits, `.`, `-` and `_` only, at most 253".into())
}

/// What the system calls itself, where it says so.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    node_name(name.trim())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

fn probe_path(text: &str) -> Result<String, Reason> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    if text.starts_with('/') && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    let what = "is no path";
    Err(Reason::with_hint(
        what,
        "it starts with `/` and has no query: \"/-/healthy\"",
    ))
}

/// Names, or all one label below a name; whose they are is judged when all has been read.
fn patterns(item: &Item<'_>) -> Option<Vec<DomainPattern>> {
    item.set(|item| {
        let pattern = DomainPattern::parse(item.text()?)
            .map_err(|error| Reason::from(format!("is no host name: {error}")));
        let pattern = item.checked(pattern)?;
        let noted = (pattern.clone(), item.place());
        item.notes.not_ordered.borrow_mut().push(noted);
        Some(pattern)
    })
}

/// A list of networks.
pub(super) fn networks(section: &Section<'_>, key: &'static str) -> Vec<IpNet> {
    section
        .get(key, |item| item.texts(network))
        .unwrap_or_default()
}

/// A network; a bare address is a network of one.
fn network(text: &str) -> Result<IpNet, Reason> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        Reason::with_hint(
            "is no network",
            "write it as \"10.0.0.0/8\" or \"2001:db8::/32\"",
        )
    })?;
    if network.trunc() != network {
        let hint = format!("did you mean \"{}\"?", network.trunc());
        return Err(Reason::with_hint(
            "has address bits behind its prefix",
            hint,
        ));
    }
    Ok(network)
}

fn certificate_name(text: &str) -> Result<String, Reason> {
    if text.contains(['/', '\0']) || text.starts_with('.') {
        let hint = "NAME for NAME.crt and NAME.key in `tls.directory`";
        return Err(Reason::with_hint(
            "is a file's name without its ending",
            hint,
        ));
    }
    Ok(text.to_owned())
}
