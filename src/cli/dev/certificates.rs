//! A certificate for the tenants of `dev`, from an authority that only this machine may come to trust.

use std::path::PathBuf;

use super::DevError;
use super::folder::Folder;
use crate::cli::sample::BASE_DOMAIN;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::{DomainPattern, Tenant};
use crate::tls::LocalCa;

/// NAME of the certificate in `[tls] directory`.
const NAME: &str = "dev";

/// Makes what is missing or does not fit any more. `None` where nothing is served over TLS; else the authority's certificate.
pub(super) fn issue(
    config: &Config,
    folder: &Folder,
    tenants: &[Tenant],
    now: Timestamp,
) -> Result<Option<PathBuf>, DevError> {
    if config.edge.https.is_empty() {
        return Ok(None);
    }
    let authority = LocalCa::open(&folder.path().join("ca"), now)?;
    authority.issue(&config.tls.directory, NAME, &names(config, tenants), now)?;
    Ok(Some(authority.certificate_path().to_owned()))
}

/// Each name in full: nobody believes a wildcard directly below a top-level name. So a tenant that is made while `dev` is running
/// answers over TLS from the next start on.
fn names(config: &Config, tenants: &[Tenant]) -> Vec<DomainPattern> {
    let tenants = tenants
        .iter()
        .map(|tenant| format!("{}.{BASE_DOMAIN}", tenant.slug));
    let platform = config
        .routing
        .platform_hosts
        .iter()
        .map(|host| host.to_string());
    let ours = |name: &String| name.split('.').next_back() == Some(BASE_DOMAIN);
    tenants
        .chain(platform)
        .chain([BASE_DOMAIN.to_owned()])
        .filter(ours)
        .filter_map(|name| DomainPattern::parse(&name).ok())
        .collect()
}
