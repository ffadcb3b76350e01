//! One timer for many deadlines in turn, moved as rarely as possible: a deadline that recedes is noticed only when the timer rings.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that wakes a task no later than asked; it may wake it too early, never too late.
#[derive(Debug)]
pub struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    set: bool,
    /// Whom the timer wakes: a connection that becomes a tunnel moves to another task.
    waker: Option<Waker>,
}

impl Alarm {
    /// A timer that does not run.
    pub fn unset() -> Self {
        Self {
            sleep: None,
            set: false,
            waker: None,
        }
    }

    /// Whether it runs.
    pub fn is_set(&self) -> bool {
        self.set
    }

    /// Whether it has rung since it was set last; it is unset then.
    pub fn rang(&mut self) -> bool {
        let rang = self.set && self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed());
        self.set &= !rang;
        rang
    }

    /// Makes sure that the task is woken at `deadline` or before.
    pub fn ring_by(&mut self, deadline: Instant, cx: &mut Context<'_>) {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let early_enough = self.set && !sleep.is_elapsed() && sleep.deadline() <= deadline;
        let same_task = self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if early_enough && same_task {
            return;
        }
        if !early_enough {
            sleep.as_mut().reset(deadline);
        }
        self.set = true;
        if !same_task {
            self.waker = Some(cx.waker().clone());
        }
        // Without the task's budget: a timer that only says "yield first" would not have noted the waker.
        let polled = pin!(tokio::task::unconstrained(sleep.as_mut())).poll(cx);
        if polled.is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
