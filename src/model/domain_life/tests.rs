//! Every path of a claim's life, and what no path may lead to.

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const RULES: Rules = Rules {
    give_up: Duration::from_secs(7 * 86_400),
    grace: Duration::from_secs(3 * 86_400),
    recheck: Duration::from_secs(86_400),
};

fn at(state: DomainState) -> Standing {
    Standing {
        state,
        trusted: false,
        since: 0,
        looks: 0,
        why: None,
    }
}

fn sight(proof: Seen, pointing: Seen) -> Sight {
    Sight { proof, pointing }
}

/// Where a claim in `state` is after one look, or the same state.
fn after(state: DomainState, sight: Sight, certified: Certified, now: i64) -> DomainState {
    let why = match sight.is_gone() {
        true => Reason::ControlGone,
        false => Reason::CertificateExpiring,
    };
    let claim = match state {
        DomainState::Degraded => degraded(why),
        state => at(state),
    };
    let verdict = judge(&claim, sight, certified, None, &RULES, now);
    verdict.steps.last().map_or(state, |step| step.to)
}

#[test]
fn the_ordinary_life_of_a_name() {
    use DomainState::{Active, Degraded, Lapsed, Pending, Removed, Verified};
    use Seen::{No, Unknown, Yes};
    let (missing, valid) = (Certified::Missing, Certified::Valid);
    let never = sight(No, No);
    assert_eq!(after(Pending, never, missing, HOUR), Pending);
    assert_eq!(after(Pending, never, missing, 7 * 24 * HOUR), Removed);
    assert_eq!(
        after(Pending, sight(No, Yes), missing, HOUR),
        Pending,
        "pointing proves nothing"
    );
    assert_eq!(after(Pending, sight(Unknown, Yes), missing, HOUR), Pending);
    assert_eq!(after(Pending, sight(Yes, No), missing, HOUR), Verified);
    assert_eq!(
        after(Pending, sight(Yes, No), Certified::Elsewhere, HOUR),
        Active
    );
    assert_eq!(after(Verified, sight(Yes, No), missing, HOUR), Verified);
    assert_eq!(after(Verified, sight(Yes, No), valid, HOUR), Active);
    assert_eq!(after(Verified, sight(No, Yes), valid, HOUR), Pending);
    assert_eq!(
        after(Verified, sight(Unknown, Unknown), missing, HOUR),
        Verified
    );
    for kept in [
        sight(Yes, No),
        sight(No, Yes),
        sight(Unknown, No),
        sight(No, Unknown),
    ] {
        assert_eq!(after(Active, kept, valid, HOUR), Active, "{kept:?}");
    }
    assert_eq!(after(Active, never, valid, HOUR), Degraded);
    assert_eq!(
        after(Active, sight(Yes, Yes), Certified::Expiring, HOUR),
        Degraded
    );
    assert_eq!(after(Degraded, never, valid, HOUR), Degraded);
    assert_eq!(after(Degraded, sight(No, Yes), valid, HOUR), Active);
    assert_eq!(
        after(Degraded, sight(Unknown, Unknown), valid, 90 * HOUR),
        Degraded
    );
    assert_eq!(after(Degraded, never, valid, 72 * HOUR), Lapsed);
    assert_eq!(
        after(Degraded, sight(Yes, Yes), Certified::Expiring, 90 * HOUR),
        Degraded
    );
    assert_eq!(
        after(Degraded, sight(Yes, Yes), Certified::Expired, 90 * HOUR),
        Lapsed
    );
    assert_eq!(after(Lapsed, sight(No, Yes), valid, HOUR), Lapsed);
    assert_eq!(after(Lapsed, sight(Yes, No), missing, HOUR), Verified);
    assert_eq!(after(Removed, sight(Yes, Yes), valid, HOUR), Removed);
}

/// A claim that has been degraded from the first moment on, for `why`.
fn degraded(why: Reason) -> Standing {
    Standing {
        why: Some(why),
        ..at(DomainState::Degraded)
    }
}

