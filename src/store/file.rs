//! Whether a connection to an embedded store still has the file open that stands at the store's path: one that was moved away, or for
//! which a backup was put in, goes on being read by whoever has it open, and nobody would notice.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Tells one file from another: device and number.
pub(super) type FileId = (u64, u64);

/// The file at `path` now, if there is one.
pub(super) fn file_id(path: &Path) -> Option<FileId> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// The file at a path, and since when it has been that one.
pub(super) struct PlacedFile {
    path: PathBuf,
    placed: Mutex<(Option<FileId>, Option<Instant>)>,
}

impl PlacedFile {
    /// The file at `path`, before anybody opens it.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            placed: Mutex::new((file_id(path), None)),
        }
    }

    /// Whether a connection that was opened `age` ago has the file open that is at the path now. SQLite itself sees to it that one
    /// which has not does no harm when it is closed.
    pub(super) fn is_open_since(&self, age: Duration) -> bool {
        let now = file_id(&self.path);
        let mut placed = self.placed.lock().unwrap_or_else(PoisonError::into_inner);
        if placed.0 != now {
            *placed = (now, Some(Instant::now()));
        }
        now.is_some() && placed.1.is_none_or(|since| age < since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_belongs_to_the_file_that_was_there_when_it_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("db"), folder.path().join("away"));
        std::fs::write(&path, "").unwrap();
        let file = PlacedFile::at(&path);
        let second = Duration::from_secs(1);
        assert!(file.is_open_since(10 * second));
        std::fs::rename(&path, &away).unwrap();
        assert!(!file.is_open_since(10 * second));
        std::fs::write(&path, "").unwrap();
        assert!(!file.is_open_since(10 * second));
        tokio::time::advance(2 * second).await;
        assert!(!file.is_open_since(2 * second));
        assert!(file.is_open_since(second));
    }
}
