//! A file that is there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::cli::CliError;

/// What a file will hold, under another name beside it; gone when dropped without having taken its place.
pub(super) struct NewFile<'p> {
    path: &'p Path,
    temporary: PathBuf,
    force: bool,
    out: BufWriter<File>,
}

impl<'p> NewFile<'p> {
    /// Begins a file, its owner's only. Refused where `path` is there, unless `force`.
    pub(super) fn beside(path: &'p Path, force: bool) -> Result<Self, CliError> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(there(path));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // Two that write at once do not get into each other's file.
        name.push(format!(".{}.new", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(used(path))?;
        Ok(Self {
            path,
            temporary,
            force,
            out: BufWriter::with_capacity(256 * 1024, file),
        })
    }

    /// Puts it in its place, on disk when this returns.
    pub(super) fn take_place(mut self) -> Result<(), CliError> {
        let path = self.path;
        self.out.flush().map_err(used(path))?;
        self.out.get_ref().sync_all().map_err(used(path))?;
        self.rename()?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // The name itself is only safe once the folder is on disk.
        let folder = File::open(folder).map_err(used(path))?;
        folder.sync_all().map_err(used(path))
    }

    fn rename(&self) -> Result<(), CliError> {
        if !self.force {
            // A link never replaces anything, so that a file that has come meanwhile stays; the temporary name goes on drop.
            match fs::hard_link(&self.temporary, self.path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(there(self.path));
                }
                // Some file systems have no links.
                Err(_) if self.path.symlink_metadata().is_ok() => return Err(there(self.path)),
                Err(_) => {}
            }
        }
        fs::rename(&self.temporary, self.path).map_err(used(self.path))
    }
}

impl Write for NewFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

fn there(path: &Path) -> CliError {
    CliError::Usage(format!(
        "{} is there already; --force replaces it",
        path.display()
    ))
}

fn used(path: &Path) -> impl FnOnce(io::Error) -> CliError + use<> {
    let path = path.to_owned();
    move |source| CliError::Input { path, source }
}
