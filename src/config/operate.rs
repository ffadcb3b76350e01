//! `[signing]`, `[limits]`, `[admin]`, `[metrics]`, `[log]`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::edge::listener;
use super::item::Item;
use super::notes::Reason;
use super::quantity;
use super::routing::hostname;
use super::section::Section;
use super::storage::file;
use crate::model::{Hostname, Limits};

/// `[signing]`
#[derive(Debug, Clone)]
pub struct Signing {
    /// How assertions are signed.
    pub algorithm: SigningAlgorithm,
    /// `iss` of assertions.
    pub issuer: String,
    /// Time from `iat` to `exp`, at least 40 s.
    pub lifetime: Duration,
    /// Whether the public keys are served on edge hosts too.
    pub publish_on_edge: bool,
}

/// How assertions are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// Ed25519, with keys from the store.
    EdDsa,
    /// HMAC with SHA-256, with each upstream's own secret.
    Hs256,
}

impl SigningAlgorithm {
    /// `alg` of the assertion's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }
}

/// `[limits]`
#[derive(Debug, Clone, Copy)]
pub struct LimitDefaults {
    /// For every tenant whose row does not say otherwise.
    pub tenant: Limits,
    /// Requests in flight on this node, tunnels not counted.
    pub node_in_flight: usize,
    /// Least bytes of a request's body for each second that it is waited for; 0 is none.
    pub body_rate: u64,
    /// Longest request head in bytes.
    pub header: usize,
    /// Connections to this node.
    pub connections: usize,
    /// Connections from one IPv4 address or IPv6 /64.
    pub connections_per_ip: usize,
}

/// `[admin]`
#[derive(Debug, Clone)]
pub struct Admin {
    /// The operator's listener; `None` switches it off.
    pub listen: Option<SocketAddr>,
    /// Names by which it may be called besides `localhost` and addresses.
    pub hostnames: Vec<Hostname>,
}

/// `[metrics]`
#[derive(Debug, Clone)]
pub struct Metrics {
    /// A second listener with health, metrics and public keys only.
    pub listen: Option<SocketAddr>,
    /// Names by which it may be called besides `localhost` and addresses.
    pub hostnames: Vec<Hostname>,
    /// Tenants that have a series of their own; all others share `_other`.
    pub tenant_series: usize,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    /// What is logged besides accesses, as in `info` or `vestibule=debug`.
    pub level: String,
    /// How lines are written.
    pub format: LogFormat,
    /// Where access lines go.
    pub access: AccessLog,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where access lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// To the end of this file.
    File(PathBuf),
}

/// Levels of `[log]`.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl Signing {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let seconds = Duration::from_secs;
        section.get("profile", profile);
        Self {
            algorithm: section.one_of(
                "algorithm",
                SigningAlgorithm::EdDsa,
                &[
                    ("EdDSA", SigningAlgorithm::EdDsa),
                    ("HS256", SigningAlgorithm::Hs256),
                ],
            ),
            issuer: section
                .text("issuer", |text| Ok(text.to_owned()))
                .unwrap_or_else(|| "vestibule".to_owned()),
            // Less than 40 s leaves no time for reuse: an assertion is sent with at least 30 s of life left.
            lifetime: section.duration("lifetime", seconds(60), seconds(40)..=seconds(86_400)),
            publish_on_edge: section.flag("publish_on_edge", true),
        }
    }
}

impl LimitDefaults {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let size =
            |key, default, range| section.get(key, |item| item.size(range)).unwrap_or(default);
        let header = size("header", 32 << 10, (1 << 10)..=(64 << 10));
        Self {
            tenant: Limits {
                requests_per_second: section.number("requests_per_second", 0, 0..=u32::MAX),
                burst: section.number("burst", 0, 0..=u32::MAX),
                in_flight: section.number("in_flight", 0, 0..=u32::MAX),
                body: size("body", 100 << 20, 0..=u64::MAX),
            },
            // What Kestrel asks for.
            body_rate: size("body_rate", 240, 0..=(1 << 30)),
            header: usize::try_from(header).unwrap_or(usize::MAX),
            // "Safe defaults": beyond this, memory for their buffers is what gives way first.
            node_in_flight: section.count("node_in_flight", 10_000, 1..=10_000_000),
            connections: section.count("connections", 50_000, 1..=10_000_000),
            connections_per_ip: section.count("connections_per_ip", 256, 1..=10_000_000),
        }
    }
}

impl Admin {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let public_url = section.text("public_url", |_| Ok(()));
        section.not_yet_where("public_url", public_url.is_some());
        Self {
            listen: match section.has("listen") {
                true => section.get("listen", optional_listener).flatten(),
                false => Some(section.notes.built_in_listener(9900)),
            },
            hostnames: section.get("hostnames", hostnames).unwrap_or_default(),
        }
    }
}

impl Metrics {
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            listen: section.get("listen", optional_listener).flatten(),
            hostnames: section.get("hostnames", hostnames).unwrap_or_default(),
            tenant_series: section.count("tenant_series", 200, 0..=100_000),
        }
    }
}

impl Log {
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            level: section
                .text("level", level)
                .unwrap_or_else(|| "info".to_owned()),
            format: section.one_of(
                "format",
                LogFormat::Json,
                &[("json", LogFormat::Json), ("text", LogFormat::Text)],
            ),
            access: section.text("access", access).unwrap_or(AccessLog::Stdout),
        }
    }
}

fn profile(item: &Item<'_>) -> Option<()> {
    match item.text()? {
        text @ ("message" | "both") => item.refuse(format!("{text:?} is not supported yet")),
        _ => item.one_of(&[("assertion", ())]),
    }
}

fn optional_listener(item: &Item<'_>) -> Option<Option<SocketAddr>> {
    match item.text()? {
        "" => Some(None),
        _ => listener(item).map(Some),
    }
}

/// These name a listener and no tenant's place: they may well be hosts of `[routing]` too.
fn hostnames(item: &Item<'_>) -> Option<Vec<Hostname>> {
    item.list(|item| item.checked(hostname(item.text()?)))
}

/// A level, or several `target=level` with commas between. The filter's own reader takes a misspelt level for a target.
fn level(text: &str) -> Result<String, Reason> {
    for directive in text.split(',').map(str::trim) {
        let (_, level) = directive.rsplit_once('=').unwrap_or(("", directive));
        if !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            let hint = quantity::suggest(level, &LEVELS, "a level is one of ");
            return Err(Reason::with_hint(
                format!("has {level:?}, which is no level"),
                hint,
            ));
        }
    }
    match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("is no filter: {error}").into()),
    }
}

fn access(text: &str) -> Result<AccessLog, Reason> {
    match text {
        "stdout" => Ok(AccessLog::Stdout),
        "off" => Ok(AccessLog::Off),
        path if path.contains('/') || path.contains('.') => file(path).map(AccessLog::File),
        word => {
            let hint = quantity::suggest(
                word,
                &["stdout", "off"],
                "it is a path (with a `/` or `.` in it) or one of ",
            );
            Err(Reason::with_hint("is no place for access lines", hint))
        }
    }
}
