//! How long to wait after a failure, and when to renew: pure, `now` and chance are arguments.

use std::time::Duration;

use rand::Rng;

use crate::clock::Timestamp;
use crate::model::certificate::late_at;
use crate::store::CertificateOrder;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Minutes after the first failure, the second, … (certmagic's `retryIntervals`), then [`LAST`].
const MINUTES: [u32; 24] = [
    1, 2, 2, 5, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30, 30, 30, 60, 60, 60, 120, 120, 180, 180,
];
const LAST: Duration = HOUR.saturating_mul(6);
/// A name that has failed for so long is tried once a day.
const LONG: Duration = DAY.saturating_mul(30);

/// How long to wait after the failure number `failures` (from 1) of a name that has failed for `since`. Up to a fifth is chance, so that
/// names that failed together do not come back together.
pub(super) fn pause(failures: u32, since: Duration, rng: &mut impl Rng) -> Duration {
    let place = usize::try_from(failures).unwrap_or(usize::MAX).max(1) - 1;
    let pause = match MINUTES.get(place) {
        _ if since >= LONG => DAY,
        Some(minutes) => MINUTE * *minutes,
        None => LAST,
    };
    pause.mul_f64(rng.random_range(1.0..1.2))
}

/// How long to wait, of `pause`, before a name is looked at again that a look has kept from being ordered for: it has been so for `since`.
pub(super) fn pause_of_look(since: Duration, pause: Duration) -> Duration {
    match since {
        _ if since < DAY => pause.min(MINUTE * 5),
        _ if since < DAY * 7 => pause.min(HOUR),
        _ => pause,
    }
}

/// How long to wait before an order is looked at for the time number `polls` (from 0).
pub(super) fn poll(polls: u32, asked: Option<Duration>) -> Duration {
    const SECONDS: [u64; 8] = [1, 1, 2, 3, 5, 8, 13, 20];
    /// Of what a CA asks for no more than this: by then the order is given up.
    const LONGEST: Duration = Duration::from_secs(3_600);
    let place = usize::try_from(polls).unwrap_or(usize::MAX);
    let own = Duration::from_secs(SECONDS.get(place).copied().unwrap_or(30));
    own.max(asked.unwrap_or_default().min(LONGEST))
}

/// When a certificate is to be renewed whose CA says nothing of it: at a third of its life left, half of one that lives less than ten
/// days (Let's Encrypt's integration guide), up to a twentieth of its life earlier by chance.
pub(super) fn renew_at(not_before: i64, not_after: i64, rng: &mut impl Rng) -> i64 {
    let life = not_after.saturating_sub(not_before).max(0);
    let short = life < millis(DAY * 10);
    let left = if short { life / 2 } else { life / 3 };
    let early = rng.random_range(0..=life / 20);
    not_after.saturating_sub(left).saturating_sub(early)
}

/// A moment of a CA's window, by chance (RFC 9773 section 4.2). One that is past means now. However late the window is, there is time left
/// for a renewal that does not succeed at once, and before anybody is told that it is late.
pub(super) fn moment_of(
    (start, end): (i64, i64),
    (not_before, not_after): (i64, i64),
    rng: &mut impl Rng,
) -> i64 {
    let latest = late_at(not_before, not_after);
    let start = start.min(latest);
    let end = end.min(latest).max(start);
    rng.random_range(start..=end)
}

/// When to ask a CA for its window again: when it says, within a minute and a day (RFC 9773 section 4.3.3), a little later by chance.
pub(super) fn ask_again(now: Timestamp, after: Duration, rng: &mut impl Rng) -> i64 {
    let after = after.clamp(MINUTE, DAY);
    now.plus(after.mul_f64(rng.random_range(1.0..1.1))).0
}

/// When to ask a CA for the first time, or again after it did not answer: in an hour or two.
pub(super) fn ask_soon(now: Timestamp, rng: &mut impl Rng) -> i64 {
    now.plus(HOUR.mul_f64(rng.random_range(1.0..2.0))).0
}

/// When there is something to do about a certificate in place.
pub(super) fn next_of_kept(order: &CertificateOrder) -> i64 {
    let renew_at = order.renew_at.unwrap_or(0);
    renew_at.min(order.ask_at.unwrap_or(i64::MAX))
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_ladder_climbs_from_a_minute_to_a_day() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut minutes = |failures, since| {
            let pause = pause(failures, since, &mut rng);
            pause.as_secs_f64() / 60.0
        };
        let mut whole = 0.0;
        let steps = [
            (1, 1.0),
            (2, 2.0),
            (4, 5.0),
            (7, 10.0),
            (11, 20.0),
            (17, 30.0),
            (24, 180.0),
            (25, 360.0),
            (9_000, 360.0),
        ];
        for (failures, least) in steps {
            let pause = minutes(failures, Duration::ZERO);
            assert!((least..least * 1.2).contains(&pause), "{failures}: {pause}");
            whole += pause;
        }
        assert!(whole > 0.0 && minutes(40, LONG) >= 1_440.0);
    }

    proptest! {
        #[test]
        fn a_certificate_is_renewed_in_the_middle_of_its_life(days in 1..400_i64, seed in any::<u64>()) {
            let mut rng = StdRng::seed_from_u64(seed);
            let life = days * 86_400_000;
            let at = renew_at(1_000, 1_000 + life, &mut rng) - 1_000;
            let left = if days < 10 { life / 2 } else { life / 3 };
            prop_assert!(at <= life - left + 1 && at >= life - left - life / 20 - 1);
        }

        #[test]
        fn a_window_is_met_and_leaves_time_before_the_end(start in 0..1_000_i64, long in 0..1_000_i64, life in 0..2_000_i64, seed in any::<u64>()) {
            let mut rng = StdRng::seed_from_u64(seed);
            let hours = |count: i64| count * 3_600_000;
            let window = (hours(start), hours(start + long));
            let at = moment_of(window, (0, hours(life)), &mut rng);
            let latest = hours(life) - (hours(life) / 6).min(millis(DAY * 14));
            prop_assert!(at >= window.0.min(latest) && at <= window.1);
            prop_assert!(at <= latest);
        }
    }
}
