//! What a connection is doing, shared between its socket and its requests, and the deadlines that follow from it.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::AbortHandle;
use tokio::time::Instant;

use super::flood::FloodKind;
use crate::config::EdgeTimeouts;

mod moment;
mod slots;

use moment::Moment;
use slots::Slots;

/// Why a connection was closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Closed {
    /// The first byte, the rest of a head, or the rest of an HTTP/2 frame did not come in time.
    #[error("the request head did not arrive in time")]
    Head,
    /// No request for too long.
    #[error("the connection was idle for too long")]
    Idle,
    /// The socket took no byte of the answer for too long.
    #[error("the visitor stopped reading")]
    Write,
    /// The visitor kept the window of one HTTP/2 stream shut for too long, and the stream could not be ended by itself.
    #[error("the visitor stopped reading one stream")]
    Stream,
    /// Too many HTTP/2 frames that carry nothing.
    #[error("too many {0} frames")]
    Flood(FloodKind),
}

impl Closed {
    /// The metrics' label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head_timeout",
            Self::Idle => "idle",
            Self::Write => "write_stall",
            Self::Stream => "stream_stall",
            Self::Flood(kind) => kind.as_str(),
        }
    }
}

/// What one connection is doing. A request calls [`begin_request`](Self::begin_request) when its head is complete and keeps the
/// [`Exchange`] until its answer has ended.
///
/// All of it belongs to one thread; it is atomic only so that the socket is `Send`, which costs nothing without contention.
#[derive(Debug)]
pub struct ConnectionState {
    times: Times,
    mode: AtomicU8,
    in_flight: AtomicU32,
    /// Since when a head (on HTTP/2 also any frame but DATA) is incomplete.
    head: Moment,
    /// Since when there is no request.
    idle: Moment,
    /// When the streams were last looked at.
    looked: Moment,
    streams: Mutex<Slots>,
    closed: OnceLock<Closed>,
}

/// The times that apply here, of [`EdgeTimeouts`].
#[derive(Debug, Clone, Copy)]
struct Times {
    head: Duration,
    idle: Duration,
    write: Duration,
}

/// Longer times would overflow when added to a date.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// One request at a time: HTTP/1, and whatever has not been told apart yet.
const SINGLE: u8 = 0;
/// HTTP/2.
const MULTIPLEXED: u8 = 1;
/// Bytes that are none of our business.
const TUNNEL: u8 = 2;

impl ConnectionState {
    pub(super) fn new(timeouts: &EdgeTimeouts) -> Self {
        let epoch = Instant::now();
        let state = Self {
            times: Times {
                head: timeouts.head.min(FOREVER),
                idle: timeouts.idle.min(FOREVER),
                write: timeouts.write.min(FOREVER),
            },
            mode: AtomicU8::new(SINGLE),
            in_flight: AtomicU32::new(0),
            head: Moment::new(epoch),
            idle: Moment::new(epoch),
            looked: Moment::new(epoch),
            streams: Mutex::default(),
            closed: OnceLock::new(),
        };
        state.head.restart();
        state.idle.restart();
        state
    }

    /// The TLS handshake is over: the time for the first byte and head starts anew.
    pub fn handshake_done(&self) {
        self.head.restart();
        self.idle.restart();
    }

    /// HTTP/2: the next request is that of a stream which ends, alone, when what serves it is aborted. Called where that is polled for
    /// the first time.
    pub fn begin_stream(&self, serving: AbortHandle) {
        self.streams().served_by(serving);
    }

    /// A head is complete: nothing is asked of the visitor but to read, until the answer has ended and the value is dropped.
    pub fn begin_request(self: &Arc<Self>) -> Exchange {
        let first = self.in_flight.fetch_add(1, Relaxed) == 0;
        let multiplexed = self.is(MULTIPLEXED);
        if !multiplexed {
            self.head.clear();
        } else if first {
            self.looked.restart();
        }
        Exchange {
            slot: multiplexed.then(|| self.streams().take()),
            state: Arc::clone(self),
        }
    }

    /// Requests whose answers have not ended.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Why the connection was closed, if it was closed by one of the rules here.
    pub fn closed(&self) -> Option<Closed> {
        self.closed.get().copied()
    }

    /// Notes the reason (the first one stands) and makes the error that closes the connection.
    pub(super) fn close(&self, reason: Closed) -> io::Error {
        let reason = *self.closed.get_or_init(|| reason);
        io::Error::new(io::ErrorKind::TimedOut, reason)
    }

    pub(super) fn is_tunnel(&self) -> bool {
        self.is(TUNNEL)
    }

