//! `run`: serves until it is told to stop.

use sd_notify::NotifyState;

use super::CliError;
use crate::app::{self, Edge};
use crate::clock::Clock;
use crate::config::Config;

/// Serves with `config` until SIGTERM or SIGINT.
pub(super) fn run(config: &Config) -> Result<(), CliError> {
    app::start_log(&config.log);
    for it in &config.warnings {
        let place = format!("{}:{}", it.source, it.line);
        tracing::warn!(%place, hint = it.hint, "{}", it.reason);
    }
    let edge = Edge::start(config, Clock::system()).map_err(CliError::Start)?;
    let addresses = edge.addresses();
    for address in &addresses.http {
        tracing::info!(%address, "listening for HTTP");
    }
    for address in &addresses.https {
        tracing::info!(%address, "listening for HTTPS");
    }
    if let Some(address) = addresses.admin {
        tracing::info!(%address, "listening for the operator");
    }
    if let Some(address) = addresses.metrics {
        tracing::info!(%address, "listening for scrapers");
    }
    // For `Type=notify`; where nobody listens for it, nothing happens.
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);
    edge.run_until_signal().map_err(CliError::Runtime)
}
