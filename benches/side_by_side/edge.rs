//! Vestibule as it is measured: its store, its configuration with everything on, and what its own metrics say.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bed::{Bed, TENANTS, write};
use crate::contender::{Application, Certificates, Contender, borrowed};
use crate::fault::{Fault, Result, While};
use crate::options::Name;
use crate::process::Process;

/// How an edge is set up.
pub(crate) struct Plan<'a> {
    /// The store's file; see [`store`].
    pub(crate) store: PathBuf,
    pub(crate) workers: usize,
    pub(crate) certificates: &'a Path,
    /// Lines for `[cache]`; "" leaves it as it is out of the box.
    pub(crate) cache: &'a str,
}

/// Vestibule for the ordinary rows.
pub(crate) fn ordinary(
    bed: &Bed,
    upstream: &Application,
    certificates: Certificates<'_>,
) -> Result<Contender> {
    let wildcard = bed.place("certs");
    let (store, folder) = match certificates {
        Certificates::Each(folder, count) if keeps_certificates(bed) => {
            (store_with(bed, TENANTS, folder, count)?, wildcard.as_path())
        }
        Certificates::Each(folder, _) => (store(bed, TENANTS)?, folder),
        Certificates::Wildcard => (store(bed, TENANTS)?, wildcard.as_path()),
    };
    let plan = Plan {
        store,
        workers: 1,
        certificates: folder,
        cache: "",
    };
    start(bed, upstream, &plan)
}

/// Starts it and waits until it is ready.
pub(crate) fn start(bed: &Bed, upstream: &Application, plan: &Plan<'_>) -> Result<Contender> {
    let mut edge = launch(bed, upstream, plan)?;
    let admin = edge.admin;
    edge.process.until(|| admin.is_some_and(ready))?;
    Ok(edge)
}

/// Starts it and does not wait.
pub(crate) fn launch(bed: &Bed, upstream: &Application, plan: &Plan<'_>) -> Result<Contender> {
    let folder = bed.new_folder("vestibule")?;
    let ports = [bed.port()?, bed.port()?, bed.port()?];
    let values = [
        ("FOLDER", folder.to_string_lossy().into_owned()),
        ("PORT", ports[0].to_string()),
        ("TLS_PORT", ports[1].to_string()),
        ("ADMIN", ports[2].to_string()),
        ("WORKERS", plan.workers.to_string()),
        ("CERTS", plan.certificates.to_string_lossy().into_owned()),
        ("STORE", plan.store.to_string_lossy().into_owned()),
        ("CACHE", plan.cache.to_owned()),
        ("UPSTREAM", upstream.port.to_string()),
    ];
    let file = folder.join("vestibule.toml");
    let template = include_str!("../peers/vestibule.toml");
    write(&file, template, &borrowed(&values))?;
    let text = file.to_string_lossy();
    let arguments = ["--config", &text, "run"];
    let core = bed.options.proxy_core.to_string();
    let process = Process::start(&bed.janitor, &core, &bed.vestibule(), &arguments, &folder)?;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Contender {
        name: Name::Vestibule,
        process,
        http: at(ports[0]),
        https: at(ports[1]),
        admin: Some(at(ports[2])),
        folder,
    })
}

/// A store with so many tenants, made once: `t0` to `t<count - 1>`.
pub(crate) fn store(bed: &Bed, count: usize) -> Result<PathBuf> {
    let folder = bed.place("stores");
    std::fs::create_dir_all(&folder)?;
    let place = folder.join(format!("{count}.db"));
    if place.exists() {
        return Ok(place);
    }
    eprintln!("importing {count} tenants");
    let file = folder.join(format!("{count}.toml"));
    let name = place.to_string_lossy();
    write(&file, STORE, &[("STORE", &name)])?;
    command(bed, &file, &["store", "migrate"])?;
    let tenants = bed.tenants(count)?;
    command(
        bed,
        &file,
        &["tenant", "import", &tenants.to_string_lossy()],
    )?;
    Ok(place)
}

