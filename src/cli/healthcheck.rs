//! `healthcheck`: asks the node that runs with this configuration whether it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use serde::Serialize;

use super::CliError;
use super::output::OutputOption;
use crate::config::Config;

/// Arguments of `healthcheck`.
#[derive(Debug, clap::Args)]
pub(super) struct HealthcheckArguments {
    /// Ask only whether it is alive, not whether it is ready
    #[arg(long)]
    alive: bool,
    /// How long to wait for the answer, in seconds
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    #[command(flatten)]
    output: OutputOption,
}

/// What the node says of itself: one of the two.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    Alive(bool),
    Ready(bool),
}

impl HealthcheckArguments {
    pub(super) fn run(self, config: &Config) -> Result<(), CliError> {
        let address = listener(config)?;
        let path = if self.alive { "/healthz" } else { "/readyz" };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(CliError::Runtime)?;
        let within = Duration::from_secs(self.timeout);
        let asked = async { tokio::time::timeout(within, ask(address, path)).await };
        let status = match runtime.block_on(asked) {
            Ok(Ok(status)) => status,
            Ok(Err(source)) => return Err(CliError::Unreachable { address, source }),
            Err(_) => {
                let what = format!("did not answer within {} s", self.timeout);
                return Err(CliError::Unhealthy { address, what });
            }
        };
        if status.is_success() {
            let said = if self.alive {
                Said::Alive(true)
            } else {
                Said::Ready(true)
            };
            return self.output.print(&said, Said::text);
        }
        let what = format!("answered {status} to {path}");
        Err(CliError::Unhealthy { address, what })
    }
}

impl Said {
    fn text(&self) -> String {
        match self {
            Self::Alive(_) => "alive".to_owned(),
            Self::Ready(_) => "ready".to_owned(),
        }
    }
}

/// Where the node answers about itself, as seen from this machine.
fn listener(config: &Config) -> Result<SocketAddr, CliError> {
    let listen = config.admin.listen.or(config.metrics.listen);
    let Some(mut address) = listen.filter(|address| address.port() != 0) else {
        let what = "neither admin.listen nor metrics.listen says where the node can be asked";
        return Err(CliError::Usage(what.to_owned()));
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

async fn ask(
    address: SocketAddr,
    path: &str,
) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    // What goes wrong with the connection, the answer says too.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.status())
}
