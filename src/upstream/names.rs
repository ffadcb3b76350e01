//! Keeps the addresses of one host name: looked up at once, again when they expire, kept when a look-up fails.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::dns::Dns;
use crate::model::Causes;

use super::Upstream;
use super::address::Site;

/// Looks the name of `site` up again and again; never ends. `first` is called after the first time, whatever came of it.
pub(super) async fn keep<D: Dns>(
    dns: &D,
    upstream: &Upstream,
    site: &Arc<Site>,
    first: impl FnOnce(),
) {
    let Some(name) = &site.name else { return };
    let mut first = Some(first);
    let mut retry = SHORTEST;
    let mut found_at: Option<Instant> = None;
    loop {
        let pause = match dns.lookup(name).await {
            Ok(resolved) => {
                upstream.set_addresses(site, &resolved.addresses);
                found_at = Some(Instant::now());
                retry = SHORTEST;
                resolved.valid_for.clamp(SHORTEST, LONGEST)
            }
            Err(error) => {
                tracing::warn!(upstream = %upstream.name, error = %Causes(&error), "an endpoint's name was not resolved");
                if found_at.is_some_and(|at| at.elapsed() > STALE) {
                    upstream.set_addresses(site, &[]);
                }
                retry = (retry * 2).min(LONGEST_RETRY);
                retry
            }
        };
        if let Some(first) = first.take() {
            first();
        }
        tokio::time::sleep(pause).await;
    }
}

/// A time to live of zero is not taken at its word.
const SHORTEST: Duration = Duration::from_secs(1);
/// A change is noticed within this time, whatever the records say.
const LONGEST: Duration = Duration::from_secs(60);
/// Between look-ups that fail.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// How long addresses are used while look-ups fail (RFC 8767 section 5 suggests one to three days).
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
