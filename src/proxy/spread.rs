//! Which data-plane thread serves a connection.
//!
//! The kernel spreads visitors over the threads' sockets by a hash of their addresses, which is even among thousands of connections and
//! luck among a few long ones: of eight over four threads one thread has four or more nearly every other time. So a thread that has
//! accepted a connection and has clearly more of them than another passes it on, before a byte of it has been read. From then on it
//! belongs to that thread alone, like any other.

use std::iter;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::listener::Kind;
use crate::guard::ConnectionPermit;

/// A thread may have this part more than the one that has the fewest: passing on costs two threads some work, and among many connections
/// a small difference does no harm. Among fewer than this many the threads differ by one at the most.
const SLACK: usize = 8;
/// Most connections on their way to one thread. A thread that does not take them in is not given more.
const ON_THE_WAY: usize = 1024;

/// One data-plane thread's place among all of them.
#[derive(Debug)]
pub struct Post {
    /// Where it decides and passes on.
    pub(super) desk: Desk,
    /// What others pass on to it.
    pub(super) inbox: mpsc::Receiver<Passed>,
}

/// What a thread decides by.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    threads: Arc<[Thread]>,
    own: usize,
}

/// What the others know of a thread.
#[derive(Debug)]
struct Thread {
    open: Open,
    inbox: mpsc::Sender<Passed>,
}

/// Connections that a thread serves or is about to; on a cache line of its own, as each thread writes its own all the time.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Open(AtomicUsize);

/// One connection counted on the thread that is to serve it; given back when dropped.
#[derive(Debug)]
#[must_use = "the connection counts only while this is held"]
pub(super) struct Seat {
    threads: Arc<[Thread]>,
    number: usize,
}

/// A connection on its way to another thread.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) socket: TcpStream,
    pub(super) kind: Kind,
    pub(super) permit: ConnectionPermit,
    pub(super) seat: Seat,
}

/// Places for `threads` data-plane threads.
pub fn posts(threads: usize) -> Vec<Post> {
    let (senders, inboxes): (Vec<_>, Vec<_>) = iter::repeat_with(|| mpsc::channel(ON_THE_WAY))
        .take(threads)
        .unzip();
    let thread = |inbox| Thread {
        open: Open::default(),
        inbox,
    };
    let threads: Arc<[Thread]> = senders.into_iter().map(thread).collect();
    let post = |(own, inbox)| Post {
        desk: Desk {
            threads: Arc::clone(&threads),
            own,
        },
        inbox,
    };
    inboxes.into_iter().enumerate().map(post).collect()
}

impl Desk {
    /// A seat for a connection that this thread has accepted: on this thread, or on the one that has the fewest.
    pub(super) fn seat(&self) -> Seat {
        let mine = &self.threads[self.own].open.0;
        loop {
            let Some((other, fewest)) = self.fewest(mine.load(Relaxed)) else {
                mine.fetch_add(1, Relaxed);
                return self.counted(self.own);
            };
            // Unless somebody else was quicker, and there are fewer elsewhere by now.
            let open = &self.threads[other].open.0;
            if open
                .compare_exchange(fewest, fewest + 1, Relaxed, Relaxed)
                .is_ok()
            {
                return self.counted(other);
            }
        }
    }

    /// The thread that should have the next connection instead of this one, which has `mine`; and how many that one has.
    fn fewest(&self, mine: usize) -> Option<(usize, usize)> {
        let count = self.threads.len();
        // From the next one on, so that not all of them choose the same among equals.
        let others = (1..count).map(|step| (self.own + step) % count);
        let open = |other: usize| (other, self.threads[other].open.0.load(Relaxed));
        let (other, fewest) = others.map(open).min_by_key(|(_, open)| *open)?;
        (mine > fewest + fewest / SLACK).then_some((other, fewest))
    }

    fn counted(&self, number: usize) -> Seat {
        Seat {
            threads: Arc::clone(&self.threads),
            number,
        }
    }

    /// Whether `seat` is on this thread.
    pub(super) fn is_own(&self, seat: &Seat) -> bool {
        seat.number == self.own
    }

    /// Passes a connection to the thread on which it has its seat. Where that takes none in, it comes back with a seat here.
    pub(super) fn pass(&self, passed: Passed) -> Result<(), Passed> {
        let inbox = &self.threads[passed.seat.number].inbox;
        let back = match inbox.try_send(passed) {
            Ok(()) => return Ok(()),
            Err(
                mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back),
            ) => back,
        };
        self.threads[self.own].open.0.fetch_add(1, Relaxed);
        Err(Passed {
            seat: self.counted(self.own),
            ..back
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.threads[self.number].open.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
#[path = "spread/tests.rs"]
mod tests;
