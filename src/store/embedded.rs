//! The file of an embedded store, which somebody may replace or delete while it is open: SQLite itself would go on with what it has
//! open, and nobody else would ever see what it writes there.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// Which file it is, whatever it is called. While anybody has it open its number is not given to another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// The file at a path, as it was last looked at.
#[derive(Debug)]
pub(super) struct EmbeddedFile {
    path: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    id: Option<FileId>,
    since: Instant,
}

impl EmbeddedFile {
    /// Before the first connection is made.
    pub(super) fn new(path: PathBuf) -> Self {
        let seen = Mutex::new(Seen {
            id: id(&path),
            since: Instant::now(),
        });
        Self { path, seen }
    }

    /// Which file is there now; `None` where it is gone.
    pub(super) fn look(&self) -> Option<FileId> {
        self.seen().id
    }

    /// Whether a connection that was made `age` ago leads to the file that is there now.
    pub(super) fn is_led_to(&self, age: Duration) -> bool {
        // The look comes first: what was opened before the file was replaced is older than the moment in which that was noticed.
        age < self.seen().since.elapsed()
    }

    fn seen(&self) -> Seen {
        let now = id(&self.path);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now != seen.id {
            *seen = Seen {
                id: now,
                since: Instant::now(),
            };
            match now {
                Some(_) => {
                    tracing::warn!(file = %self.path.display(), "the store's file is another one now; it is opened again")
                }
                None => tracing::warn!(file = %self.path.display(), "the store's file is gone"),
            }
        }
        *seen
    }
}

impl FileId {
    /// The epoch of the feed in this file. A copy has the same feed and may have gone another way since.
    pub(super) fn epoch(self, feed: Uuid) -> Uuid {
        let file = u128::from(self.device) << 64 | u128::from(self.inode);
        Uuid::from_u128(feed.as_u128() ^ file)
    }
}

fn id(path: &std::path::Path) -> Option<FileId> {
    let file = std::fs::metadata(path).ok()?;
    Some(FileId {
        device: file.dev(),
        inode: file.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_another_one_and_older_connections_do_not_lead_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        std::fs::write(&path, "one").unwrap();
        let held = std::fs::File::open(&path).unwrap();
        let file = EmbeddedFile::new(path.clone());
        let first = file.look().unwrap();
        let opened = Instant::now();
        assert!(file.is_led_to(opened.elapsed()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(file.look(), None);
        assert!(!file.is_led_to(opened.elapsed()));
        std::fs::write(&path, "two").unwrap();
        let second = file.look().unwrap();
        assert_ne!(second, first);
        assert!(!file.is_led_to(opened.elapsed()));
        assert!(file.is_led_to(Duration::ZERO));
        let feed = Uuid::from_u128(7);
        assert_ne!(first.epoch(feed), second.epoch(feed));
        drop(held);
    }
}
