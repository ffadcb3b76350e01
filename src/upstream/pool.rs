//! One thread's connections: lanes, one for each address of each upstream, with the connections that wait there. Nothing here is
//! shared with another thread, so nothing is locked.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, MissedTickBehavior};

use super::address::Address;
use super::choose::{Candidates, choose};
use super::connect::Connection;
use super::{SendError, Upstream, Upstreams};

/// One data-plane thread's connections to all upstreams.
pub struct Pool {
    pub(super) upstreams: Arc<Upstreams>,
    parts: Vec<Part>,
    random: RefCell<SmallRng>,
    /// Held the head of the last request, will hold the next one's: one memory for all of them.
    head: Cell<Vec<u8>>,
    room: Rc<Room>,
}

/// Room that the last answer was read into, for the next one: one memory for all connections of a thread. What an answer still holds
/// of it is seen to by [`BytesMut`].
#[derive(Default)]
struct Room(Cell<BytesMut>);

impl Room {
    fn take(&self) -> BytesMut {
        self.0.take()
    }

    fn keep(&self, room: BytesMut) {
        if room.capacity() <= MAX_KEPT_ROOM {
            self.0.set(room);
        }
    }
}

/// One upstream as one thread sees it.
pub(super) struct Part {
    upstream: Arc<Upstream>,
    lanes: RefCell<Lanes>,
    /// Connections last reported as active and idle.
    reported: Cell<(i64, i64)>,
}

struct Lanes {
    /// The addresses these lanes lead to.
    of: Arc<Vec<Address>>,
    list: Vec<Rc<Lane>>,
    /// Where round robin stands.
    turn: usize,
}

/// One address as one thread sees it.
pub(super) struct Lane {
    pub(super) address: Address,
    room: Rc<Room>,
    /// Oldest first.
    idle: RefCell<VecDeque<Idle>>,
    capacity: usize,
    keep_alive: Duration,
    in_flight: Cell<usize>,
    resting_until: Cell<Option<Instant>>,
    /// Whether the address is no longer among the upstream's.
    gone: Cell<bool>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// A request's place on a lane, counted as long as it lives.
pub(super) struct Seat(Rc<Lane>);

/// A connection that carries a request. Dropping it closes it; only [`Self::give_back`] keeps it.
pub(super) struct InUse {
    pub(super) seat: Seat,
    pub(super) connection: Box<Connection>,
    /// Whether it has carried a request before.
    pub(super) reused: bool,
    /// Whether it may carry another one.
    pub(super) reusable: bool,
}

impl Pool {
    /// An empty pool. Must be called on the thread that will use it, inside its [`tokio::runtime::LocalRuntime`].
    pub fn new(upstreams: &Arc<Upstreams>) -> Rc<Self> {
        let parts = upstreams.iter().map(Part::new).collect();
        let pool = Rc::new(Self {
            upstreams: Arc::clone(upstreams),
            parts,
            random: RefCell::new(SmallRng::from_os_rng()),
            head: Cell::default(),
            room: Rc::default(),
        });
        let keep_alive = upstreams
            .iter()
            .map(|upstream| upstream.config.timeouts.keep_alive);
        if let Some(shortest) = keep_alive.min() {
            let period = (shortest / 2).clamp(SHORTEST_SWEEP, LONGEST_SWEEP);
            tokio::task::spawn_local(keep_swept(Rc::downgrade(&pool), period));
        }
        pool
    }

    /// This thread's part of `upstream`.
    pub(super) fn part(&self, upstream: &Upstream) -> Option<&Part> {
        self.parts.get(upstream.index)
    }

    /// A place on the lane to use now.
    pub(super) fn choose(&self, part: &Part, now: Instant) -> Result<Seat, SendError> {
        let mut lanes = part.lanes.borrow_mut();
        lanes.follow(&part.upstream, &self.room);
        let Lanes { list, turn, .. } = &mut *lanes;
        if list.is_empty() {
            return Err(SendError::NoEndpoint);
        }
        let draw = |below| self.random.borrow_mut().random_range(0..below);
        let candidates = View { list, now };
        let place = choose(part.upstream.config.balance, &candidates, turn, draw);
        Ok(Seat::new(&list[place]))
    }

    /// A place on a lane other than `tried`, preferably one that does not rest.
    pub(super) fn choose_other(&self, part: &Part, tried: &Seat, now: Instant) -> Option<Seat> {
        let lanes = part.lanes.borrow();
        let others = lanes.list.iter().filter(|lane| !Rc::ptr_eq(lane, &tried.0));
        others
            .min_by_key(|lane| (lane.rests(now), lane.in_flight.get()))
            .map(Seat::new)
    }

    /// Memory to write the next request's head into.
    pub fn memory(&self) -> Vec<u8> {
        self.head.take()
    }

    /// The memory of a head that was sent.
    pub(super) fn keep_memory(&self, head: Vec<u8>) {
        if head.capacity() <= MAX_KEPT_HEAD {
            self.head.set(head);
        }
    }

    fn sweep(&self, now: Instant) {
        for part in &self.parts {
            let mut lanes = part.lanes.borrow_mut();
            lanes.follow(&part.upstream, &self.room);
            for lane in &lanes.list {
                lane.drop_expired(now);
            }
            let active = lanes.list.iter().map(|lane| lane.in_flight.get()).sum();
            let idle = lanes.list.iter().map(|lane| lane.idle.borrow().len()).sum();
            drop(lanes);
            part.report(active, idle);
        }
    }
}

/// Closes what has waited too long, once in a while: a timer for each connection would cost more than it saves.
async fn keep_swept(pool: Weak<Pool>, period: Duration) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep(now);
    }
}

