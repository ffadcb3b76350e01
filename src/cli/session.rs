//! A command's session with the store: opened, used, closed.

use crate::clock::Clock;
use crate::config::Config;
use crate::store::{Access, Store};

use super::CliError;

/// Runs `work` on the store of `config`. It holds one connection and acts in the name of whoever typed the command.
pub(super) fn with_store<T>(
    config: &Config,
    access: Access,
    work: impl AsyncFnOnce(&Store) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    runtime.block_on(async {
        let store = Store::open(&config.store, access, Clock::system(), None).await?;
        let store = store
            .acting_as(&operator())
            .with_slug_cooloff(config.domains.slug_cooloff);
        let result = work(&store).await;
        store.close().await;
        result
    })
}

/// Who is at the keyboard, for the audit.
fn operator() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    format!("cli:{}", user.as_deref().unwrap_or("unknown"))
}