    /// From here on an observer of frames says when a head is incomplete.
    pub(super) fn multiplex(&self) {
        self.mode.store(MULTIPLEXED, Relaxed);
    }

    /// HTTP/2: whether a frame or header block is incomplete, and whether it is another one than before.
    pub(super) fn frame_incomplete(&self, incomplete: bool, another: bool) {
        if !incomplete {
            self.head.clear();
        } else if another || !self.head.is_running() {
            self.head.restart();
        }
    }

    /// HTTP/1: a byte that comes between two requests begins a head.
    pub(super) fn bytes_read(&self) {
        if self.is(SINGLE) && self.in_flight() == 0 && !self.head.is_running() {
            self.head.restart();
        }
    }

    /// HTTP/1: the last answer has left; `begun` says that the next head has come in part.
    pub(in crate::proxy) fn wait_for_next(&self, begun: bool) {
        if begun {
            self.bytes_read();
        }
    }

    /// The last answer is still on its way: the idle time counts from now.
    pub(super) fn touch(&self) {
        if self.in_flight() == 0 {
            self.idle.restart();
        }
    }

    /// The socket takes bytes again: what the visitor owes us counts from now.
    pub(super) fn unblocked(&self) {
        self.touch();
        if self.head.is_running() && self.is(MULTIPLEXED) {
            self.head.restart();
        }
    }

    pub(super) fn idle_time(&self) -> Duration {
        self.times.idle
    }

    pub(super) fn write_time(&self) -> Duration {
        self.times.write
    }

    /// When the connection must be looked at next for what the visitor owes us; nothing while we are `writing` to a socket that
    /// takes no more, because the codec may not read then.
    pub(super) fn deadline(&self, writing: bool) -> Option<Instant> {
        let (head, idle) = self.read_deadlines(writing);
        let look = (self.is(MULTIPLEXED) && self.in_flight() > 0)
            .then(|| {
                self.looked
                    .since()
                    .map(|since| since + self.times.write / 2)
            })
            .flatten();
        [head, idle, look].into_iter().flatten().min()
    }

    /// Which deadline has passed.
    pub(super) fn expired(&self, now: Instant, writing: bool) -> Option<Closed> {
        let (head, idle) = self.read_deadlines(writing);
        let passed = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if passed(head) {
            return Some(Closed::Head);
        }
        if passed(idle) {
            return Some(Closed::Idle);
        }
        if self.is(MULTIPLEXED) {
            self.looked.restart();
            let ended = self.streams().end_stuck(now, self.times.write);
            return (!ended).then_some(Closed::Stream);
        }
        None
    }

    fn read_deadlines(&self, writing: bool) -> (Option<Instant>, Option<Instant>) {
        let mode = self.mode.load(Relaxed);
        let busy = self.in_flight() > 0;
        if mode == TUNNEL || writing || (mode == SINGLE && busy) {
            return (None, None);
        }
        let head = self.head.since().map(|since| since + self.times.head);
        // On HTTP/1 a head that has begun is no longer idleness; on HTTP/2 a frame may come at any time and proves nothing.
        if busy || (mode == SINGLE && head.is_some()) {
            return (head, None);
        }
        (head, self.idle.since().map(|since| since + self.times.idle))
    }

    fn is(&self, mode: u8) -> bool {
        self.mode.load(Relaxed) == mode
    }

    fn streams(&self) -> MutexGuard<'_, Slots> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request and its answer; dropped when the answer has ended, whichever way.
#[derive(Debug)]
pub struct Exchange {
    state: Arc<ConnectionState>,
    /// Its place among the streams of an HTTP/2 connection. On HTTP/1 the socket itself tells who stalls.
    slot: Option<usize>,
}

impl Exchange {
    /// Bytes of the answer were handed over: the next move is the visitor's, who may keep its HTTP/2 window shut. A stream that
    /// stays so for `write` is ended (found at the latest half as long after).
    pub fn waiting_on_visitor(&self) {
        if let Some(slot) = self.slot {
            self.state.streams().turn(slot, true);
        }
    }

    /// The visitor's side asked for more of the answer: the next move is the application's.
    pub fn progress(&self) {
        if let Some(slot) = self.slot {
            self.state.streams().turn(slot, false);
        }
    }

    /// The connection becomes a tunnel (101): no rule about reading applies any more, and ending our side leaves the other open.
    pub fn into_tunnel(self) {
        if self.slot.is_none() {
            self.state.mode.store(TUNNEL, Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.state.streams().release(slot);
        }
        if self.state.in_flight.fetch_sub(1, Relaxed) == 1 {
            self.state.idle.restart();
        }
    }
}
