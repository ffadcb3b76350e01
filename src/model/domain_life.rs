//! The life of a claim of a name: which state leads to which, and where what was seen leads. Pure: rows come in, steps come out.

use std::time::Duration;

use super::DomainState;

mod reason;

pub use reason::Reason;

/// Whether something stands in DNS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// All that had to say so did.
    Yes,
    /// All that answered say that it does not.
    No,
    /// Nobody answered, or not enough of them, or they disagree: neither of the two.
    Unknown,
}

/// What was seen of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sight {
    /// The record that proves this claim.
    pub proof: Seen,
    /// Whether the name leads here.
    pub pointing: Seen,
}

/// How a name stands with its certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certified {
    /// There is no TLS here, or somebody else does it.
    Elsewhere,
    /// There is none yet.
    Missing,
    /// It is valid.
    Valid,
    /// It is valid, and so close to its end that it should have been renewed long ago.
    Expiring,
    /// It has expired.
    Expired,
}

/// One claim, as far as its life goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its state.
    pub state: DomainState,
    /// Whether it stands on an operator's word.
    pub trusted: bool,
    /// Since when it has been in this state, in milliseconds since 1970.
    pub since: i64,
    /// How often it has been looked at in this state.
    pub looks: u32,
    /// Why it is in this state, where that is known.
    pub why: Option<Reason>,
}

/// Who has the name that another tenant claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holder {
    /// Whether the holder stands on an operator's word.
    pub trusted: bool,
    /// Whether the holder's own proof still stands.
    pub proof: Seen,
}

/// Times of a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A claim without proof ends after this time.
    pub give_up: Duration,
    /// A degraded name is served for this time.
    pub grace: Duration,
    /// A name in service is looked at this often.
    pub recheck: Duration,
}

/// One change of a claim's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The new state.
    pub to: DomainState,
    /// Why.
    pub why: Reason,
}

/// Where what was seen leads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// Changes of the claim's state, in order; none where all stays.
    pub steps: Vec<Step>,
    /// Whether the holder's claim ends with it.
    pub displaces: bool,
    /// Whether the proof was seen and the name stays with its holder all the same.
    pub held: bool,
    /// Why the claim is degraded from now on, where that is another reason than before: its time begins anew.
    pub cause: Option<Reason>,
}

impl DomainState {
    /// Whether the life of a claim may go from this state to `to`.
    pub fn leads_to(self, to: Self) -> bool {
        use DomainState::{Active, Degraded, Lapsed, Pending, Removed, Verified};
        matches!(
            (self, to),
            (Pending | Lapsed, Verified)
                | (Verified | Degraded, Active)
                | (Verified | Removed, Pending)
                | (Active, Degraded)
                | (Degraded, Lapsed)
                | (Pending | Verified | Active | Degraded | Lapsed, Removed)
        )
    }

    /// Whether the name is this claim's, so that it can be no other's.
    pub fn holds(self) -> bool {
        matches!(self, Self::Verified | Self::Active | Self::Degraded)
    }
}

/// Where `sight` leads a claim at `now` (milliseconds since 1970); `holder` is whoever else has the name.
pub fn judge(
    claim: &Standing,
    sight: Sight,
    certified: Certified,
    holder: Option<Holder>,
    rules: &Rules,
    now: i64,
) -> Verdict {
    let over = |time: Duration| now.saturating_sub(claim.since) >= millis(time);
    match claim.state {
        // On an operator's word it is only told how the name stands.
        _ if claim.trusted => Verdict::default(),
        DomainState::Pending => match prove(sight, certified, holder) {
            verdict if !verdict.steps.is_empty() => verdict,
            _ if over(rules.give_up) => step(DomainState::Removed, Reason::GivenUp),
            verdict => verdict,
        },
        DomainState::Lapsed => prove(sight, certified, holder),
        DomainState::Verified if sight.proof == Seen::No => {
            step(DomainState::Pending, Reason::ProofGone)
        }
        DomainState::Verified => Verdict {
            steps: in_service(certified).into_iter().collect(),
            ..Verdict::default()
        },
        DomainState::Active if sight.is_gone() => step(DomainState::Degraded, Reason::ControlGone),
        DomainState::Active if certified.is_failing() => {
            step(DomainState::Degraded, Reason::CertificateExpiring)
        }
        DomainState::Degraded if sight.is_there() && !certified.is_failing() => {
            step(DomainState::Active, Reason::Healed)
        }
        // Who loses control while a certificate is late has the whole grace to put it right, however long that was late before.
        DomainState::Degraded if other_cause(claim, sight, certified).is_some() => Verdict {
            cause: other_cause(claim, sight, certified),
            ..Verdict::default()
        },
        // A certificate that only was not renewed is no reason to stop: that may be our own fault. One that has expired serves nobody.
        DomainState::Degraded
            if over(rules.grace) && (sight.is_gone() || certified == Certified::Expired) =>
        {
            step(DomainState::Lapsed, Reason::GraceOver)
        }
        DomainState::Active | DomainState::Degraded | DomainState::Removed => Verdict::default(),
    }
}

