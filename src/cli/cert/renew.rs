//! `cert renew`: what is written down for a node to do.

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::output::OutputOption;
use crate::config::Config;
use crate::model::DomainPattern;
use crate::store::Store;

#[derive(Serialize)]
struct Due {
    hostname: String,
    stage: &'static str,
}

/// Has a certificate renewed as soon as a node gets to it.
pub(super) async fn run(
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
    output: OutputOption,
) -> Result<(), CliError> {
    if config.acme.is_empty() {
        let what = "no certificate authority is configured: [[acme]] names one";
        return Err(CliError::Usage(what.to_owned()));
    }
    store.renew_certificate(hostname).await?;
    let order = store.order(hostname).await?;
    let due = Due {
        hostname: hostname.to_string(),
        stage: order.map_or("due", |order| order.stage.as_str()),
    };
    output.print(&due, |due| match due.stage {
        "placing" | "placed" => format!("an order for {} is under way", due.hostname),
        _ => format!(
            "a certificate for {} is ordered as soon as a node that runs gets to it",
            due.hostname
        ),
    })
}