/// As [`store`], with the certificates of `folder`, of which there are `certificates`.
pub(crate) fn store_with(
    bed: &Bed,
    tenants: usize,
    folder: &Path,
    certificates: usize,
) -> Result<PathBuf> {
    let bare = store(bed, tenants)?;
    let name = format!("{tenants}-{certificates}");
    let place = bare.with_file_name(format!("{name}.db"));
    if place.exists() {
        return Ok(place);
    }
    eprintln!("importing {certificates} certificates");
    // Nobody has the bare store open any more, but who had was not asked to tidy up: there may be a write-ahead log.
    for part in ["", "-wal", ".key"] {
        let of = |store: &Path| PathBuf::from(format!("{}{part}", store.display()));
        if of(&bare).exists() {
            std::fs::copy(of(&bare), of(&place))?;
        }
    }
    let file = bare.with_file_name(format!("{name}.toml"));
    write(&file, STORE, &[("STORE", &place.to_string_lossy())])?;
    let from = folder.to_string_lossy();
    command(bed, &file, &["cert", "import", "--from", &from])?;
    Ok(place)
}

/// Whether this Vestibule takes many certificates into its store.
pub(crate) fn keeps_certificates(bed: &Bed) -> bool {
    let help = command(bed, Path::new("none"), &["cert", "import", "--help"]);
    help.is_ok_and(|help| help.contains("--from"))
}

const STORE: &str = "[store]\nurl = \"sqlite:@STORE@\"\nsecret_key_file = \"@STORE@.key\"\n";

/// Runs `vestibule` with a configuration; what it printed.
pub(crate) fn command(bed: &Bed, config: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(bed.vestibule())
        .arg("--config")
        .arg(config)
        .args(words)
        .current_dir(bed.place(""))
        .output()
        .when(|| bed.vestibule().display().to_string())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', " / ");
        return Err(Fault::new(format!("vestibule {}: {said}", words.join(" "))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `/readyz` says yes.
pub(crate) fn ready(admin: SocketAddr) -> bool {
    get(admin, "/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

impl Contender {
    /// The sum of its own series that begin so; nothing of a peer.
    pub(crate) fn metric(&self, series: &str) -> Result<f64> {
        let Some(admin) = self.admin else {
            return Ok(0.0);
        };
        let text = get(admin, "/metrics")?;
        let lines = text.lines().filter(|line| line.starts_with(series));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Routes that the store was asked for: new ones and old ones.
    pub(crate) fn routes_asked(&self) -> Result<f64> {
        Ok(self.look_ups()? + self.revalidated()?)
    }

    /// Queries of the store for one key each.
    pub(crate) fn look_ups(&self) -> Result<f64> {
        self.metric("vestibule_store_query_seconds_count{query=\"lookup\"}")
    }

    /// How many routes that had grown old it has looked up again so far; many with one query.
    pub(crate) fn revalidated(&self) -> Result<f64> {
        self.metric("vestibule_cache_revalidated_total")
    }

    /// How many assertions it has signed so far.
    pub(crate) fn signed(&self) -> Result<f64> {
        self.metric("vestibule_assertions_signed_total")
    }

    /// Waits until it knows the names of so many tenants.
    pub(crate) fn names_known(&self, tenants: usize) -> Result<()> {
        for _ in 0..6_000 {
            if self.metric("vestibule_cache_entries{cache=\"names\"}")? >= tenants as f64 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(Fault::new(
            "it does not come to know the names of all tenants",
        ))
    }

    /// Empties the access log, which would fill the disk in the course of a run.
    pub(crate) fn empty_log(&self) -> Result<()> {
        let log = self.folder.join("access.log");
        if log.exists() {
            std::fs::File::options().write(true).open(log)?.set_len(0)?;
        }
        Ok(())
    }
}

/// An answer of the operator's listener, head and all.
fn get(admin: SocketAddr, path: &str) -> Result<String> {
    let patience = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&admin, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
