//! What ordering a name's certificate has found out, among what looks at the name have.

use super::certificate;
use crate::model::{Check, CheckCode, DomainState};
use crate::store::CertificateOrder;

/// `checks` of a claim in `state`, what the look before an order has found besides, and one finding of the certificate. Of two findings
/// about one thing the later one counts.
pub(super) fn with_order(
    checks: Vec<Check>,
    state: DomainState,
    order: Option<&CertificateOrder>,
) -> Vec<Check> {
    // Certificates are ordered for who has the name.
    let Some(order) = order.filter(|_| state.holds()) else {
        return checks;
    };
    let is_of_certificate = |check: &Check| check.code == CheckCode::Certificate;
    let (stands, mut checks): (Vec<_>, Vec<_>) = checks.into_iter().partition(is_of_certificate);
    let looked_at = checks.iter().map(|check| check.at).max();
    for found in order.checks.iter() {
        match checks.iter_mut().find(|check| check.code == found.code) {
            Some(check) if check.at >= found.at => {}
            Some(check) => *check = found.clone(),
            // Said only where it is wrong, and not said any more.
            None if is_of_a_claim(found.code) && looked_at > Some(found.at) => {}
            None => checks.push(found.clone()),
        }
    }
    certificate::add(&mut checks, stands.into_iter().next(), Some(order));
    checks
}

/// Whether a look at a claim finds it, too.
fn is_of_a_claim(code: CheckCode) -> bool {
    matches!(
        code,
        CheckCode::Proof
            | CheckCode::Pointing
            | CheckCode::Ipv6
            | CheckCode::Cdn
            | CheckCode::Zone
            | CheckCode::Holder
    )
}
