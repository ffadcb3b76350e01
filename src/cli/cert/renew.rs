//! `cert renew`: what is written down for a node to do.

use serde::Serialize;

use super::waits::Waits;
use crate::cli::CliError;
use crate::cli::output::OutputOption;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{DomainPattern, DomainState};
use crate::store::{OrderStage, Store, StoreError};

#[derive(Serialize)]
struct Due {
    hostname: String,
    stage: &'static str,
    /// What the order has to wait for, and until when.
    waits_for: Option<String>,
    waits_until: Option<i64>,
}

/// Has a certificate renewed as soon as a node gets to it.
pub(super) async fn run(
    config: &Config,
    store: &Store,
    hostname: &DomainPattern,
    (output, now): (OutputOption, Timestamp),
) -> Result<(), CliError> {
    if let Some(why) = nobody_orders(config, hostname) {
        return Err(CliError::Usage(why));
    }
    match store.renew_certificate(hostname).await {
        Err(StoreError::NotOrdered(_)) => return Err(not_ordered(store, hostname).await?),
        renewed => renewed?,
    }
    let order = store.order(hostname).await?;
    let waits = match &order {
        Some(order) if matches!(order.stage, OrderStage::Due | OrderStage::Kept) => {
            Waits::to_come(config, store, order, now).await?
        }
        _ => None,
    };
    let words = waits.as_ref().map(Waits::in_words);
    let due = Due {
        hostname: hostname.to_string(),
        stage: order.map_or("due", |order| order.stage.as_str()),
        waits_until: waits.as_ref().map(|it| it.until),
        waits_for: waits.map(|it| it.why),
    };
    output.print(&due, |due| match (due.stage, words) {
        ("placing" | "placed", _) => format!("an order for {} is under way", due.hostname),
        (_, Some(words)) => format!(
            "a certificate for {} is ordered, but not before {words}",
            due.hostname
        ),
        (_, None) => format!(
            "a certificate for {} is ordered as soon as a node that runs gets to it and finds the name ready",
            due.hostname
        ),
    })
}

/// Why nobody orders the certificate: most often the name is claimed and not, or no more, proved.
async fn not_ordered(store: &Store, hostname: &DomainPattern) -> Result<CliError, CliError> {
    let claims = match store.domain(hostname).await {
        Err(StoreError::UnknownDomain(_)) => Vec::new(),
        claims => claims?,
    };
    let unproved = |state| matches!(state, DomainState::Pending | DomainState::Lapsed);
    let waits = claims.iter().find(|claim| unproved(claim.state));
    let held = claims.iter().any(|claim| claim.state.holds());
    let pattern = hostname.clone();
    Ok(match waits.filter(|_| !held) {
        Some(claim) => StoreError::Unproved {
            pattern,
            state: claim.state,
        },
        None => StoreError::NotOrdered(pattern),
    }
    .into())
}

/// Why no node of this configuration will ever order the certificate. Whether somebody wants one is asked of the store.
fn nobody_orders(config: &Config, hostname: &DomainPattern) -> Option<String> {
    if config.acme.is_empty() {
        return Some("no certificate authority is configured: [[acme]] names one".to_owned());
    }
    if config.edge.https.is_empty() {
        return Some("nothing is ordered where `edge.https` is empty".to_owned());
    }
    let left_out = config.tls.not_ordered.contains(hostname);
    left_out.then(|| format!("nothing is ordered for {hostname}: `tls.not_ordered` has it"))
}
