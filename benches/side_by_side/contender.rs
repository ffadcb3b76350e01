//! Starts those who are compared, and the application behind them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use crate::bed::{Bed, SHORT, TENANTS, fill, together, write};
use crate::edge;
use crate::fault::{Fault, Result, While};
use crate::load::host;
use crate::options::Name;
use crate::process::Process;

/// A proxy that runs.
pub(crate) struct Contender {
    pub(crate) name: Name,
    pub(crate) process: Process,
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    /// The operator's listener, which only Vestibule has.
    pub(crate) admin: Option<SocketAddr>,
    /// Its own files.
    pub(crate) folder: PathBuf,
}

/// The application.
pub(crate) struct Application {
    #[expect(dead_code, reason = "ends with this")]
    process: Process,
    pub(crate) port: u16,
}

/// Whose certificates are shown.
#[derive(Clone, Copy)]
pub(crate) enum Certificates<'a> {
    /// One for all.
    Wildcard,
    /// This many hosts have their own in this folder.
    Each(&'a Path, usize),
}

impl Application {
    pub(crate) fn start(bed: &Bed) -> Result<Self> {
        let (folder, port) = (bed.new_folder("application")?, bed.port()?);
        let file = folder.join("nginx.conf");
        let values = [
            ("FOLDER", folder.to_string_lossy().into_owned()),
            ("PORT", port.to_string()),
            ("WWW", bed.place("www").to_string_lossy().into_owned()),
            ("SHORT", SHORT.replace('\n', "\\n")),
        ];
        let template = include_str!("../peers/upstream.conf");
        write(&file, template, &borrowed(&values))?;
        let program = bed.program("NGINX", "nginx")?;
        let core = bed.options.load_core.to_string();
        let mut process = nginx(bed, &core, &program, &folder, &file)?;
        process.until(|| answers(port))?;
        Ok(Self { process, port })
    }
}

/// Starts one of those who are compared with.
pub(crate) fn start(
    bed: &Bed,
    name: Name,
    upstream: &Application,
    certificates: Certificates<'_>,
) -> Result<Contender> {
    if name == Name::Vestibule {
        return edge::ordinary(bed, upstream, certificates);
    }
    let folder = bed.new_folder(name.key())?;
    let (port, tls_port) = (bed.port()?, bed.port()?);
    let values = [
        ("FOLDER", folder.to_string_lossy().into_owned()),
        ("PORT", port.to_string()),
        ("TLS_PORT", tls_port.to_string()),
        ("UPSTREAM", upstream.port.to_string()),
        ("TENANTS", TENANTS.to_string()),
        ("MODULES", bed.nginx_modules()),
        ("MORE", more(name, certificates, tls_port)),
        ("CERTS", certificate_folder(bed, name)),
    ];
    let file = folder.join("configuration");
    write(&file, template(name), &borrowed(&values))?;
    let mut process =
        launch(bed, name, &folder, &file).when(|| format!("{} cannot take part", name.title()))?;
    process.until(|| answers(port))?;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Ok(Contender {
        name,
        process,
        http: at(port),
        https: at(tls_port),
        admin: None,
        folder,
    })
}

/// Whether somebody listens at that port.
pub(crate) fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn template(name: Name) -> &'static str {
    match name {
        Name::Haproxy => include_str!("../peers/haproxy.cfg"),
        Name::NginxLua => include_str!("../peers/nginx-lua.conf"),
        Name::Caddy => include_str!("../peers/Caddyfile"),
        Name::Nginx | Name::Vestibule => include_str!("../peers/nginx.conf"),
    }
}

fn launch(bed: &Bed, name: Name, folder: &Path, file: &Path) -> Result<Process> {
    let core = &bed.options.proxy_core.to_string();
    let text = file.to_string_lossy();
    let run = |program: PathBuf, arguments: &[&str]| {
        Process::start(&bed.janitor, core, &program, arguments, folder)
    };
    match name {
        Name::Haproxy => run(bed.program("HAPROXY", "haproxy")?, &["-db", "-f", &text]),
        Name::Caddy => {
            let arguments = ["run", "--adapter", "caddyfile", "--config", &text];
            run(bed.program("CADDY", "caddy")?, &arguments)
        }
        Name::NginxLua => {
            let module = Path::new(&bed.nginx_modules()).join("ngx_http_lua_module.so");
            if !module.is_file() {
                return Err(Fault::new(format!("{} is not installed", module.display())));
            }
            nginx(bed, core, &bed.program("NGINX_LUA", "nginx")?, folder, file)
        }
        Name::Nginx | Name::Vestibule => {
            nginx(bed, core, &bed.program("NGINX", "nginx")?, folder, file)
        }
    }
}

fn nginx(bed: &Bed, core: &str, program: &Path, folder: &Path, file: &Path) -> Result<Process> {
    let (prefix, file) = (folder.to_string_lossy(), file.to_string_lossy());
    let log = format!("{prefix}/error.log");
    let arguments = ["-p", &prefix, "-e", &log, "-c", &file];
    Process::start(&bed.janitor, core, program, &arguments, folder)
}

/// HAProxy finds certificates with their keys in one file.
fn certificate_folder(bed: &Bed, name: Name) -> String {
    let folder = bed.place("certs");
    let folder = if name == Name::Haproxy {
        together(&folder)
    } else {
        folder
    };
    folder.to_string_lossy().into_owned()
}

/// What is added to the configuration where each host has a certificate of its own.
fn more(name: Name, certificates: Certificates<'_>, tls_port: u16) -> String {
    let Certificates::Each(folder, count) = certificates else {
        return String::new();
    };
    if name == Name::Haproxy {
        return format!("crt {} ", together(folder).display());
    }
    let server = |number: usize| {
        let values = [
            ("PORT", tls_port.to_string()),
            ("NAME", host(number)),
            ("FILE", format!("{}/t{number}", folder.display())),
        ];
        fill(NGINX_SERVER, &borrowed(&values))
    };
    (0..count).map(server).collect()
}

/// One of many. nginx can also take a certificate's place from a variable, but reads and parses the file for each handshake then.
const NGINX_SERVER: &str = "
    server {
        listen 127.0.0.1:@PORT@ ssl http2;
        server_name @NAME@;
        ssl_certificate @FILE@.crt;
        ssl_certificate_key @FILE@.key;
        location / { proxy_pass http://application; }
    }";

/// As [`write()`] takes them.
pub(crate) fn borrowed<'a, const N: usize>(
    values: &'a [(&'static str, String); N],
) -> [(&'static str, &'a str); N] {
    std::array::from_fn(|index| (values[index].0, values[index].1.as_str()))
}
