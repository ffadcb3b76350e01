//! The folder in which `dev` keeps everything: made on the first run, left as it is afterwards.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::DevError;

/// Where it is; the configuration names it too.
pub(super) const PATH: &str = "var/dev";
const CONFIGURATION: &str = include_str!("vestibule.toml");
const SECRET_BYTES: usize = 32;

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
    configuration: PathBuf,
}

/// Whether the configuration was there before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// It has been made now.
    Nothing,
    /// It is whatever somebody made of it.
    Kept,
}

impl Folder {
    /// The folder at `path`.
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let configuration = path.join("vestibule.toml");
        Self {
            path,
            configuration,
        }
    }

    /// The configuration's file.
    pub(super) fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes what is missing of the files that the configuration needs, and the configuration.
    pub(super) fn prepare(&self) -> Result<Before, DevError> {
        let certificates = self.path.join("certs");
        std::fs::create_dir_all(&certificates).map_err(file(&certificates))?;
        // Keys and an access log are nothing for anybody's repository.
        make(&self.path.join(".gitignore"), b"*\n", 0o644)?;
        let secret = Zeroizing::new(rand::random::<[u8; SECRET_BYTES]>());
        let secret = Zeroizing::new(STANDARD.encode(secret.as_slice()));
        make(&self.path.join("session.secret"), secret.as_bytes(), 0o600)?;
        make(&self.configuration, CONFIGURATION.as_bytes(), 0o644)
    }
}

/// Makes a file unless there is one.
fn make(path: &Path, text: &[u8], mode: u32) -> Result<Before, DevError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
    {
        Ok(mut new) => new
            .write_all(text)
            .map(|()| Before::Nothing)
            .map_err(file(path)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Before::Kept),
        Err(error) => Err(file(path)(error)),
    }
}

fn file(path: &Path) -> impl Fn(std::io::Error) -> DevError + use<> {
    let path = path.to_owned();
    move |source| DevError::File {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{loopback, sessions};
    use super::*;
    use crate::cli::sample::{ISSUER, PLATFORM_HOST, UPSTREAM};
    use crate::clock::Clock;
    use crate::config::{Config, StoreUrl};

    #[test]
    fn the_configuration_fits_the_sample() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        folder.prepare().unwrap();
        let text = CONFIGURATION.replace(PATH, temporary.path().to_str().unwrap());
        let config = Config::parse(&text, "test", std::iter::empty()).unwrap();
        let database = temporary.path().join("vestibule.db");
        assert_eq!(config.store.url, StoreUrl::Sqlite(database));
        assert!(!config.edge.redirect_https);
        let platform = &config.routing.platform_hosts;
        assert!(platform.iter().any(|host| host.as_str() == PLATFORM_HOST));
        assert_eq!(config.signing.issuer, ISSUER);
        assert_eq!(config.upstreams[0].name, UPSTREAM);
        assert!(loopback(&config.upstreams[0]).is_some());
        assert!(sessions(&config, &Clock::system()).is_some());
    }

    #[test]
    fn what_is_there_stays_as_it_is() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("new"));
        assert_eq!(folder.prepare().unwrap(), Before::Nothing);
        let secret = folder.path().join("session.secret");
        let mode = secret.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = || [folder.configuration(), &secret].map(|file| std::fs::read(file).unwrap());
        std::fs::write(folder.configuration(), "# mine").unwrap();
        let before = read();
        assert_eq!(folder.prepare().unwrap(), Before::Kept);
        assert_eq!(read(), before);
    }
}
