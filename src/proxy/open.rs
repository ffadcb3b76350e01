//! Connections and tunnels that are open on a thread, and how each is told to end.
//!
//! A connection looks at one flag whenever it is polled anyway; whoever wants it to end sets the flag and wakes it. Nothing is paid for
//! stopping, age or a used-up number of requests on the way of a request.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::shutdown::{Phase, Stopping};

/// Most requests on one HTTP/1 connection (nginx's bound), and most streams on one of HTTP/2: memory that grows with use, and visitors
/// that stick to one thread for ever, both end with the connection.
pub(super) const REQUESTS: u32 = 1_000;
pub(super) const STREAMS: u32 = 10_000;
/// Longest life of a connection; each has up to a tenth less, so that those that came together do not go together.
const LIFE: Duration = Duration::from_secs(3600);
/// How often ages are looked at.
const SWEEP: Duration = Duration::from_secs(15);

/// How far a connection is to go on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) enum Course {
    /// As long as the visitor likes.
    #[default]
    On,
    /// To the end of the requests that have begun.
    Finish,
    /// Not at all.
    Stop,
}

/// Everything that is open on one thread.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: RefCell<HashMap<u64, Rc<Ending>>>,
    next: Cell<u64>,
    none_left: Notify,
    /// For those that come late: what the others have been told already.
    course: Cell<Course>,
}

/// One open connection or tunnel; leaves the table when dropped.
#[derive(Debug)]
pub(super) struct OpenConnection {
    table: Rc<Connections>,
    number: u64,
    ending: Rc<Ending>,
}

/// Whether one connection is to end.
#[derive(Debug)]
pub(super) struct Ending {
    course: Cell<Course>,
    waker: RefCell<Option<Waker>>,
    until: Instant,
}

impl Connections {
    /// Enters a connection.
    pub(super) fn open(self: &Rc<Self>) -> OpenConnection {
        let number = self.next.get();
        self.next.set(number + 1);
        // Spread by the number: near enough to chance, and drawn without a generator.
        let less = LIFE.mul_f64(0.1 * f64::from((number % 64) as u32) / 64.0);
        let ending = Rc::new(Ending {
            course: self.course.clone(),
            waker: RefCell::new(None),
            until: Instant::now() + LIFE - less,
        });
        self.all.borrow_mut().insert(number, Rc::clone(&ending));
        OpenConnection {
            table: Rc::clone(self),
            number,
            ending,
        }
    }

    /// Ends what has grown old, and everything in its order when the node stops. Runs for as long as the thread.
    pub(super) async fn watch(self: Rc<Self>, stopping: Stopping) {
        let draining = stopping.reached(Phase::Draining);
        tokio::select! {
            () = self.sweep() => {}
            () = draining => {}
        }
        self.tell_all(Course::Finish);
        stopping.reached(Phase::Ended).await;
        self.tell_all(Course::Stop);
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            let all: Vec<_> = self.all.borrow().values().cloned().collect();
            all.iter()
                .filter(|ending| ending.until <= now)
                .for_each(|ending| ending.tell(Course::Finish));
        }
    }

    fn tell_all(&self, course: Course) {
        self.course.set(course);
        let all: Vec<_> = self.all.borrow().values().cloned().collect();
        all.iter().for_each(|ending| ending.tell(course));
    }

    /// Resolves when nothing is open.
    pub(super) async fn none_left(&self) {
        while !self.all.borrow().is_empty() {
            self.none_left.notified().await;
        }
    }
}

impl OpenConnection {
    /// What the connection itself looks at.
    pub(super) fn ending(&self) -> &Rc<Ending> {
        &self.ending
    }
}

impl Ending {
    /// Asks the connection to take `course`; it never goes back to an earlier one.
    pub(super) fn tell(&self, course: Course) {
        if course > self.course.get() {
            self.course.set(course);
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Whether the connection is to end. Nobody is woken when that changes: [`course`](Self::course) is asked too.
    pub(super) fn is_told(&self) -> bool {
        self.course.get() > Course::On
    }

    /// Resolves once the connection is to end.
    pub(super) async fn told(&self) {
        std::future::poll_fn(|cx| match self.course(cx) {
            Course::On => Poll::Pending,
            Course::Finish | Course::Stop => Poll::Ready(()),
        })
        .await;
    }

    /// How far to go on; `cx` is woken when that changes.
    pub(super) fn course(&self, cx: &Context<'_>) -> Course {
        let course = self.course.get();
        if course < Course::Stop {
            let mut waker = self.waker.borrow_mut();
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
        }
        course
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut all = self.table.all.borrow_mut();
        all.remove(&self.number);
        if all.is_empty() {
            self.table.none_left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Shutdown;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn connections_end_by_age_and_with_the_node() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let (shutdown, stopping) = Shutdown::new();
                let connections = Rc::new(Connections::default());
                tokio::task::spawn_local(Rc::clone(&connections).watch(stopping));
                let old = connections.open();
                let told = |open: &OpenConnection, course| {
                    let ending = Rc::clone(open.ending());
                    std::future::poll_fn(move |cx| {
                        if ending.course(cx) >= course {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                };
                told(&old, Course::Finish).await;
                let young = connections.open();
                shutdown.enter(Phase::Draining);
                told(&young, Course::Finish).await;
                let late = connections.open();
                late.ending().told().await;
                shutdown.enter(Phase::Ended);
                told(&young, Course::Stop).await;
                drop((old, young, late));
                connections.none_left().await;
            })
            .await;
    }
}
