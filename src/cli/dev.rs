//! `dev`: one command to see it work. Makes what is missing in one folder, puts an edge before the sample application, and says
//! where to look.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::app::{self, Addresses, Edge, StartError};
use crate::clock::Clock;
use crate::config::{Config, EndpointHost, TokenKeys, Upstream};
use crate::tls::LocalCaError;

use super::{CliError, output, sample};

mod banner;
mod certificates;
mod folder;
mod tenants;

use banner::Banner;
use folder::Folder;

/// Why `dev` did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A file cannot be made.
    #[error("{path} cannot be made")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An address is somebody else's.
    #[error("{address} cannot be listened at")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The setting that names it.
        setting: &'static str,
        /// The file with the setting.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There are no certificates for this machine.
    #[error("the local certificates cannot be made")]
    LocalCa(#[from] LocalCaError),
    /// The sample application has no thread to run on.
    #[error("the sample application did not start")]
    Sample(#[source] io::Error),
}

impl DevError {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let Self::Listen { setting, file, .. } = self else {
            return None;
        };
        let file = file.display();
        Some(match *setting {
            UPSTREAM_SETTING => format!(
                "the sample application wants to be there; if your own is there already: `vestibule --config {file} run`; \
                 else change `{setting}` in {file}"
            ),
            _ => format!(
                "perhaps another `vestibule dev` is running; another port is set by `{setting}` in {file}"
            ),
        })
    }
}

/// Serves until SIGTERM or SIGINT. Another configuration than its own is refused: it makes tenants.
pub(super) fn run(
    other: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<(), CliError> {
    let clock = Clock::system();
    let folder = Folder::new(folder::PATH);
    if other.is_some_and(|other| other != folder.configuration()) {
        let own = folder.configuration().display();
        let what =
            format!("`dev` makes tenants, and serves with a configuration of its own: {own}");
        return Err(CliError::Usage(what));
    }
    let before = folder.prepare()?;
    let config = Config::load(Some(folder.configuration()), environment)?;
    app::start_log(&config.log);
    let application = Application::of(&config, &folder)?;
    let tenants = tenants::seed(&config)?;
    let authority = certificates::issue(&config, &folder, &tenants, clock.now())?;
    let edge =
        Edge::start(&config, clock.clone()).map_err(|error| taken(error, &config, &folder))?;
    let application = application.start(&config, &edge, &clock)?;
    let banner = Banner {
        addresses: edge.addresses(),
        authority: authority.as_deref(),
        access_log: &config.log.access,
        application: application.is_some(),
        folder: &folder,
        before,
        tenants: &tenants,
    };
    output::raw(banner.text().as_bytes())?;
    edge.run_until_signal().map_err(CliError::Runtime)?;
    if let Some(sample) = application {
        // A panic of its own has been printed.
        let _ = sample.join();
    }
    output::line("Stopped.")
}

/// What stands behind the edge.
enum Application {
    /// The sample, at an address that is ours.
    Sample(std::net::TcpListener),
    /// Whatever the configuration names, which runs somewhere else.
    Own,
}

impl Application {
    /// The sample takes the place of the upstream `default` where that is one plain address of this machine.
    fn of(config: &Config, folder: &Folder) -> Result<Self, DevError> {
        let default = config
            .upstreams
            .iter()
            .find(|upstream| upstream.name == sample::UPSTREAM);
        let Some(address) = default.and_then(loopback) else {
            return Ok(Self::Own);
        };
        let listener = std::net::TcpListener::bind(address);
        listener
            .map(Self::Sample)
            .map_err(|source| DevError::Listen {
                address,
                setting: UPSTREAM_SETTING,
                file: folder.configuration().to_owned(),
                source,
            })
    }

    /// Runs the sample on a thread of its own, which ends with the edge.
    fn start(
        self,
        config: &Config,
        edge: &Edge,
        clock: &Clock,
    ) -> Result<Option<JoinHandle<()>>, DevError> {
        let (Self::Sample(listener), Some(keys)) = (self, keys_address(edge.addresses())) else {
            return Ok(None);
        };
        let url = format!("http://{keys}/.well-known/jwks.json");
        let sessions = sessions(config, clock);
        let stopping = edge.stopping();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(DevError::Sample)?;
        let run = move || runtime.block_on(sample::serve(listener, url, sessions, stopping));
        let thread = std::thread::Builder::new()
            .name("sample".to_owned())
            .spawn(run)
            .map_err(DevError::Sample)?;
        Ok(Some(thread))
    }
}

fn loopback(upstream: &Upstream) -> Option<SocketAddr> {
    match upstream.endpoints.as_slice() {
        [only] if !only.tls => match only.host {
            EndpointHost::Ip(ip) if ip.is_loopback() => Some(SocketAddr::new(ip, only.port)),
            _ => None,
        },
        _ => None,
    }
}

fn keys_address(addresses: &Addresses) -> Option<SocketAddr> {
    addresses.admin.or(addresses.metrics)
}

/// The sample signs people in where the configuration has it as an issuer of tokens.
fn sessions(config: &Config, clock: &Clock) -> Option<sample::Sessions> {
    let issuers = config.routing.tokens.iter();
    issuers
        .filter(|issuer| issuer.issuer == sample::SESSION_ISSUER)
        .find_map(|issuer| match &issuer.keys {
            TokenKeys::Hmac(secret) => Some(sample::Sessions::new(secret, clock.clone())),
            _ => None,
        })
}

/// A listener that cannot be had is the one thing that often goes wrong: says which setting it is.
fn taken(error: StartError, config: &Config, folder: &Folder) -> CliError {
    let StartError::Listen { address, source } = error else {
        return error.into();
    };
    let settings = [
        ("edge.http", config.edge.http.contains(&address)),
        ("edge.https", config.edge.https.contains(&address)),
        ("admin.listen", config.admin.listen == Some(address)),
    ];
    let setting = settings
        .into_iter()
        .find_map(|(name, is)| is.then_some(name))
        .unwrap_or("metrics.listen");
    let file = folder.configuration().to_owned();
    DevError::Listen {
        address,
        setting,
        file,
        source,
    }
    .into()
}

const UPSTREAM_SETTING: &str = "upstream.endpoints";
