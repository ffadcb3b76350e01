//! Which of several endpoints: pure, with chance passed in.

use crate::config::Balance;

/// What a choice looks at, by the place in a list.
pub(super) trait Candidates {
    /// How many there are; at least one.
    fn count(&self) -> usize;
    /// Requests in flight there.
    fn load(&self, place: usize) -> usize;
    /// Whether connecting failed there a moment ago.
    fn resting(&self, place: usize) -> bool;
}

/// The place in the list to use.
///
/// `turn` is where round robin stands and is moved on; `draw(n)` gives a number below `n` by chance. Endpoints that rest are passed
/// over while another one does not; where all rest they are used as if none did.
pub(super) fn choose(
    balance: Balance,
    candidates: &impl Candidates,
    turn: &mut usize,
    mut draw: impl FnMut(usize) -> usize,
) -> usize {
    let count = candidates.count();
    if count < 2 {
        return 0;
    }
    let first = match balance {
        Balance::RoundRobin => {
            *turn = turn.wrapping_add(1);
            *turn % count
        }
        Balance::PowerOfTwo => less_busy(candidates, count, &mut draw),
    };
    let from_first = (0..count).map(|step| (first + step) % count);
    let mut awake = from_first.filter(|place| !candidates.resting(*place));
    awake.next().unwrap_or(first)
}

/// The less busy of two different ones (Mitzenmacher, "The power of two choices in randomized load balancing").
fn less_busy(
    candidates: &impl Candidates,
    count: usize,
    draw: &mut impl FnMut(usize) -> usize,
) -> usize {
    let one = draw(count);
    let other = (one + 1 + draw(count - 1)) % count;
    let weight = |place| (candidates.resting(place), candidates.load(place));
    if weight(other) < weight(one) {
        other
    } else {
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Candidates for Vec<(usize, bool)> {
        fn count(&self) -> usize {
            self.len()
        }
        fn load(&self, place: usize) -> usize {
            self[place].0
        }
        fn resting(&self, place: usize) -> bool {
            self[place].1
        }
    }

    #[test]
    fn round_robin_takes_each_in_turn_and_passes_over_the_resting() {
        let three = vec![(9, false), (0, true), (0, false)];
        let mut turn = usize::MAX;
        let mut next = || choose(Balance::RoundRobin, &three, &mut turn, |_| 0);
        assert_eq!([next(), next(), next(), next()], [0, 2, 2, 0]);
    }

    #[test]
    fn of_two_the_less_busy() {
        let two = vec![(5, false), (2, false)];
        assert_eq!(choose(Balance::PowerOfTwo, &two, &mut 0, |_| 0), 1);
    }

    proptest! {
        #[test]
        fn a_resting_one_is_taken_only_when_all_rest(
            list in proptest::collection::vec((0_usize..9, any::<bool>()), 1..9),
            draws in proptest::collection::vec(any::<usize>(), 2),
            robin in any::<bool>(),
        ) {
            let balance = if robin { Balance::RoundRobin } else { Balance::PowerOfTwo };
            let mut draws = draws.into_iter();
            let place = choose(balance, &list, &mut 0, |n| draws.next().unwrap() % n);
            prop_assert!(place < list.len());
            prop_assert!(!list[place].1 || list.len() == 1 || list.iter().all(|(_, resting)| *resting));
        }
    }
}
