//! Lines on their way from the requests to the writer: one buffer, bounded in bytes.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use prometheus::IntCounter;

/// Lines not yet written.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for lines, or for the end.
    wake: Condvar,
    dropped: IntCounter,
    /// In bytes.
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    writer_waits: bool,
    closed: bool,
}

/// What the writer is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Write the lines that were put into its buffer.
    Write,
    /// End: nothing is left and nothing more will come.
    End,
}

impl Queue {
    pub(super) fn new(capacity: usize, dropped: IntCounter) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            dropped,
            capacity,
        }
    }

    /// Adds a line, or drops and counts it where there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.closed || state.lines.len() + line.len() > self.capacity {
            drop(state);
            self.dropped.inc();
            return;
        }
        state.lines.extend_from_slice(line);
        // Waking costs a system call: only the first line after a silence pays for it.
        if std::mem::take(&mut state.writer_waits) {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Waits for lines and swaps them for the empty `buffer`.
    pub(super) fn take(&self, buffer: &mut Vec<u8>) -> Next {
        let mut state = self.lock();
        while state.lines.is_empty() {
            if state.closed {
                return Next::End;
            }
            state.writer_waits = true;
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        state.writer_waits = false;
        std::mem::swap(&mut state.lines, buffer);
        Next::Write
    }

    /// Lets `pause` pass so that lines gather, unless the end comes first.
    pub(super) fn linger(&self, pause: Duration) {
        let state = self.lock();
        // A panic of another thread is no reason to lose lines, and how the wait ended makes no difference.
        let _ = self
            .wake
            .wait_timeout_while(state, pause, |state| !state.closed);
    }

    /// No more lines from now on.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Counts lines that the writer could not write.
    pub(super) fn lost(&self, lines: usize) {
        self.dropped.inc_by(lines as u64);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
