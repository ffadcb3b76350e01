//! How soon what one process commits is in force on every node: nodes on one PostgreSQL, tenants created over a connection of the
//! store's own, and a visitor at each node who asks for each of them until it is there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::Slug;
use vestibule::store::{Access, NewTenant, Store};

use crate::bed::{Bed, fill};
use crate::compare::Figure;
use crate::contender::{Application, borrowed};
use crate::edge;
use crate::fault::{Fault, Result, While};
use crate::load::percentile;
use crate::process::Process;
use crate::table::Found;

#[expect(
    dead_code,
    reason = "the tests' server can do more than is needed here"
)]
#[path = "../../../tests/it/harness/postgres.rs"]
mod postgres;

pub(crate) const ROWS: &[&str] = &["listen-2", "listen-8", "polling-2", "polling-8"];

/// Tenants created in each round.
const TENANTS: usize = 200;

/// Between two questions to a node: without it the asking would take the processor from the nodes that are asked.
const PAUSE: Duration = Duration::from_micros(500);

/// Each row with its number of nodes and how they learn of a change.
const ROUNDS: [(&str, usize, &str); 4] = [
    ("listen-2", 2, ""),
    ("listen-8", 8, ""),
    // Nobody listens at that address, so no notification ever arrives.
    (
        "polling-2",
        2,
        "listen_url = \"postgres://nobody@127.0.0.1:1/none\"",
    ),
    (
        "polling-8",
        8,
        "listen_url = \"postgres://nobody@127.0.0.1:1/none\"",
    ),
];

pub(crate) fn measure(bed: &Bed, found: &mut Found) -> Result<()> {
    let application = Application::start(bed)?;
    let tenants = bed.options.scaled(TENANTS);
    for (row, nodes, setting) in ROUNDS {
        if !bed.options.wants(row) {
            continue;
        }
        match round(bed, &application, nodes, setting, tenants) {
            Ok(mut spans) => {
                spans.sort_by(f64::total_cmp);
                let at = |percent| percentile(&spans, percent);
                let note = format!(
                    "until all nodes have it; {tenants} tenants; p50 {:.1} ms, most {:.1} ms",
                    at(50.0),
                    at(100.0)
                );
                found.row(row, Figure::of(vec![at(99.0)]), note);
            }
            Err(why) => found.miss(&[row], &why),
        }
    }
    Ok(())
}

/// Milliseconds from each commit until the last node serves the tenant.
fn round(
    bed: &Bed,
    application: &Application,
    nodes: usize,
    setting: &str,
    tenants: usize,
) -> Result<Vec<f64>> {
    let server = postgres::Postgres::private();
    let url = bed.runtime.block_on(server.database());
    let folder = bed.new_folder("fleet")?;
    let nodes = (0..nodes)
        .map(|number| Node::start(bed, application, &folder, number, &url, setting))
        .collect::<Result<Vec<_>>>()?;

    let config = configuration(&folder, 0, &url, setting, [0, 0, application.port]);
    let config = Config::parse(&config, "benchmark", std::iter::empty());
    let config = config.map_err(|faults| Fault::new(faults.to_string()))?;
    let opened = Store::open(&config.store, Access::Command, Clock::system(), None);
    let store = bed.runtime.block_on(opened)?;
    let mut spans = Vec::new();
    for number in 0..tenants {
        let slug = format!("tenant-{number}");
        for node in &nodes {
            node.ask_for(&slug)?;
        }
        let tenant = NewTenant::new(Slug::parse(&slug)?);
        bed.runtime.block_on(store.create_tenant(tenant))?;
        let committed = Instant::now();
        let mut last = committed;
        for node in &nodes {
            last = last.max(node.served()?);
        }
        spans.push(last.duration_since(committed).as_secs_f64() * 1000.0);
    }
    Ok(spans)
}

/// A node with its visitor.
struct Node {
    #[expect(dead_code, reason = "ends with this")]
    process: Process,
    wishes: mpsc::Sender<String>,
    news: mpsc::Receiver<Result<News>>,
}

enum News {
    /// It is being asked for, and is not there.
    Asking,
    /// It was served at this moment.
    Served(Instant),
}

