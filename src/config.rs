//! Settings, checked: what the configuration means.
//!
//! What was typed is `config/raw.rs`, from the file and the environment by `config/source.rs`. Each section's file holds what
//! it means and, below, how it is read; `config/parse.rs` reads them all and judges what concerns several. Every fault found
//! on the way is in one report, [`Faults`]. Files that settings name are read here; nothing touches the network.

use std::path::Path;

mod domains;
mod edge;
mod fault;
mod item;
mod names;
mod notes;
mod operate;
mod parse;
mod quantity;
mod raw;
mod redact;
mod routing;
mod secret_file;
mod section;
mod shadow;
mod source;
mod storage;
mod token;
mod upstream;

pub use domains::{AcmeDns, AcmeIssuer, AcmeLimits, CertificateKey, Domains, ExternalAccount};
pub use edge::{Edge, EdgeTimeouts, Tls, TlsVersion};
pub use fault::{Fault, Faults};
pub use operate::{
    AccessLog, Admin, LimitDefaults, Log, LogFormat, Metrics, Signing, SigningAlgorithm,
};
pub use routing::{ForeignTokens, PathPrefix, PathRoute, Routing};
pub use shadow::{Shadow, Shadowed};
pub use storage::{Cache, SecretText, Store, StoreUrl};
pub use token::{Jwks, TokenAlgorithm, TokenIssuer, TokenKeys};
pub use upstream::{Balance, Endpoint, EndpointHost, HostPolicy, Upstream, UpstreamTimeouts};

/// Read where no file is named and it exists.
pub const DEFAULT_FILE: &str = "vestibule.toml";

/// Everything that can be set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listeners and what they believe.
    pub edge: Edge,
    /// Certificates and TLS versions.
    pub tls: Tls,
    /// The routing database.
    pub store: Store,
    /// How requests find their tenant.
    pub routing: Routing,
    /// Paths that go to an upstream of their own, longest first.
    pub routes: Vec<PathRoute>,
    /// What is remembered of the routing database.
    pub cache: Cache,
    /// The assertion.
    pub signing: Signing,
    /// The application servers.
    pub upstreams: Vec<Upstream>,
    /// What every tenant may use unless its row says otherwise, and what the node admits.
    pub limits: LimitDefaults,
    /// Customers' own names.
    pub domains: Domains,
    /// Certificate authorities, the preferred one first.
    pub acme: Vec<AcmeIssuer>,
    /// The name server of delegated `_acme-challenge` names.
    pub acme_dns: Option<AcmeDns>,
    /// The operator's listener.
    pub admin: Admin,
    /// The second listener for scrapers.
    pub metrics: Metrics,
    /// Logs.
    pub log: Log,
    /// What is allowed and most likely not meant.
    pub warnings: Vec<Fault>,
}

impl Config {
    /// Reads `path`, or [`DEFAULT_FILE`] if there is one, or nothing but what is built in; `env` lies over it.
    ///
    /// Relative paths in it are relative to the working directory.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let (text, origin) = read_file(path)?;
        Self::parse(&text, &origin, env)
    }

    /// As [`Config::load`], and where there are faults with what could be read besides: for whoever wants to know all that is wrong
    /// and starts nothing. Nothing at all where the file cannot be read.
    pub fn examine(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> (Option<Self>, Option<Faults>) {
        match read_file(path) {
            Ok((text, origin)) => {
                let (config, faults) = parse::examine(&text, &origin, env);
                (Some(config), faults)
            }
            Err(faults) => (None, Some(faults)),
        }
    }

    /// Reads `text`, called `origin` in faults, with `env` over it.
    pub fn parse(
        text: &str,
        origin: &str,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        parse::parse(text, origin, env)
    }
}

/// The file's text, and what it is called in faults.
fn read_file(path: Option<&Path>) -> Result<(String, String), Faults> {
    let named = path.unwrap_or(Path::new(DEFAULT_FILE));
    let origin = named.display().to_string();
    match std::fs::read_to_string(named) {
        Ok(text) => Ok((text, origin)),
        Err(error) if path.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok((String::new(), "built-in defaults".to_owned()))
        }
        Err(error) => Err(Faults::unreadable(
            &origin,
            format!("the configuration cannot be read: {error}"),
            "name another file with --config",
        )),
    }
}

/// A text that is no size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it as 32KiB, 100MiB, 1GiB, or as a number of bytes")]
pub struct SizeError;

/// Reads a size in bytes as settings have it, such as `100MiB`.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    quantity::size(text).map_err(|_| SizeError)
}

#[cfg(test)]
mod tests;
