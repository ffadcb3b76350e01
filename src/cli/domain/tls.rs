//! `domain set`: what visitors of a name must bring to a handshake.

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::error::note;
use crate::cli::output::{self, OutputOption};
use crate::config::TlsVersion;
use crate::model::{Causes, DomainPattern};
use crate::store::{ClaimTls, NameTls, NameTlsPatch, Store, StoreError, TenantRef};
use crate::tls::check_client_ca;

/// What is set; what is not named stays.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct SetTls {
    #[arg(value_parser = super::pattern)]
    hostname: DomainPattern,
    /// That of this tenant; else the one that has the name
    #[arg(long)]
    tenant: Option<TenantRef>,
    /// Lowest version spoken with visitors of the name, where that is above the node's own
    #[arg(long, value_name = "VERSION")]
    minimum_tls: Option<Minimum>,
    /// Certificates (PEM) of those who vouch for visitors: only who brings a certificate of theirs is let in
    #[arg(long, value_name = "FILE", value_parser = client_ca, conflicts_with = "no_client_ca")]
    client_ca: Option<String>,
    /// Visitors need bring no certificate any more
    #[arg(long)]
    no_client_ca: bool,
    #[command(flatten)]
    output: OutputOption,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Minimum {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
    /// What the configuration says
    None,
}

#[derive(Serialize)]
struct Set {
    hostname: String,
    #[serde(flatten)]
    demands: Demands,
}

/// What a claim demands, as it is printed.
#[derive(Serialize, Default)]
pub(super) struct Demands {
    minimum_tls: Option<&'static str>,
    client_ca: Option<String>,
}

impl SetTls {
    pub(super) async fn run(self, store: &Store) -> Result<(), CliError> {
        let patch = NameTlsPatch {
            minimum: self.minimum_tls.map(Minimum::version),
            client_ca: match self.no_client_ca {
                true => Some(None),
                false => self.client_ca.map(Some),
            },
        };
        let tenant = self.tenant.as_ref();
        let set = store.set_domain_tls(&self.hostname, tenant, patch).await?;
        self.output.print(&shown(&self.hostname, set), |set| {
            let [minimum, ca] = set.demands.facts();
            output::facts([("hostname", set.hostname.clone()), minimum, ca])
        })
    }
}

fn shown(hostname: &DomainPattern, set: NameTls) -> Set {
    Set {
        hostname: hostname.to_string(),
        demands: set.into(),
    }
}

impl From<NameTls> for Demands {
    fn from(tls: NameTls) -> Self {
        Self {
            minimum_tls: tls.minimum.map(TlsVersion::as_str),
            client_ca: tls.client_ca,
        }
    }
}

impl Demands {
    /// For people, who need not see the certificates themselves.
    pub(super) fn facts(&self) -> [(&'static str, String); 2] {
        let or_not = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let ca = self.client_ca.as_ref().map(|_| "own");
        [
            ("minimum TLS", or_not(self.minimum_tls)),
            ("client CA", or_not(ca)),
        ]
    }
}

/// What visitors of a name must bring now; nothing where nobody has it.
pub(super) async fn demanded(
    store: &Store,
    hostname: &DomainPattern,
) -> Result<NameTls, StoreError> {
    let claims = match store.domain(hostname).await {
        Ok(claims) => claims,
        Err(StoreError::UnknownDomain(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let holder = claims.into_iter().find(|claim| claim.state.is_routed());
    let all = store.domain_tls(hostname).await?;
    let of_holder = |it: &ClaimTls| Some(it.tenant) == holder.as_ref().map(|claim| claim.tenant);
    let tls = all.into_iter().find(of_holder).map(|it| it.tls);
    Ok(tls.unwrap_or_default())
}

/// That a name lets in whom it kept out should not go unnoticed.
pub(super) fn note_what_went(hostname: &DomainPattern, before: &NameTls, after: &NameTls) {
    let ca = before.client_ca.is_some() && after.client_ca.is_none();
    let minimum = before.minimum.is_some() && after.minimum.is_none();
    let what = match (ca, minimum) {
        (true, _) => "needed a certificate of their own",
        (false, true) => "needed a newer TLS than others",
        (false, false) => return,
    };
    note(&format!(
        "visitors of {hostname} {what}, which was the former tenant's wish and does not go with the name; \
         `domain set` demands it again, and `domain move --keep-tls` would have kept it"
    ));
}

impl Minimum {
    fn version(self) -> Option<TlsVersion> {
        match self {
            Self::Tls12 => Some(TlsVersion::Tls12),
            Self::Tls13 => Some(TlsVersion::Tls13),
            Self::None => None,
        }
    }
}

/// The text of a file of certificates that can be used.
fn client_ca(path: &str) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    check_client_ca(&text).map_err(|error| Causes(&error).to_string())?;
    Ok(text)
}
