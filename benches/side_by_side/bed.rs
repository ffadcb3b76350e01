//! What every measurement stands on: the folder, free ports, certificates, tenants to import, programs, and the janitor.

use std::cell::Cell;
use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::fault::{Fault, Result, While};
use crate::janitor::Janitor;
use crate::load::host;
use crate::options::Options;

/// Tenants of the ordinary rows.
pub(crate) const TENANTS: usize = 100_000;

/// Certificates of the handshake row.
pub(crate) const CERTIFICATES: usize = 10_000;

/// The answer of the application: 65 bytes, the line's end among them.
pub(crate) const SHORT: &str = "hello from the application, whose answer has sixty-five bytes...\n";

/// The application's large file.
pub(crate) const LARGE: usize = 1 << 20;

/// The bed.
pub(crate) struct Bed {
    pub(crate) options: Options,
    pub(crate) janitor: Janitor,
    /// Everything asynchronous of the visitors happens on this thread: it shares its core with the application.
    pub(crate) runtime: Runtime,
    pub(crate) authority: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
    given: std::cell::RefCell<HashSet<u16>>,
    folders: Cell<usize>,
}

impl Bed {
    pub(crate) fn make(options: Options) -> Result<Self> {
        let janitor = Janitor::hire()?;
        let mut folder = tempfile::Builder::new().prefix("side-by-side.").tempdir()?;
        if options.keep {
            folder.disable_cleanup(true);
            eprintln!("everything is kept in {}", folder.path().display());
        } else {
            janitor.folder(folder.path());
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key)?.der().clone();
        let bed = Self {
            options,
            janitor,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            authority,
            issuer: Issuer::new(params, key),
            folder,
            given: std::cell::RefCell::default(),
            folders: Cell::new(0),
        };
        bed.write_files()?;
        Ok(bed)
    }

    fn write_files(&self) -> Result<()> {
        std::fs::create_dir(self.place("www"))?;
        std::fs::write(self.place("www/large"), large())?;
        self.certificate(&self.place("certs"), "wildcard", "*.example.com")
    }

    /// A place in the run's folder.
    pub(crate) fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder for whom it may concern.
    pub(crate) fn new_folder(&self, name: &str) -> Result<PathBuf> {
        self.folders.set(self.folders.get() + 1);
        let folder = self.place(&format!("{}-{name}", self.folders.get()));
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// A port that was free a moment ago and that nobody else in this run gets.
    pub(crate) fn port(&self) -> Result<u16> {
        for _ in 0..100 {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
                .local_addr()?
                .port();
            if self.given.borrow_mut().insert(port) {
                return Ok(port);
            }
        }
        Err(Fault::new("there is no free port"))
    }

    /// Writes `NAME.crt` and `NAME.key` and, into the folder beside it that [`together`] names, both in `NAME.pem`: P-256, signed by
    /// the run's own authority.
    pub(crate) fn certificate(&self, folder: &Path, name: &str, hostname: &str) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        std::fs::create_dir_all(together(folder))?;
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![hostname.to_owned()])?;
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        let key = key.serialize_pem();
        let both = together(folder).join(format!("{name}.pem"));
        std::fs::write(both, format!("{chain}{key}"))?;
        std::fs::write(folder.join(format!("{name}.crt")), chain)?;
        std::fs::write(folder.join(format!("{name}.key")), key)?;
        Ok(())
    }

    /// A certificate for each of the first `count` tenants.
    pub(crate) fn certificates(&self, folder: &Path, count: usize) -> Result<()> {
        eprintln!("making {count} certificates");
        for number in 0..count {
            self.certificate(folder, &format!("t{number}"), &host(number))?;
        }
        Ok(())
    }

    /// Writes `count` tenants as `tenant import` reads them.
    pub(crate) fn tenants(&self, count: usize) -> Result<PathBuf> {
        let place = self.place(&format!("tenants-{count}.jsonl"));
        let mut file = BufWriter::new(std::fs::File::create(&place)?);
        for number in 0..count {
            writeln!(
                file,
                "{{\"slug\":\"t{number}\",\"name\":\"Tenant {number}\",\"plan\":\"standard\"}}"
            )?;
        }
        file.flush()?;
        Ok(place)
    }

    /// The program that `VESTIBULE_BENCH_<NAME>` names, else `program` from PATH or where servers are on Debian.
    pub(crate) fn program(&self, name: &str, program: &str) -> Result<PathBuf> {
        if let Some(place) = setting(name) {
            return Ok(PathBuf::from(place));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let more = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&path)
            .chain(more)
            .map(|folder| folder.join(program))
            .find(|place| place.is_file())
            .ok_or_else(|| Fault::new(format!("{program} is not installed")))
    }

    /// The Vestibule under test.
    pub(crate) fn vestibule(&self) -> PathBuf {
        let built = || PathBuf::from(env!("CARGO_BIN_EXE_vestibule"));
        let named = || setting("VESTIBULE").map(PathBuf::from);
        self.options
            .vestibule
            .clone()
            .or_else(named)
            .unwrap_or_else(built)
    }

    /// Where nginx's modules are.
    pub(crate) fn nginx_modules(&self) -> String {
        setting("NGINX_MODULES").unwrap_or_else(|| "/usr/lib/nginx/modules".to_owned())
    }
}

/// Where the certificates of `folder` are, each in one file with its key, as HAProxy wants them.
pub(crate) fn together(folder: &Path) -> PathBuf {
    folder.with_extension("pem")
}

/// What the environment says under `VESTIBULE_BENCH_<NAME>`.
fn setting(name: &str) -> Option<String> {
    std::env::var(format!("VESTIBULE_BENCH_{name}"))
        .ok()
        .filter(|value| !value.is_empty())
}

/// The large file: bytes that repeat only after a long while, so that a piece in the wrong place shows.
pub(crate) fn large() -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..LARGE).map(|_| next()).collect()
}

/// Fills in the `@NAME@`s of a template.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("@{name}@"), value)
        })
}

/// Fills in a template and writes it.
pub(crate) fn write(place: &Path, template: &str, values: &[(&str, &str)]) -> Result<()> {
    std::fs::write(place, fill(template, values))
        .when(|| format!("{} cannot be written", place.display()))
}
