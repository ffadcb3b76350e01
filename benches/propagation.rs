//! How soon what one process commits is in force on a node: two nodes on one PostgreSQL, tenants created over a connection of their
//! own, and a visitor of the second node who asks for each of them until it is there. `cargo bench --bench propagation`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and ends where it cannot go on"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use vestibule::app::Edge;
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::Slug;
use vestibule::store::{Access, NewTenant, Store};

#[expect(
    dead_code,
    reason = "the tests' server can do more than is needed here"
)]
#[path = "../tests/it/harness/postgres.rs"]
mod postgres;

/// Tenants created in each round.
const TENANTS: usize = 200;

/// Between two questions: without it the asking would take the processor from the node that is asked.
const PAUSE: Duration = Duration::from_micros(200);

/// How nodes learn of a change, what is asked of it (design/performance.md), and the configuration that makes it so.
const ROUNDS: [(&str, Duration, &str); 2] = [
    ("LISTEN", Duration::from_millis(50), ""),
    // Nobody listens at that address, so no notification ever arrives.
    (
        "polling alone",
        Duration::from_secs(1),
        "listen_url = \"postgres://nobody@127.0.0.1:1/none\"",
    ),
];

fn main() {
    // `cargo test --all-targets` runs benchmarks, too, and says so by not saying this.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    println!("{TENANTS} tenants created, from the commit until another node serves each of them:");
    println!(
        "{:14} {:>9} {:>9} {:>9}   p99 asked",
        "", "p50", "p99", "max"
    );
    for (name, asked, setting) in ROUNDS {
        let mut spans = round(setting);
        spans.sort();
        let share = |percent: usize| spans[(spans.len() * percent).div_ceil(100) - 1];
        let (p50, p99, max) = (share(50), share(99), share(100));
        let verdict = if p99 <= asked { "met" } else { "MISSED" };
        println!(
            "{name:14} {:>9} {:>9} {:>9}   {} {verdict}",
            millis(p50),
            millis(p99),
            millis(max),
            millis(asked)
        );
    }
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1000.0)
}

fn round(setting: &str) -> Vec<Duration> {
    let runtime = Runtime::new().unwrap();
    let server = postgres::Postgres::private();
    let url = runtime.block_on(server.database());
    let (first, second) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let upstream = upstream();
    let settings = |folder: &TempDir| configuration(folder.path(), &url, setting, upstream);
    let eldest = Edge::start(&settings(&first), Clock::system()).unwrap();
    let key = |folder: &TempDir| folder.path().join("secret.key");
    std::fs::copy(key(&first), key(&second)).unwrap();
    let settings = settings(&second);
    let node = Edge::start(&settings, Clock::system()).unwrap();

    let opened = Store::open(&settings.store, Access::Command, Clock::system(), None);
    let store = runtime.block_on(opened).unwrap();
    let visitor = Visitor::of(node.addresses().http[0]);
    let create = |number: usize| {
        let slug = format!("tenant-{number}");
        visitor.ask_for(&slug);
        let tenant = NewTenant::new(Slug::parse(&slug).unwrap());
        runtime.block_on(store.create_tenant(tenant)).unwrap();
        let committed = Instant::now();
        visitor.served().saturating_duration_since(committed)
    };
    let spans = (0..TENANTS).map(create).collect();
    node.stop();
    eldest.stop();
    spans
}

fn configuration(folder: &Path, url: &str, setting: &str, upstream: SocketAddr) -> Config {
    let folder = folder.display();
    let toml = format!(
        "[edge]\nhttp = [\"127.0.0.1:0\"]\nworkers = 1\n\
         [edge.timeouts]\nshutdown_wait = \"0s\"\nshutdown_drain = \"1s\"\n\
         [store]\nurl = \"{url}\"\nsecret_key_file = \"{folder}/secret.key\"\n{setting}\n\
         [cache]\nsnapshot_file = \"{folder}/routes.snapshot\"\n\
         [tls]\ndirectory = \"{folder}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\naccess = \"off\"\n\
         [[upstream]]\nname = \"default\"\nendpoints = [\"http://{upstream}\"]\n"
    );
    Config::parse(&toml, "benchmark", std::iter::empty())
        .unwrap_or_else(|faults| panic!("{faults}"))
}

/// An application that says yes to everything.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut answers = connection.unwrap();
            let requests = BufReader::new(answers.try_clone().unwrap()).lines();
            std::thread::spawn(move || {
                // The end of a head; none of the requests has a body.
                for _ in requests.map_while(Result::ok).filter(String::is_empty) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    let _ = answers.write_all(answer);
                }
            });
        }
    });
    address
}

/// Asks for one tenant after another, each until it is served, over one connection.
struct Visitor {
    wishes: mpsc::Sender<String>,
    news: mpsc::Receiver<News>,
}

enum News {
    /// It is being asked for, and is not there.
    Asking,
    /// It was served at this moment.
    Served(Instant),
}

impl Visitor {
    fn of(node: SocketAddr) -> Self {
        let (wishes, wished) = mpsc::channel::<String>();
        let (tell, news) = mpsc::channel();
        std::thread::spawn(move || {
            let mut connection = Connection::to(node);
            for slug in wished {
                assert_eq!(connection.ask(&slug), 404);
                tell.send(News::Asking).unwrap();
                while connection.ask(&slug) != 200 {
                    std::thread::sleep(PAUSE);
                }
                tell.send(News::Served(Instant::now())).unwrap();
            }
        });
        Self { wishes, news }
    }

    /// Returns when it has been asked for once.
    fn ask_for(&self, slug: &str) {
        self.wishes.send(slug.to_owned()).unwrap();
        assert!(matches!(self.news.recv(), Ok(News::Asking)));
    }

    fn served(&self) -> Instant {
        match self.news.recv() {
            Ok(News::Served(at)) => at,
            _ => panic!("the visitor gave up"),
        }
    }
}

/// A connection that is made anew where the node ends it, as it does after a thousand requests.
struct Connection {
    node: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn to(node: SocketAddr) -> Self {
        let stream = TcpStream::connect(node).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        Self { node, stream }
    }

    /// The status of the answer for the tenant's front page; its body is read and left.
    fn ask(&mut self, slug: &str) -> u16 {
        let request = format!("GET / HTTP/1.1\r\nhost: {slug}.localhost\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let status = self.line().split(' ').nth(1).unwrap().parse().unwrap();
        let (mut length, mut last) = (0, false);
        while let Some((name, value)) = self.line().split_once(": ") {
            match name {
                "content-length" => length = value.trim().parse().unwrap(),
                "connection" => last = value.trim() == "close",
                _ => {}
            }
        }
        std::io::copy(&mut (&mut self.stream).take(length), &mut std::io::sink()).unwrap();
        if last {
            *self = Self::to(self.node);
        }
        status
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line
    }
}
