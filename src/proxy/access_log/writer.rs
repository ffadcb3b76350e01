//! The thread that writes lines, many at a time.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::queue::{Next, Queue};

/// Ends the thread when dropped.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
    /// Closed by the thread when it ends.
    ended: Receiver<()>,
}

pub(super) fn start(file: File, dropped: IntCounter) -> io::Result<(Arc<Queue>, Writer)> {
    let queue = Arc::new(Queue::new(CAPACITY, dropped));
    let (ending, ended) = sync_channel::<()>(0);
    let lines = Arc::clone(&queue);
    std::thread::Builder::new()
        .name("access-log".to_owned())
        .spawn(move || {
            run(&lines, Output::new(file));
            drop(ending);
        })?;
    Ok((Arc::clone(&queue), Writer { queue, ended }))
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        // Not a join: a reader of standard output that has stopped would hold the thread, and the process, for ever.
        if self.ended.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the access log could not be written to its end in time");
        }
    }
}

fn run(queue: &Queue, mut output: Output<impl Write>) {
    let mut buffer = Vec::new();
    while queue.take(&mut buffer) == Next::Write {
        queue.lost(output.write(&buffer));
        buffer.clear();
        // A burst's memory is not kept.
        buffer.shrink_to(KEPT);
        queue.linger(GATHER);
    }
}

/// The file, and how it fares.
pub(super) struct Output<W> {
    pub(super) file: W,
    /// The last line was cut short: the next one must not go on in it.
    torn: bool,
    warned: Option<Instant>,
}

impl<W: Write> Output<W> {
    pub(super) fn new(file: W) -> Self {
        Self {
            file,
            torn: false,
            warned: None,
        }
    }

    /// Writes whole lines; says how many of them could not be.
    pub(super) fn write(&mut self, lines: &[u8]) -> usize {
        if self.torn {
            match self.file.write(b"\n") {
                Ok(1..) => self.torn = false,
                Ok(0) => return self.give_up(lines, &io::ErrorKind::WriteZero.into()),
                Err(error) => return self.give_up(lines, &error),
            }
        }
        let mut rest = lines;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return self.give_up_within(lines, rest, &io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else made the pipe non-blocking: its reader is slow, which this thread may wait for.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(RETRY)
                }
                Err(error) => return self.give_up_within(lines, rest, &error),
            }
        }
        0
    }

    fn give_up_within(&mut self, lines: &[u8], rest: &[u8], error: &io::Error) -> usize {
        let written = &lines[..lines.len() - rest.len()];
        self.torn = written.last().is_some_and(|byte| *byte != b'\n');
        self.give_up(rest, error)
    }

    fn give_up(&mut self, rest: &[u8], error: &io::Error) -> usize {
        let now = Instant::now();
        if self
            .warned
            .is_none_or(|last| now.duration_since(last) >= WARN_EVERY)
        {
            self.warned = Some(now);
            tracing::warn!(%error, "the access log cannot be written; lines are dropped and counted");
        }
        rest.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Bytes of lines that may wait: some 16,000 lines.
const CAPACITY: usize = 8 << 20;
/// Bytes that a buffer may keep between writes.
const KEPT: usize = 256 << 10;
/// Between two writes, so that a busy node writes a few hundred times a second and not a hundred thousand times. Not longer: what gathers
/// is memory that every line goes through anew, and that is to stay in the processor's cache.
const GATHER: Duration = Duration::from_millis(2);
const RETRY: Duration = Duration::from_millis(5);
/// How long the end may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
const WARN_EVERY: Duration = Duration::from_secs(60);
