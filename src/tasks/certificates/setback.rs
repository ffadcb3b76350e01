//! What a failure means for a name: when it is tried again, and at which CA.

use std::fmt;
use std::time::Duration;

use rand::Rng;

use super::ladder;
use super::limits::{Outcome, registered};
use crate::acme::{AcmeError, CaProblem};
use crate::clock::Timestamp;
use crate::model::{Causes, Check, DomainPattern};
use crate::store::{CertificateOrder, OrderStage};

/// After so many failures in a row for which a CA is to blame the next one is asked.
const FAILURES_OF_A_CA: u32 = 3;
/// Who asks to wait for longer than this is not waited for, where there is another one.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);
/// No CA is obeyed for longer: one answer must not stop all orders for days, renewals near their end among them. To be asked once a day is
/// no burden to it.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Why an order did not bring a certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Setback {
    /// The name does not look as if it could be certified: none was placed.
    Blocked(Vec<Check>),
    /// The CA found the name at fault.
    Name(String),
    /// The CA is at fault, or what we have to do with it.
    Ca {
        /// What happened.
        what: String,
        /// How long it asks to wait.
        wait: Option<Duration>,
        /// Whether that is meant for all orders.
        everybody: bool,
    },
    /// The CA has forgotten about it.
    Forgotten(String),
}

/// In words, as they are kept with the order.
impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocked(checks) => f.write_str(&said(checks)),
            Self::Name(what) | Self::Ca { what, .. } | Self::Forgotten(what) => f.write_str(what),
        }
    }
}

impl Setback {
    /// What an error of a CA means for an order of `pattern`.
    pub(super) fn of(error: &AcmeError, pattern: &DomainPattern) -> Self {
        let what = Causes(error).to_string();
        match error {
            AcmeError::AccountUnknown | AcmeError::OrderUnknown | AcmeError::NotReplaced(_) => {
                Self::Forgotten(what)
            }
            AcmeError::Refused(problem) if is_the_names_fault(problem) => Self::Name(what),
            AcmeError::RateLimited {
                problem,
                retry_after,
            } => Self::Ca {
                what,
                wait: Some(retry_after.unwrap_or(PATIENCE)),
                // It says in words only whose limit it is.
                everybody: !problem.detail.contains(&registered(pattern)),
            },
            AcmeError::Unavailable { retry_after, .. } => Self::Ca {
                what,
                wait: *retry_after,
                everybody: true,
            },
            AcmeError::Refused(_) | AcmeError::Unusable { .. } => Self::Ca {
                what,
                wait: None,
                everybody: false,
            },
        }
    }

    /// What an invalid order or authorization says.
    pub(super) fn of_problem(problem: Option<&CaProblem>) -> Self {
        match problem {
            Some(problem) if !is_the_names_fault(problem) => Self::Ca {
                what: format!("{}: {}", problem.kind, problem.detail),
                wait: None,
                everybody: false,
            },
            Some(problem) => Self::Name(format!("{}: {}", problem.kind, problem.detail)),
            None => Self::Name("the order is invalid, and the CA does not say why".to_owned()),
        }
    }

    /// Something at the CA that it did not call an error.
    pub(super) fn of_ca(what: impl Into<String>) -> Self {
        Self::Ca {
            what: what.into(),
            wait: None,
            everybody: false,
        }
    }

    /// The outcome as the budgets see it.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Name(_) => Outcome::NameFailed,
            _ => Outcome::Neither,
        }
    }

    /// The outcome as the metrics call it.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "blocked",
            Self::Name(_) => "failed",
            Self::Ca { wait: Some(_), .. } => "put_off",
            Self::Ca { .. } => "ca_failed",
            Self::Forgotten(_) => "forgotten",
        }
    }

    /// How long the CA is left alone by everybody.
    pub(super) fn hold(&self) -> Option<Duration> {
        /// Between two orders at a CA that cannot be reached and does not say for how long.
        const UNREACHED: Duration = Duration::from_secs(10);
        match self {
            Self::Ca {
                wait,
                everybody: true,
                ..
            } => Some(wait.unwrap_or(UNREACHED).min(LONGEST)),
            _ => None,
        }
    }

    /// Whether the order is only begun anew, at once: no failure of anybody's yet.
    pub(super) fn is_begun_anew(&self, order: &CertificateOrder) -> bool {
        matches!(self, Self::Forgotten(_)) && order.restarts == 0
    }

    /// Writes the failure into the row: nothing is under way any more, and it is due again later, with `next_ca` where the CA at hand has
    /// failed too often or asks for too much patience. A CA that has forgotten the order once is asked again at once: it may have been
    /// restarted, and the name is not to blame.
    pub(super) fn write(
        self,
        order: &mut CertificateOrder,
        next_ca: Option<String>,
        now: Timestamp,
        rng: &mut impl Rng,
    ) {
        let again = self.is_begun_anew(order);
        end(order);
        if again {
            order.restarts = 1;
            // Whatever else was lost, the certificate to replace may be as well.
            order.window = None;
            order.next_at = now.0;
            return;
        }
        order.restarts = 0;
        order.failures = order.failures.saturating_add(1);
        let first = *order.first_failed_at.get_or_insert(now.0);
        let pause = ladder::pause(order.failures, now.since(Timestamp(first)), rng);
        // Nobody was asked but DNS, and somebody may be setting the record right now.
        let pause = match &self {
            Self::Blocked(_) => ladder::pause_of_look(now.since(Timestamp(first)), pause),
            _ => pause,
        };
        order.next_at = now.plus(pause).0;
        order.last_error = Some(self.to_string());
        match self {
            Self::Blocked(checks) => order.checks = checks.into(),
            Self::Name(_) => order.ca_failures = 0,
            Self::Ca { wait, .. } => blame(order, wait, pause, next_ca, now),
            Self::Forgotten(_) => blame(order, None, pause, next_ca, now),
        }
    }
}

/// One more failure of a CA.
fn blame(
    order: &mut CertificateOrder,
    wait: Option<Duration>,
    pause: Duration,
    next_ca: Option<String>,
    now: Timestamp,
) {
    order.ca_failures = order.ca_failures.saturating_add(1);
    let long = wait.is_some_and(|wait| wait > PATIENCE);
    match next_ca {
        Some(next) if long || order.ca_failures >= FAILURES_OF_A_CA => {
            order.ca = Some(next);
            order.ca_failures = 0;
        }
        _ => {
            let wait = wait.unwrap_or_default().min(LONGEST);
            order.next_at = now.plus(pause.max(wait)).0;
        }
    }
}

/// Nothing is under way any more.
pub(super) fn end(order: &mut CertificateOrder) {
    order.stage = OrderStage::Due;
    order.order_url = None;
    order.kind = None;
    order.sealed_key = None;
    order.replaces = false;
    order.placed_at = None;
    order.polls = 0;
}

/// Kinds of RFC 8555 section 6.7 that are about the name, and not about the account, the request or the CA.
fn is_the_names_fault(problem: &CaProblem) -> bool {
    const KINDS: [&str; 10] = [
        "caa",
        "connection",
        "dns",
        "dnssec",
        "incorrectResponse",
        "rejectedIdentifier",
        "tls",
        "unauthorized",
        "unsupportedIdentifier",
        "compound",
    ];
    KINDS.contains(&problem.kind.as_str())
}

fn said(checks: &[Check]) -> String {
    let bad = checks.iter().filter(|check| !check.ok);
    let said: Vec<_> = bad
        .map(|check| format!("{}: {}", check.code.as_str(), check.observed))
        .collect();
    said.join("; ")
}