#[test]
fn a_name_that_loses_control_while_its_certificate_is_late_has_the_whole_grace() {
    let gone = sight(Seen::No, Seen::No);
    let judged = |claim: &Standing, now| judge(claim, gone, Certified::Expiring, None, &RULES, now);
    let late = degraded(Reason::CertificateExpiring);
    let verdict = judged(&late, 90 * HOUR);
    assert_eq!(verdict.cause, Some(Reason::ControlGone));
    assert!(verdict.steps.is_empty(), "the grace begins only now");
    let lost = Standing {
        since: 90 * HOUR,
        ..degraded(Reason::ControlGone)
    };
    assert_eq!(judged(&lost, 161 * HOUR), Verdict::default());
    let over = judged(&lost, 162 * HOUR);
    assert_eq!(over.steps[0].to, DomainState::Lapsed);
    // And who has control again, and loses it once more, begins anew.
    let there = sight(Seen::No, Seen::Yes);
    let back = judge(&lost, there, Certified::Expired, None, &RULES, 100 * HOUR);
    assert_eq!(back.cause, Some(Reason::CertificateExpiring));
}

#[test]
fn every_reason_is_found_by_its_name() {
    for reason in Reason::ALL {
        assert_eq!(Reason::from_name(reason.as_str()), Some(reason));
    }
    assert_eq!(Reason::from_name("of a later version"), None);
}

#[test]
fn a_name_that_is_held_moves_only_where_its_holders_proof_is_gone() {
    let proof = sight(Seen::Yes, Seen::Yes);
    let judged = |trusted, proof_of_holder| {
        let holder = Holder {
            trusted,
            proof: proof_of_holder,
        };
        let claim = at(DomainState::Pending);
        judge(&claim, proof, Certified::Valid, Some(holder), &RULES, HOUR)
    };
    for (trusted, holders) in [(false, Seen::Yes), (false, Seen::Unknown), (true, Seen::No)] {
        let verdict = judged(trusted, holders);
        assert!(verdict.held && verdict.steps.is_empty() && !verdict.displaces);
    }
    let verdict = judged(false, Seen::No);
    assert!(verdict.displaces);
    assert_eq!(
        verdict.steps.last().map(|step| step.to),
        Some(DomainState::Active)
    );
}

#[test]
fn a_trusted_name_never_changes_by_itself() {
    let claim = Standing {
        trusted: true,
        ..at(DomainState::Active)
    };
    let gone = sight(Seen::No, Seen::No);
    let verdict = judge(&claim, gone, Certified::Expired, None, &RULES, i64::MAX);
    assert_eq!(verdict, Verdict::default());
}

#[test]
fn looks_are_frequent_at_first_and_never_further_apart_than_four_hours() {
    let wait = |looks| {
        let claim = Standing {
            looks,
            ..at(DomainState::Pending)
        };
        next_look(&claim, sight(Seen::No, Seen::No), &RULES, 0.5).unwrap()
    };
    let first: Vec<u64> = (0..8).map(|looks| wait(looks).as_secs()).collect();
    assert_eq!(first, [2, 4, 8, 15, 30, 45, 60, 63]);
    assert_eq!(wait(u32::MAX), Duration::from_secs(4 * 3600));
    let total: f64 = (0..120).map(|looks| wait(looks).as_secs_f64()).sum();
    assert!(
        total > 7.0 * 86_400.0,
        "some hundred looks last for a week: {total}"
    );
}

fn any_seen() -> impl Strategy<Value = Seen> {
    prop_oneof![Just(Seen::Yes), Just(Seen::No), Just(Seen::Unknown)]
}

fn any_certified() -> impl Strategy<Value = Certified> {
    use Certified::{Elsewhere, Expired, Expiring, Missing, Valid};
    prop_oneof![
        Just(Elsewhere),
        Just(Missing),
        Just(Valid),
        Just(Expiring),
        Just(Expired)
    ]
}

/// One event among three tenants who want one name.
#[derive(Clone, Copy, Debug)]
enum Event {
    Claim(usize),
    Vouch(usize),
    Withdraw(usize),
    /// A look at one claim: its proof, the pointing, and the proof of whoever holds the name.
    Look(usize, Sight, Seen, Certified),
    Wait(i64),
}

