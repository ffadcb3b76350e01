//! What is to be fixed of a name that is the operator's own: whatever keeps a certificate from being ordered for it.

use super::certificate;
use crate::cli::cert::waits::Waits;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::certificate::CertificateSource;
use crate::model::{Check, CheckCode, DomainPattern};
use crate::store::{CertificateOrder, CertificateStore as _, SealedCertificate, Store, StoreError};
use crate::tasks::certificates::own_names;
use crate::tasks::domains::NameWatch;

/// Whether certificates are ordered for the name without a claim, unless that is left out.
pub(super) fn is_own(config: &Config, hostname: &DomainPattern) -> bool {
    own_names(&config.routing, true).contains(hostname)
}

/// The look that a node takes before an order; where none will be placed, only why.
pub(super) async fn look(
    config: &Config,
    store: &Store,
    watch: &NameWatch,
    hostname: &DomainPattern,
    (order, waits): (Option<&CertificateOrder>, Option<&Waits>),
) -> Result<Vec<Check>, StoreError> {
    let shown = store.certificate_for(hostname).await?.certificate;
    let shown = shown.as_ref();
    if let Some(settled) = settled(config, watch, hostname, shown) {
        return Ok(vec![settled]);
    }
    let mut expected = watch.expected.clone().of_own(config);
    if matches!(hostname, DomainPattern::Wildcard(_)) {
        expected.only_dns01();
    }
    let now = watch.clock.now();
    let found = watch.looker.preflight(hostname, &expected, now).await;
    let mut checks = found.checks;
    certificate::add(&mut checks, certificate::of_own(shown, now), order);
    waits.into_iter().for_each(|it| it.tell(&mut checks, now));
    Ok(checks)
}

/// Why nothing is ordered for the name whatever becomes of it; `None` where something is.
fn settled(
    config: &Config,
    watch: &NameWatch,
    hostname: &DomainPattern,
    shown: Option<&SealedCertificate>,
) -> Option<Check> {
    let now = watch.clock.now();
    let settled = |observed: &str| {
        Some(Check {
            code: CheckCode::Certificate,
            ok: true,
            expected: "a certificate, unless none is wanted".into(),
            observed: observed.to_owned(),
            hint: None,
            seen_by: Vec::new(),
            at: now.0,
        })
    };
    if config.edge.https.is_empty() {
        return settled("none is needed: `edge.https` is empty");
    }
    if config.tls.not_ordered.contains(hostname) {
        return settled("none is ordered: `tls.not_ordered` has the name");
    }
    if (watch.own_certificate)(hostname) {
        return settled("a file of `tls.directory` is good for it");
    }
    // One that a former tenant has left there is good for nothing.
    let brought = shown.filter(|it| {
        it.about.source == CertificateSource::Import && it.about.former_tenant.is_none()
    });
    // Then one is ordered behind it.
    let in_time = brought.is_some_and(|it| {
        let (from, to) = (it.about.not_before, it.about.not_after);
        now < Timestamp(to - (to - from) / 3)
    });
    if in_time {
        return settled("an imported certificate is good for it");
    }
    if !config.acme.is_empty() {
        return None;
    }
    let mut check = certificate::of_own(shown, now)?;
    if !check.ok {
        check.observed.push_str(", and there is no [[acme]]");
        let hint = "Bring one (`cert import`, or a file in `tls.directory`), or set [[acme]] to have one ordered.";
        check.hint = Some(hint.to_owned());
    }
    Some(check)
}
