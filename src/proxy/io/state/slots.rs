//! Whose move it is on each stream of an HTTP/2 connection.

use std::time::Duration;

use futures_util::future::AbortHandle;
use tokio::time::Instant;

/// The streams; a place is used again after its stream.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// What serves the stream whose request begins next.
    next: Option<AbortHandle>,
}

/// The clock is not read when the move changes: whoever looks from time to time dates what it finds unchanged.
#[derive(Debug, Default)]
struct Slot {
    /// Odd while the visitor has the move.
    turn: u32,
    seen: Option<(u32, Instant)>,
    serving: Option<AbortHandle>,
}

impl Slots {
    /// The stream that begins next is served by this.
    pub(super) fn served_by(&mut self, serving: AbortHandle) {
        self.next = Some(serving);
    }

    pub(super) fn take(&mut self) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        self.slots[slot].serving = self.next.take();
        slot
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

    /// Ends every stream that was seen `limit` ago with the same move of the visitor outstanding as now. False where there is one that
    /// cannot be ended by itself.
    pub(super) fn end_stuck(&mut self, now: Instant, limit: Duration) -> bool {
        let stuck = self.slots.iter_mut().filter_map(|slot| {
            let stuck = slot.stuck(now, limit);
            stuck.then(|| slot.serving.as_ref().map(AbortHandle::abort))
        });
        stuck.fold(true, |all, ended| all & ended.is_some())
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
        assert!(slots.end_stuck(at(0), limit));
        slots.turn(busy, false);
        slots.turn(busy, true);
        assert!(slots.end_stuck(at(59), limit));
        assert!(!slots.end_stuck(at(60), limit));
        slots.release(shut);
        assert!(slots.end_stuck(at(100), limit));
        assert!(!slots.end_stuck(at(119), limit), "the other one by now");
        slots.turn(busy, false);
        assert!(slots.end_stuck(at(1000), limit), "the application's move");
        assert_eq!(slots.take(), shut);
    }

    #[test]
    fn a_stream_is_ended_by_itself_where_it_is_known_what_serves_it() {
        let limit = Duration::from_secs(60);
        let (begin, mut slots) = (Instant::now(), Slots::default());
        let served = |slots: &mut Slots| {
            let (handle, registration) = AbortHandle::new_pair();
            slots.served_by(handle);
            (slots.take(), registration)
        };
        let (stuck, first) = served(&mut slots);
        let (_lively, second) = served(&mut slots);
        slots.turn(stuck, true);
        assert!(slots.end_stuck(begin, limit));
        assert!(!first.handle().is_aborted());
        assert!(slots.end_stuck(begin + limit, limit));
        assert!(first.handle().is_aborted() && !second.handle().is_aborted());
        slots.release(stuck);
        let unknown = slots.take();
        slots.turn(unknown, true);
        assert!(slots.end_stuck(begin + limit, limit));
        assert!(!slots.end_stuck(begin + 2 * limit, limit));
    }
}