impl Part {
    fn new(upstream: &Arc<Upstream>) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            lanes: RefCell::new(Lanes {
                of: Arc::default(),
                list: Vec::new(),
                turn: 0,
            }),
            reported: Cell::new((0, 0)),
        }
    }

    /// Brings the gauges that all threads share up to date with this thread's share.
    fn report(&self, active: usize, idle: usize) {
        let now = (
            i64::try_from(active).unwrap_or(i64::MAX),
            i64::try_from(idle).unwrap_or(i64::MAX),
        );
        let before = self.reported.replace(now);
        self.upstream.series.active.add(now.0 - before.0);
        self.upstream.series.idle.add(now.1 - before.1);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.report(0, 0);
    }
}

impl Lanes {
    /// Has a lane for each of the upstream's addresses; those that stay keep their connections.
    fn follow(&mut self, upstream: &Upstream, room: &Rc<Room>) {
        let known = upstream.addresses.load();
        if Arc::ptr_eq(&known, &self.of) {
            return;
        }
        let mut before = std::mem::take(&mut self.list);
        self.list = known
            .iter()
            .map(|address| {
                let place = before.iter().position(|lane| lane.address.is_same(address));
                match place {
                    Some(place) => before.swap_remove(place),
                    None => Rc::new(Lane::new(address, upstream, room)),
                }
            })
            .collect();
        for lane in before {
            lane.gone.set(true);
            lane.idle.borrow_mut().clear();
        }
        self.of = Arc::clone(&known);
    }
}

impl Lane {
    fn new(address: &Address, upstream: &Upstream, room: &Rc<Room>) -> Self {
        Self {
            address: address.clone(),
            room: Rc::clone(room),
            idle: RefCell::default(),
            capacity: upstream.config.idle_connections,
            keep_alive: upstream.config.timeouts.keep_alive,
            in_flight: Cell::new(0),
            resting_until: Cell::new(None),
            gone: Cell::new(false),
        }
    }

    fn rests(&self, now: Instant) -> bool {
        self.resting_until.get().is_some_and(|until| until > now)
    }

    fn drop_expired(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| {
            idle.since + self.keep_alive > now && idle.connection.stream.is_quiet()
        });
    }
}

impl Seat {
    fn new(lane: &Rc<Lane>) -> Self {
        lane.in_flight.set(lane.in_flight.get() + 1);
        Self(Rc::clone(lane))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// The connection that was used last, which is the least likely to have been closed by the other side. One that is closed, or
    /// has got bytes that nobody asked for, is dropped.
    pub(super) fn take_idle(&self, now: Instant) -> Option<Box<Connection>> {
        let mut idle = self.0.idle.borrow_mut();
        while let Some(Idle {
            mut connection,
            since,
        }) = idle.pop_back()
        {
            if since + self.0.keep_alive <= now {
                // The ones left have waited longer still.
                idle.clear();
                return None;
            }
            if connection.stream.is_quiet() {
                connection.read = self.0.room.take();
                return Some(connection);
            }
        }
        None
    }

    /// Connecting failed: other lanes are preferred for a moment.
    pub(super) fn rest(&self, now: Instant) {
        self.0.resting_until.set(Some(now + REST));
    }

    /// Connecting worked.
    pub(super) fn wake(&self) {
        self.0.resting_until.set(None);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0
            .in_flight
            .set(self.0.in_flight.get().saturating_sub(1));
    }
}

impl InUse {
    /// The exchange is over: the connection waits for the next one if it can carry one. It cannot if either side said `close`, or
    /// bytes came that belong to no answer.
    pub(super) fn give_back(mut self) {
        let lane = &self.seat.0;
        if !self.reusable || !self.connection.read.is_empty() || lane.gone.get() {
            return;
        }
        // Idle connections hold no memory for what may come.
        lane.room.keep(std::mem::take(&mut self.connection.read));
        let mut idle = lane.idle.borrow_mut();
        if idle.len() >= lane.capacity {
            idle.pop_front();
        }
        if lane.capacity > 0 {
            idle.push_back(Idle {
                connection: self.connection,
                since: Instant::now(),
            });
        }
    }
}

struct View<'a> {
    list: &'a [Rc<Lane>],
    now: Instant,
}

impl Candidates for View<'_> {
    fn count(&self) -> usize {
        self.list.len()
    }

    fn load(&self, place: usize) -> usize {
        self.list[place].in_flight.get()
    }

    fn resting(&self, place: usize) -> bool {
        self.list[place].rests(self.now)
    }
}

/// One large head must not hold its memory for ever.
const MAX_KEPT_HEAD: usize = 16 * 1024;
/// Room for a large body must not be held for ever either.
const MAX_KEPT_ROOM: usize = 64 * 1024;
/// How long a lane rests after connecting failed there.
const REST: Duration = Duration::from_secs(2);
/// Sweeping is cheap, but not free.
const SHORTEST_SWEEP: Duration = Duration::from_millis(10);
/// The gauges lag by at most this.
const LONGEST_SWEEP: Duration = Duration::from_secs(1);
