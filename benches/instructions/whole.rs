//! A whole request: an edge in this process with everything on, a visitor who asks over one connection, an application that answers.
//!
//! Visitor and application are a few system calls each, so nearly all that is counted is the edge's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use tokio::runtime::Runtime;
use vestibule::app::Edge;
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::Slug;
use vestibule::store::{Access, NewTenant, Store};

use super::world::FIELDS;

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n";

/// Makes so many requests, each answered before the next. At most a thousand go over one connection.
pub(crate) fn requests(times: u64) {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "[edge]\nhttp = [\"127.0.0.1:0\"]\nworkers = 1\n\
         [edge.timeouts]\nhead = \"300s\"\nshutdown_wait = \"0s\"\nshutdown_drain = \"1s\"\n\
         [store]\nurl = \"sqlite:{folder}/vestibule.db\"\nsecret_key_file = \"{folder}/secret.key\"\n\
         [routing]\nbase_domains = [\"example.com\"]\n\
         [cache]\nttl = \"1h\"\nsnapshot_file = \"{folder}/routes.snapshot\"\n\
         [limits]\nrequests_per_second = 1_000_000\nin_flight = 1_000\n\
         [tls]\ndirectory = \"{folder}\"\n[admin]\nlisten = \"\"\n[log]\naccess = \"{folder}/access.log\"\n\
         [[upstream]]\nname = \"default\"\nendpoints = [\"http://{application}\"]\n",
        folder = folder.path().display(),
        application = application(),
    );
    let config = Config::parse(&settings, "benchmark", std::iter::empty()).unwrap();
    let edge = Edge::start(&config, Clock::system()).unwrap();
    create_tenant(&config);
    let mut request = "GET /orders/42?page=2 HTTP/1.1\r\n".to_owned();
    for (name, value) in FIELDS {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    let address = edge.addresses().http[0];
    let mut visitor = TcpStream::connect(address).unwrap();
    while ask(&mut visitor, &request) != 200 {
        // The tenant is not in force yet.
        visitor = TcpStream::connect(address).unwrap();
    }
    for number in 0..times {
        if number % 500 == 0 {
            visitor = TcpStream::connect(address).unwrap();
        }
        assert_eq!(ask(&mut visitor, &request), 200);
    }
    drop(visitor);
    edge.stop();
}

fn create_tenant(config: &Config) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let opened = Store::open(&config.store, Access::Command, Clock::system(), None);
        let tenant = NewTenant::new(Slug::parse("acme").unwrap());
        opened.await.unwrap().create_tenant(tenant).await.unwrap();
    });
}

/// The status of the answer.
fn ask(visitor: &mut TcpStream, request: &str) -> u16 {
    visitor.write_all(request.as_bytes()).unwrap();
    let (head, length) = head(visitor);
    let mut body = vec![0; length];
    visitor.read_exact(&mut body).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A head, and how long the body is that follows it: read byte by byte it would cost more than the edge, so in one piece, which
/// loopback gives.
fn head(stream: &mut TcpStream) -> (String, usize) {
    let mut room = [0; 8192];
    let peeked = loop {
        let peeked = stream.peek(&mut room).unwrap();
        assert!(peeked > 0, "the connection ended");
        if let Some(end) = room[..peeked]
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
        {
            break end + 4;
        }
    };
    stream.read_exact(&mut room[..peeked]).unwrap();
    let text = String::from_utf8_lossy(&room[..peeked]).into_owned();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    (text, length)
}

/// Says yes to everything, one connection after another on threads of their own.
fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            std::thread::spawn(move || {
                let mut room = [0; 8192];
                // A request without a body arrives in one piece.
                while connection.read(&mut room).is_ok_and(|read| read > 0) {
                    if connection.write_all(ANSWER).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}