impl Node {
    fn start(
        bed: &Bed,
        application: &Application,
        folder: &Path,
        number: usize,
        url: &str,
        setting: &str,
    ) -> Result<Self> {
        let (http, admin) = (bed.port()?, bed.port()?);
        let file = folder.join(format!("{number}.toml"));
        let ports = [http, admin, application.port];
        std::fs::write(&file, configuration(folder, number, url, setting, ports))?;
        let cores = format!("{},{}", bed.options.proxy_core, bed.options.load_core);
        let file = file.to_string_lossy();
        let arguments = ["--config", &file, "run"];
        let program = bed.vestibule();
        let mut process = Process::start(&bed.janitor, &cores, &program, &arguments, folder)?;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        process.until(|| edge::ready(at(admin)))?;
        let (wishes, wished) = mpsc::channel::<String>();
        let (tell, news) = mpsc::channel();
        std::thread::spawn(move || {
            let failed = match Connection::to(at(http)) {
                Ok(connection) => wait_for(connection, &wished, &tell),
                Err(why) => Err(why),
            };
            if let Err(why) = failed {
                let _ = tell.send(Err(why));
            }
        });
        Ok(Self {
            process,
            wishes,
            news,
        })
    }

    /// Returns when it has been asked for once.
    fn ask_for(&self, slug: &str) -> Result<()> {
        self.wishes.send(slug.to_owned())?;
        match self.news.recv()?? {
            News::Asking => Ok(()),
            News::Served(_) => Err(Fault::wrong_answer(format!("{slug} is there already"))),
        }
    }

    fn served(&self) -> Result<Instant> {
        match self.news.recv()?? {
            News::Served(at) => Ok(at),
            News::Asking => Err(Fault::new("the visitor lost his way")),
        }
    }
}

/// Asks for one tenant after another, each until it is served, over one connection.
fn wait_for(
    mut connection: Connection,
    wished: &mpsc::Receiver<String>,
    tell: &mpsc::Sender<Result<News>>,
) -> Result<()> {
    for slug in wished {
        let status = connection.ask(&slug)?;
        if status != 404 {
            let said = format!("{slug}, which does not exist yet, was answered {status}");
            return Err(Fault::wrong_answer(said));
        }
        tell.send(Ok(News::Asking))?;
        while connection.ask(&slug)? != 200 {
            std::thread::sleep(PAUSE);
        }
        tell.send(Ok(News::Served(Instant::now())))?;
    }
    Ok(())
}

/// `ports`: plain, the operator's, the application's.
fn configuration(
    folder: &Path,
    number: usize,
    url: &str,
    setting: &str,
    ports: [u16; 3],
) -> String {
    let values = [
        ("FOLDER", folder.to_string_lossy().into_owned()),
        ("NUMBER", number.to_string()),
        ("URL", url.to_owned()),
        ("SETTING", setting.to_owned()),
        ("PORT", ports[0].to_string()),
        ("ADMIN", ports[1].to_string()),
        ("UPSTREAM", ports[2].to_string()),
    ];
    fill(CONFIGURATION, &borrowed(&values))
}

const CONFIGURATION: &str = r#"
[edge]
http = ["127.0.0.1:@PORT@"]
workers = 1
node = "node-@NUMBER@"
[edge.timeouts]
shutdown_wait = "0s"
shutdown_drain = "1s"
[store]
url = "@URL@"
secret_key_file = "@FOLDER@/secret.key"
@SETTING@
[routing]
base_domains = ["example.com"]
[cache]
snapshot_file = "@FOLDER@/routes-@NUMBER@.snapshot"
[admin]
listen = "127.0.0.1:@ADMIN@"
[log]
level = "error"
access = "off"
[[upstream]]
name = "default"
endpoints = ["http://127.0.0.1:@UPSTREAM@"]
"#;

/// A connection that is made anew where the node ends it, as it does after a thousand requests.
struct Connection {
    node: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn to(node: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(node).when(|| format!("no connection to {node}"))?;
        stream.set_nodelay(true)?;
        let stream = BufReader::new(stream);
        Ok(Self { node, stream })
    }

    /// The status of the answer for the tenant's front page; its body is read and left.
    fn ask(&mut self, slug: &str) -> Result<u16> {
        let request = format!("GET / HTTP/1.1\r\nhost: {slug}.example.com\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).unwrap_or_default().parse()?;
        let (mut length, mut last) = (0, false);
        while let Some((name, value)) = self.line()?.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "connection" => last = value.trim() == "close",
                _ => {}
            }
        }
        std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink())?;
        if last {
            *self = Self::to(self.node)?;
        }
        Ok(status)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line)
    }
}
