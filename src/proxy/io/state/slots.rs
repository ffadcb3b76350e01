//! Whose move it is on each stream of an HTTP/2 connection.

use std::time::Duration;

use tokio::time::Instant;

/// The streams; a place is used again after its stream.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

/// The clock is not read when the move changes: whoever looks from time to time dates what it finds unchanged.
#[derive(Debug, Default, Clone, Copy)]
struct Slot {
    /// Odd while the visitor has the move.
    turn: u32,
    seen: Option<(u32, Instant)>,
}

impl Slots {
    pub(super) fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        })
    }

    pub(super) fn release(&mut self, slot: usize) {
        self.slots[slot] = Slot::default();
        self.free.push(slot);
    }

    pub(super) fn turn(&mut self, slot: usize, visitors: bool) {
        let slot = &mut self.slots[slot];
        if slot.is_visitors() != visitors {
            slot.turn = slot.turn.wrapping_add(1);
        }
    }

    /// Whether a stream was seen `limit` ago with the same move of the visitor outstanding as now.
    pub(super) fn any_stuck(&mut self, now: Instant, limit: Duration) -> bool {
        self.slots.iter_mut().any(|slot| slot.stuck(now, limit))
    }
}

impl Slot {
    fn is_visitors(&self) -> bool {
        self.turn % 2 == 1
    }

    fn stuck(&mut self, now: Instant, limit: Duration) -> bool {
        match self.seen {
            _ if !self.is_visitors() => self.seen = None,
            Some((turn, since)) if turn == self.turn => return now - since >= limit,
            _ => self.seen = Some((self.turn, now)),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_move_outstanding_for_the_whole_time_is_stuck() {
        let limit = Duration::from_secs(60);
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut slots = Slots::default();
        let (busy, shut) = (slots.take(), slots.take());
        slots.turn(busy, true);
        slots.turn(shut, true);
        assert!(!slots.any_stuck(at(0), limit));
        slots.turn(busy, false);
        slots.turn(busy, true);
        assert!(!slots.any_stuck(at(59), limit));
        assert!(slots.any_stuck(at(60), limit));
        slots.release(shut);
        assert!(!slots.any_stuck(at(100), limit));
        assert!(slots.any_stuck(at(119), limit), "the other one by now");
        slots.turn(busy, false);
        assert!(!slots.any_stuck(at(1000), limit), "the application's move");
        assert_eq!(slots.take(), shut);
    }
}
