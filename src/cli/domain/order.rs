//! What ordering a name's certificate has found out, among what looks at the name have.

use crate::cli::output;
use crate::model::{Check, CheckCode, DomainState};
use crate::store::CertificateOrder;

/// `checks` of a claim in `state` (of the operator's own name without), and what the look before an order and the last failure say besides.
/// Of two findings about one thing the later one counts.
pub(super) fn with_order(
    mut checks: Vec<Check>,
    state: Option<DomainState>,
    order: Option<&CertificateOrder>,
) -> Vec<Check> {
    // Certificates are ordered for who has the name.
    let Some(order) = order.filter(|_| state.is_none_or(DomainState::holds)) else {
        return checks;
    };
    for found in order.checks.iter() {
        match checks.iter_mut().find(|check| check.code == found.code) {
            Some(check) if check.at >= found.at => {}
            Some(check) => *check = found.clone(),
            None => checks.push(found.clone()),
        }
    }
    checks.extend(failure(order));
    checks
}

/// What became of the last order for a name, where that failed.
fn failure(order: &CertificateOrder) -> Option<Check> {
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