/// Why a degraded claim is so now, where that is not why it was.
fn other_cause(claim: &Standing, sight: Sight, certified: Certified) -> Option<Reason> {
    let cause = match certified.is_failing() {
        _ if sight.is_gone() => Reason::ControlGone,
        true if sight.is_there() => Reason::CertificateExpiring,
        _ => return None,
    };
    (claim.why != Some(cause)).then_some(cause)
}

impl Sight {
    /// Control continues while the one or the other is seen.
    fn is_there(self) -> bool {
        self.proof == Seen::Yes || self.pointing == Seen::Yes
    }

    fn is_gone(self) -> bool {
        self.proof == Seen::No && self.pointing == Seen::No
    }
}

impl Certified {
    fn is_failing(self) -> bool {
        matches!(self, Self::Expiring | Self::Expired)
    }

    /// How a certificate of this validity (milliseconds since 1970) stands at `now`. Renewal begins at a third of its life, so half of that
    /// is late; for long lives a week is.
    pub fn of(not_before: i64, not_after: i64, now: i64) -> Self {
        const WEEK: i64 = 7 * 86_400_000;
        let late = (not_after.saturating_sub(not_before) / 6).min(WEEK);
        match not_after.saturating_sub(now) {
            left if left <= 0 => Self::Expired,
            left if left <= late => Self::Expiring,
            _ => Self::Valid,
        }
    }
}

/// The first to prove control has the name. It moves on only where its holder's own proof is gone; not where nobody could see whether it is.
fn prove(sight: Sight, certified: Certified, holder: Option<Holder>) -> Verdict {
    if sight.proof != Seen::Yes {
        return Verdict::default();
    }
    let free = holder.is_none_or(|holder| !holder.trusted && holder.proof == Seen::No);
    if !free {
        return Verdict {
            held: true,
            ..Verdict::default()
        };
    }
    let proved = Step {
        to: DomainState::Verified,
        why: Reason::ProofSeen,
    };
    Verdict {
        steps: [proved].into_iter().chain(in_service(certified)).collect(),
        displaces: holder.is_some(),
        ..Verdict::default()
    }
}

/// The step from verified to active.
fn in_service(certified: Certified) -> Option<Step> {
    let why = match certified {
        Certified::Elsewhere => Reason::TlsElsewhere,
        Certified::Valid | Certified::Expiring => Reason::CertificateInPlace,
        Certified::Missing | Certified::Expired => return None,
    };
    let to = DomainState::Active;
    Some(Step { to, why })
}

fn step(to: DomainState, why: Reason) -> Verdict {
    Verdict {
        steps: vec![Step { to, why }],
        ..Verdict::default()
    }
}

/// How long until a claim is looked at again: often in the first minutes, then less and less (at most 4 h), in service as configured.
/// `chance` is drawn evenly from 0 to 1 and spreads those that were claimed together.
pub fn next_look(claim: &Standing, sight: Sight, rules: &Rules, chance: f64) -> Option<Duration> {
    let waited = match claim.state {
        DomainState::Removed => return None,
        DomainState::Pending | DomainState::Degraded => back_off(claim.looks),
        DomainState::Verified | DomainState::Lapsed => back_off(
            claim
                .looks
                .saturating_add(FIRST_LOOKS.len().try_into().unwrap_or(0)),
        ),
        // Nobody could be asked: not an answer to rely on for a day.
        DomainState::Active if sight.proof == Seen::Unknown && sight.pointing == Seen::Unknown => {
            back_off(claim.looks.saturating_add(16))
        }
        DomainState::Active => rules.recheck,
    };
    let waited = match claim.state {
        DomainState::Pending => waited,
        _ => waited.min(rules.recheck),
    };
    Some(waited.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0)))
}

/// Seconds between the first looks at a claim, while somebody is likely sitting before the settings page.
const FIRST_LOOKS: [u64; 6] = [2, 4, 8, 15, 30, 45];

/// Cloudflare's schedule behind those: a minute that grows, slowly at first, up to 4 h.
fn back_off(looks: u32) -> Duration {
    const LONGEST: f64 = 4.0 * 3600.0;
    let place = usize::try_from(looks).unwrap_or(usize::MAX);
    if let Some(seconds) = FIRST_LOOKS.get(place) {
        return Duration::from_secs(*seconds);
    }
    let number = looks.saturating_sub(6).min(200);
    let growth: f64 = if number < 10 { 1.05 } else { 1.15 };
    let seconds = 60.0 * growth.powi(number.try_into().unwrap_or(i32::MAX));
    Duration::from_secs_f64(seconds.min(LONGEST))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
