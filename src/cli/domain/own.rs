//! What is to be fixed of a name that is the operator's own: whatever keeps a certificate from being ordered for it.

use super::order::with_order;
use crate::cli::cert::waits::Waits;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::model::certificate::CertificateSource;
use crate::model::{Check, CheckCode, DomainPattern};
use crate::store::{CertificateOrder, CertificateStore as _, Store, StoreError};
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
    order: Option<&CertificateOrder>,
) -> Result<Vec<Check>, StoreError> {
    if let Some(settled) = settled(config, store, watch, hostname).await? {
        return Ok(vec![settled]);
    }
    let mut expected = watch.expected.clone().of_own(config);
    if matches!(hostname, DomainPattern::Wildcard(_)) {
        expected.only_dns01();
    }
    let now = watch.clock.now();
    let found = watch.looker.preflight(hostname, &expected, now).await;
    let mut checks = found.checks;
    let waits = Waits::of(config, store, order, now).await?;
    waits.iter().for_each(|it| it.tell(&mut checks, now));
    Ok(with_order(checks, None, order))
}

/// Why nothing is ordered for the name whatever becomes of it; `None` where something is.
async fn settled(
    config: &Config,
    store: &Store,
    watch: &NameWatch,
    hostname: &DomainPattern,
) -> Result<Option<Check>, StoreError> {
    let now = watch.clock.now();
    let settled = |observed: &str, hint: Option<&str>| {
        Some(Check {
            code: CheckCode::Certificate,
            ok: hint.is_none(),
            expected: "a certificate, unless none is wanted".into(),
            observed: observed.to_owned(),
            hint: hint.map(str::to_owned),
            seen_by: Vec::new(),
            at: now.0,
        })
    };
    if config.edge.https.is_empty() {
        return Ok(settled("none is needed: `edge.https` is empty", None));
    }
    if config.tls.not_ordered.contains(hostname) {
        let why = "none is ordered: `tls.not_ordered` has the name";
        return Ok(settled(why, None));
    }
    if (watch.own_certificate)(hostname) {
        return Ok(settled("a file of `tls.directory` is good for it", None));
    }
    let stored = store.certificate_for(hostname).await?.certificate;
    let brought = stored.filter(|it| it.about.source == CertificateSource::Import);
    // Then one is ordered behind it.
    let in_time = brought.is_some_and(|it| {
        let (from, to) = (it.about.not_before, it.about.not_after);
        now < Timestamp(to - (to - from) / 3)
    });
    if in_time {
        return Ok(settled("an imported certificate is good for it", None));
    }
    let hint = "Bring one (`cert import`, or a file in `tls.directory`), or set [[acme]] to have one ordered.";
    Ok(match config.acme.is_empty() {
        true => settled("none, and there is no [[acme]]", Some(hint)),
        false => None,
    })
}
