//! One JSON line for every request, written off the path: a request leaves its line in memory, a thread of its own writes.
//!
//! What does not fit, because the disk is full or the reader of standard output has stopped, is dropped and counted; no
//! request ever waits for its line.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::config;
use crate::metrics::Metrics;

mod escape;
mod line;
mod queue;
mod writer;

pub use line::AccessRecord;

use queue::Queue;

/// Where requests leave their lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog(Option<Arc<Queue>>);

/// Keeps the writer going; when dropped, what is left is written, for at most two seconds.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub struct AccessLogGuard {
    _writer: Option<writer::Writer>,
}

impl AccessLog {
    /// Opens what `to` names and starts the writer. A file is appended to, and made with mode 0640.
    pub fn start(
        to: &config::AccessLog,
        metrics: Arc<Metrics>,
    ) -> io::Result<(Self, AccessLogGuard)> {
        let file = match to {
            config::AccessLog::Off => return Ok((Self(None), AccessLogGuard { _writer: None })),
            config::AccessLog::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            config::AccessLog::File(path) => open(path)?,
        };
        let (queue, writer) = writer::start(file, metrics.access_log_dropped.clone())?;
        Ok((
            Self(Some(queue)),
            AccessLogGuard {
                _writer: Some(writer),
            },
        ))
    }

    /// Whether lines are kept at all: where not, nobody need gather what stands in them.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Leaves the line of one request. Never waits for the disk.
    pub fn line(&self, record: &AccessRecord<'_>) {
        let Some(queue) = &self.0 else { return };
        // The thread's own buffer is written to without a lock, and keeps its memory.
        LINE.with_borrow_mut(|line| {
            line.clear();
            record.write(line);
            queue.push(line);
        });
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Opened for writing alone a pipe would hold up the start until somebody reads it; open both ways (fifo(7)) it fills, lines are
    // dropped and counted, and its reader may come and go.
    let pipe = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo());
    OpenOptions::new()
        .read(pipe)
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;