fn any_event() -> impl Strategy<Value = Event> {
    let who = 0..3_usize;
    prop_oneof![
        2 => who.clone().prop_map(Event::Claim),
        1 => who.clone().prop_map(Event::Vouch),
        1 => who.clone().prop_map(Event::Withdraw),
        8 => (who, any_seen(), any_seen(), any_seen(), any_certified())
            .prop_map(|(who, proof, pointing, holders, certified)| {
                Event::Look(who, sight(proof, pointing), holders, certified)
            }),
        2 => (0..200 * HOUR).prop_map(Event::Wait),
    ]
}

proptest! {
    /// The rows of one name under any sequence of events: at most one tenant holds it, every step is one of the life's, and nobody is
    /// routed who has not proved control since the claim began, or stands on an operator's word; and who lapses for a lost control has
    /// been without it for the whole grace.
    #[test]
    fn no_two_tenants_hold_a_name_and_nobody_without_proof(events in prop::collection::vec(any_event(), 1..60)) {
        let mut now = 0;
        let mut claims = [at(DomainState::Removed); 3];
        let mut proved = [false; 3];
        // Since when a look at a claim in service has seen no control, and none since that it was there.
        let mut gone_since = [None; 3];
        for event in events {
            match event {
                Event::Wait(time) => now += time,
                Event::Claim(who) if claims[who].state == DomainState::Removed => {
                    claims[who] = Standing { since: now, ..at(DomainState::Pending) };
                    proved[who] = false;
                }
                Event::Vouch(who) => {
                    let free = claims.iter().all(|claim| !claim.state.holds());
                    if free && matches!(claims[who].state, DomainState::Removed | DomainState::Lapsed) {
                        claims[who] = Standing { trusted: true, since: now, ..at(DomainState::Active) };
                    }
                }
                Event::Withdraw(who) => claims[who] = Standing { since: now, ..at(DomainState::Removed) },
                Event::Look(who, sight, holders, certified) => {
                    let other = (0..3).find(|other| *other != who && claims[*other].state.holds());
                    let holder = other.map(|other| Holder { trusted: claims[other].trusted, proof: holders });
                    let verdict = judge(&claims[who], sight, certified, holder, &RULES, now);
                    if let (true, Some(other)) = (verdict.displaces, other) {
                        prop_assert!(!claims[other].trusted && holders == Seen::No);
                        prop_assert!(claims[other].state.leads_to(DomainState::Removed));
                        claims[other] = Standing { since: now, ..at(DomainState::Removed) };
                    }
                    let in_service = matches!(claims[who].state, DomainState::Active | DomainState::Degraded);
                    gone_since[who] = match (in_service, sight.is_gone(), sight.is_there()) {
                        (true, true, _) => gone_since[who].or(Some(now)),
                        (true, false, false) => gone_since[who],
                        _ => None,
                    };
                    if let Some(cause) = verdict.cause {
                        prop_assert!(claims[who].state == DomainState::Degraded && verdict.steps.is_empty());
                        claims[who] = Standing { since: now, why: Some(cause), ..claims[who] };
                    }
                    for step in verdict.steps {
                        if step.to == DomainState::Lapsed && sight.is_gone() && certified != Certified::Expired {
                            let since = gone_since[who].expect("lapsed without a loss");
                            prop_assert!(now - since >= 72 * HOUR, "no grace: {}", now - since);
                        }
                        prop_assert!(claims[who].state.leads_to(step.to), "{:?} -> {:?}", claims[who].state, step.to);
                        proved[who] |= step.why == Reason::ProofSeen && sight.proof == Seen::Yes;
                        claims[who] = Standing { state: step.to, since: now, why: Some(step.why), ..claims[who] };
                    }
                }
                Event::Claim(_) => {}
            }
            prop_assert!(claims.iter().filter(|claim| claim.state.holds()).count() <= 1);
            for (claim, proved) in claims.iter().zip(proved) {
                prop_assert!(!claim.state.holds() || claim.trusted || proved);
            }
        }
    }
}
