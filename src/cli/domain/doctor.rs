//! `domain doctor`: all that can be said of a name, and whether anything is to be fixed. Changes nothing.

use serde::Serialize;

use super::{certificate, look, own, show};
use crate::cli::CliError;
use crate::cli::cert::waits::Waits;
use crate::cli::output::OutputOption;
use crate::config::Config;
use crate::model::{Check, CheckCode, DomainPattern, DomainState, Slug, TenantId};
use crate::store::{CertificateOrder, Domain, Store, TenantRef};
use crate::tasks::domains::{self as looks, NameWatch};

/// What is to be fixed of one claim.
#[derive(Serialize)]
struct Findings {
    hostname: String,
    /// Nobody's where it is the operator's own.
    tenant: Option<TenantId>,
    tenant_slug: Option<Slug>,
    state: Option<DomainState>,
    checks: Vec<Check>,
}

/// Of every claim of the name, or that of one tenant.
pub(super) async fn run(
    config: &Config,
    store: &Store,
    (hostname, tenant): (&DomainPattern, Option<&TenantRef>),
    output: OutputOption,
) -> Result<(), CliError> {
    let mut watch = look::watch(config, store).await?;
    look::ask_identities(config, &mut watch).await;
    let order = store.order(hostname).await?;
    let order = order.as_ref();
    let waits = Waits::of(config, store, order, watch.clock.now()).await?;
    let waits = waits.as_ref();
    let mut findings = Vec::new();
    if tenant.is_none() && own::is_own(config, hostname) {
        findings.push(Findings {
            hostname: hostname.to_string(),
            tenant: None,
            tenant_slug: None,
            state: None,
            checks: own::look(config, store, &watch, hostname, (order, waits)).await?,
        });
    } else {
        for due in look::claims(store, hostname, tenant).await? {
            findings.push(of_claim(&watch, due.claim, (order, waits)).await);
        }
    }
    output.print(&findings, |findings| {
        let counts = |it| !is_beside_the_point(findings, it);
        let each = findings.iter().map(|it| it.people(counts(it)));
        each.collect::<Vec<_>>().join("\n\n")
    })?;
    match to_fix(&findings) {
        0 => Ok(()),
        count => Err(CliError::Unwell {
            hostname: hostname.clone(),
            count,
        }),
    }
}

async fn of_claim(
    watch: &NameWatch,
    claim: Domain,
    (order, waits): (Option<&CertificateOrder>, Option<&Waits>),
) -> Findings {
    let mut checks = watch.doctor(&claim).await;
    // What only the store knows of was written down when the name was last looked at.
    let kept = claim.checks.iter().filter(|it| looks::is_of_the_store(it));
    let (stands, kept): (Vec<Check>, Vec<Check>) = kept
        .cloned()
        .partition(|it| it.code == CheckCode::Certificate);
    checks.extend(kept);
    // Certificates are ordered for who has the name.
    let order = order.filter(|_| claim.state.holds());
    certificate::add(&mut checks, stands.into_iter().next(), order);
    if let Some(waits) = waits.filter(|_| claim.state.holds()) {
        waits.tell(&mut checks, watch.clock.now());
    }
    Findings {
        hostname: claim.pattern.to_string(),
        tenant: Some(claim.tenant),
        tenant_slug: Some(claim.tenant_slug),
        state: Some(claim.state),
        checks,
    }
}

/// How much makes the exit code.
fn to_fix(findings: &[Findings]) -> usize {
    let counted = findings
        .iter()
        .filter(|it| !is_beside_the_point(findings, it));
    counted.map(Findings::unwell).sum()
}

/// Whoever has the name is not unwell because others claim it too, which anybody may.
fn is_beside_the_point(all: &[Findings], one: &Findings) -> bool {
    !one.holds() && all.iter().any(Findings::holds)
}

impl Findings {
    fn holds(&self) -> bool {
        self.state.is_some_and(DomainState::holds)
    }

    fn unwell(&self) -> usize {
        self.checks.iter().filter(|check| !check.ok).count()
    }

    fn people(&self, counts: bool) -> String {
        let beside = match counts {
            true => "",
            false => "; another tenant has the name, so that this does not count",
        };
        let head = match (&self.tenant_slug, self.state) {
            (Some(tenant), Some(state)) => {
                format!("{} of {tenant} ({}{beside})", self.hostname, state.as_str())
            }
            _ => format!("{}, your own", self.hostname),
        };
        format!("{head}\n{}", show::checks(&self.checks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(state: DomainState, unwell: usize) -> Findings {
        let check = Check {
            code: CheckCode::Proof,
            ok: false,
            expected: String::new(),
            observed: String::new(),
            hint: None,
            seen_by: Vec::new(),
            at: 0,
        };
        Findings {
            hostname: "app.acme.test".into(),
            tenant: None,
            tenant_slug: None,
            state: Some(state),
            checks: vec![check; unwell],
        }
    }

    #[test]
    fn who_has_a_name_is_not_unwell_because_others_claim_it() {
        use DomainState::{Active, Degraded, Lapsed, Pending};
        let count = |all: &[(DomainState, usize)]| {
            let all: Vec<_> = all.iter().map(|(it, many)| findings(*it, *many)).collect();
            to_fix(&all)
        };
        assert_eq!(count(&[(Pending, 1), (Active, 0), (Lapsed, 2)]), 0);
        assert_eq!(count(&[(Pending, 1), (Degraded, 3)]), 3);
        // Nobody has it: all of them want to.
        assert_eq!(count(&[(Pending, 1), (Lapsed, 2)]), 3);
    }
}
