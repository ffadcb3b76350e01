//! Looks at the operator's folder of certificates once a second: what is put there is shown without a restart.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::clock::Clock;
use crate::model::Causes;
use crate::tls::Inventory;

/// Between two looks. Names, times and sizes are compared; files are read only where they differ.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the folder of `inventory` for as long as the node runs.
pub async fn follow(inventory: Arc<Inventory>, clock: Clock) {
    loop {
        sleep(PAUSE).await;
        let (inventory, now) = (Arc::clone(&inventory), clock.now());
        let looked = tokio::task::spawn_blocking(move || inventory.look(now)).await;
        let report = match looked {
            Ok(report) => report,
            Err(error) => {
                tracing::error!(error = %Causes(&error), "reading the certificates ended in a fault");
                continue;
            }
        };
        let Some(report) = report else { continue };
        tracing::info!(
            certificates = report.certificates.len(),
            "the folder of certificates has changed"
        );
        // Once for each change of the files: nothing is read again before the next one.
        for fault in report.faults.iter().filter(|fault| !fault.is_no_folder()) {
            tracing::warn!(error = %Causes(fault), "a certificate is not used");
        }
        if !report.kept.is_empty() {
            let names = report.kept.join(" ");
            tracing::warn!(names, "the last good certificates of these stay in service");
        }
    }
}
