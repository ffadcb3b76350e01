//! The snapshot as a file: who may have written it, and how it is replaced without a moment in which half of it is there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::SnapshotError;

/// Opens the snapshot, if there is one, and refuses it where others than this process's user (or root) may have written it.
pub(super) fn open(path: &Path) -> Result<Option<BufReader<File>>, SnapshotError> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !meta.is_file() {
        // Not even opened: a pipe would wait for its other end.
        return Err(SnapshotError::Foreign);
    }
    let file = File::open(path)?;
    let meta = file.metadata()?;
    let ours = own_uid().is_none_or(|uid| meta.uid() == uid || meta.uid() == 0);
    let others_write = meta.mode() & 0o022 != 0;
    if !ours || others_write {
        return Err(SnapshotError::Foreign);
    }
    Ok(Some(BufReader::new(file)))
}

/// Puts what `write` writes in the place of `path`, whole or not at all, readable by the owner only.
pub(super) fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<T, SnapshotError>,
) -> Result<T, SnapshotError> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let temporary = beside(path);
    // What a killed process left behind; made anew so that the mode and the owner are ours.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    let written = write(&mut out).and_then(|result| {
        out.flush()?;
        out.get_ref().sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename itself is only safe once the folder is on disk.
        File::open(folder)?.sync_all()?;
        Ok(result)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// The user this process runs as, where the system has a place to look that needs no `unsafe`.
fn own_uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|meta| meta.uid())
}

const BUFFER: usize = 256 * 1024;
