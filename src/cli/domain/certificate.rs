//! What is said of a name's certificate: one thing, whatever is known of it.

use crate::cli::output;
use crate::clock::Timestamp;
use crate::model::domain_life::Certified;
use crate::model::{Check, CheckCode};
use crate::store::{CertificateOrder, SealedCertificate, certificate_finding};

/// How a name of the operator's own stands with the certificate that its visitors are shown.
pub(super) fn of_own(shown: Option<&SealedCertificate>, now: Timestamp) -> Option<Check> {
    let certified = shown.map_or(Certified::Missing, |it| {
        Certified::of(it.about.not_before, it.about.not_after, now.0)
    });
    certificate_finding(certified, now.0)
}

/// Adds how the name stands with its certificate, and what became of the last order where that failed. Nothing where the look at the name
/// has found that no CA certifies it: then it helps nobody that it is tried again.
pub(super) fn add(
    checks: &mut Vec<Check>,
    stands: Option<Check>,
    order: Option<&CertificateOrder>,
) {
    if checks.iter().any(|it| it.code == CheckCode::Certificate) {
        return;
    }
    let failed = order.and_then(failed_order);
    checks.extend(match (stands, failed) {
        (Some(stands), Some(failed)) => Some(Check {
            expected: stands.expected,
            observed: format!("{}; the last try: {}", stands.observed, failed.observed),
            ..failed
        }),
        (stands, failed) => failed.or(stands),
    });
}

fn failed_order(order: &CertificateOrder) -> Option<Check> {
    let error = order.last_error.as_ref()?;
    Some(Check {
        code: CheckCode::Certificate,
        ok: false,
        expected: "an order that succeeds".into(),
        observed: error.clone(),
        hint: Some(match &order.waits_for {
            Some(why) => format!(
                "it is tried again at {}: {why}",
                output::moment(order.next_at)
            ),
            None => format!(
                "it is tried again at {}; `cert renew {}` tries now",
                output::moment(order.next_at),
                order.pattern
            ),
        }),
        seen_by: order.ca.iter().cloned().collect(),
        at: order.first_failed_at.unwrap_or(order.next_at),
    })
}
