//! Name servers of the tests, over real sockets: a resolver at 127.0.0.1 and servers at other loopback addresses, all at one port.
//! What each says is written in lines, as in a zone file; what servers in trouble say, too.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

/// What a server says.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    /// `name KIND value` each. In the place of a value: `!SERVFAIL`, `!REFUSED`, `!NOTIMP`, `!NONE`; `!BOGUS` is SERVFAIL to who wants it
    /// checked; `!SILENT` is nothing. `zone REFER server` sends whoever asks below the zone to that server. `*` as the name is any.
    Lines(String),
    /// The same, and over UDP only that it does not fit.
    OverTcp(String),
    /// The same, as somebody who does not hold the zone.
    Foreign(String),
    /// This, whatever is asked.
    Code(ResponseCode),
    /// Nothing.
    Silent,
}

impl Says {
    pub(crate) fn lines(text: &str) -> Self {
        Self::Lines(text.to_owned())
    }
}

/// Running name servers; they end with this.
pub(crate) struct NameServers {
    /// Where all of them are.
    pub(crate) port: u16,
    all: BTreeMap<Ipv4Addr, Arc<Server>>,
    _tasks: JoinSet<()>,
}

impl NameServers {
    /// Starts one at 127.0.0.1, the resolver, and one at each other address.
    pub(crate) async fn start(resolver: Says, servers: &[(&str, Says)]) -> Self {
        let others = servers
            .iter()
            .map(|(at, says)| (at.parse().unwrap(), says.clone()));
        let all: Vec<(Ipv4Addr, Says)> = std::iter::once((Ipv4Addr::LOCALHOST, resolver))
            .chain(others)
            .collect();
        for _ in 0..50 {
            // The port that is free at one address may be taken at another.
            if let Some(running) = Self::try_start(&all).await {
                return running;
            }
        }
        panic!("no port is free at all addresses");
    }

    async fn try_start(all: &[(Ipv4Addr, Says)]) -> Option<Self> {
        let mut port = 0;
        let mut running = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for (address, says) in all {
            let udp = UdpSocket::bind((*address, port)).await.ok()?;
            port = udp.local_addr().unwrap().port();
            let tcp = TcpListener::bind((*address, port)).await.ok()?;
            let server = Arc::new(Server {
                says: Mutex::new(says.clone()),
                resolver: *address == Ipv4Addr::LOCALHOST,
                count: AtomicUsize::new(0),
            });
            running.insert(*address, server.clone());
            tasks.spawn(over_udp(udp, server.clone()));
            tasks.spawn(over_tcp(tcp, server));
        }
        Some(Self {
            port,
            all: running,
            _tasks: tasks,
        })
    }

    /// Where the resolver is.
    pub(crate) fn resolver(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// How often the server at this address was asked.
    pub(crate) fn asked(&self, address: &str) -> usize {
        self.at(address).count.load(Ordering::SeqCst)
    }

    /// From now on the server at this address says something else.
    pub(crate) fn say(&self, address: &str, says: Says) {
        *self.at(address).says.lock().unwrap() = says;
    }

    fn at(&self, address: &str) -> &Server {
        &self.all[&address.parse().unwrap()]
    }
}

struct Server {
    says: Mutex<Says>,
    resolver: bool,
    count: AtomicUsize,
}

async fn over_udp(socket: UdpSocket, server: Arc<Server>) {
    let mut buffer = vec![0; 65535];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        if let Some(answer) = server.answer(&buffer[..length], true) {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, server: Arc<Server>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let Ok(length) = stream.read_u16().await else {
            continue;
        };
        let mut buffer = vec![0; usize::from(length)];
        if stream.read_exact(&mut buffer).await.is_err() {
            continue;
        }
        if let Some(answer) = server.answer(&buffer, false) {
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _ = stream
                .write_all(&[&length, answer.as_slice()].concat())
                .await;
        }
    }
}

impl Server {
    fn answer(&self, bytes: &[u8], datagram: bool) -> Option<Vec<u8>> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let question = Message::from_vec(bytes).ok()?;
        let mut answer = question.clone().into_response();
        answer.metadata.authoritative = !self.resolver;
        answer.metadata.recursion_available = self.resolver;
        match &*self.says.lock().unwrap() {
            Says::Silent => return None,
            Says::Code(code) => answer.metadata.response_code = *code,
            Says::OverTcp(_) if datagram => answer.metadata.truncation = true,
            Says::Lines(text) | Says::OverTcp(text) => Lines::new(text).fill(&mut answer)?,
            Says::Foreign(text) => {
                Lines::new(text).fill(&mut answer)?;
                answer.metadata.authoritative = false;
            }
        }
        Some(answer.to_vec().unwrap())
    }
}

/// The lines: name, kind, value.
struct Lines<'a>(Vec<(&'a str, &'a str, &'a str)>);

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let split = lines.map(|line| {
            let (name, rest) = line.split_once(' ').unwrap();
            let (kind, value) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            (name, kind, value.trim())
        });
        Self(split.collect())
    }

    /// Nothing where nothing is to be answered.
    fn fill(&self, answer: &mut Message) -> Option<()> {
        let query = answer.queries.first()?.clone();
        if self.refer(&query, answer) {
            return Some(());
        }
        let unchecked = answer.metadata.checking_disabled;
        let mut at = text(&query.name);
        for _ in 0..8 {
            if let Some(trouble) = self.trouble(&at, query.query_type) {
                match trouble {
                    "!SILENT" => return None,
                    "!BOGUS" if unchecked => {}
                    other => {
                        answer.metadata.response_code = code(other);
                        return Some(());
                    }
                }
            }
            let owner = self.owner(&at);
            let records = self.of(&owner, query.query_type);
            if !records.is_empty() {
                answer.add_answers(
                    records
                        .iter()
                        .map(|value| record(&at, query.query_type, value)),
                );
                return Some(());
            }
            let Some(target) = self.of(&owner, RecordType::CNAME).first().copied() else {
                break;
            };
            answer.add_answer(record(&at, RecordType::CNAME, target));
            at = target.trim_end_matches('.').to_owned();
        }
        if !self.exists(&self.owner(&at)) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        answer.add_authorities(self.soa(&at));
        Some(())
    }

    fn trouble(&self, name: &str, kind: RecordType) -> Option<&'a str> {
        let concerns = |(owner, of, value): &&(&str, &str, &str)| {
            (*owner == name || *owner == "*") && *of == kind.to_string() && value.starts_with('!')
        };
        self.0.iter().find(concerns).map(|(_, _, value)| *value)
    }

    fn of(&self, name: &str, kind: RecordType) -> Vec<&'a str> {
        let wanted = self.0.iter().filter(|(owner, of, value)| {
            *owner == name && *of == kind.to_string() && !value.starts_with('!')
        });
        wanted.map(|(_, _, value)| *value).collect()
    }

    fn exists(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.0
            .iter()
            .any(|(owner, _, _)| *owner == name || owner.ends_with(&below))
    }

    /// The name itself, or the wildcard that stands for it.
    fn owner(&self, name: &str) -> String {
        let wildcard = name
            .split_once('.')
            .map(|(_, parent)| format!("*.{parent}"));
        match wildcard {
            Some(wildcard) if !self.exists(name) && self.exists(&wildcard) => wildcard,
            _ => name.to_owned(),
        }
    }

    fn soa(&self, name: &str) -> Option<Record> {
        let zones = self
            .0
            .iter()
            .filter(|(_, kind, _)| *kind == "SOA")
            .map(|(owner, _, _)| *owner);
        let above = zones.filter(|zone| name == *zone || name.ends_with(&format!(".{zone}")));
        let zone = above.max_by_key(|zone| zone.len())?;
        Some(record(zone, RecordType::SOA, ""))
    }

    fn refer(&self, query: &Query, answer: &mut Message) -> bool {
        let name = text(&query.name);
        let below = |zone: &str| name == zone || name.ends_with(&format!(".{zone}"));
        let found = self
            .0
            .iter()
            .filter(|(zone, kind, _)| *kind == "REFER" && below(zone));
        let found: Vec<_> = found.collect();
        for (zone, _, server) in &found {
            answer.add_authority(record(zone, RecordType::NS, server));
            let glue = self.of(server, RecordType::A);
            answer.add_additionals(
                glue.iter()
                    .map(|value| record(server, RecordType::A, value)),
            );
            answer.metadata.authoritative = false;
        }
        !found.is_empty()
    }
}

fn record(name: &str, kind: RecordType, value: &str) -> Record {
    let value = match (kind, value) {
        (RecordType::SOA, "") => "ns.invalid. host.invalid. 1 3600 600 86400 60",
        (_, value) => value,
    };
    let absolute = matches!(kind, RecordType::CNAME | RecordType::NS) && !value.ends_with('.');
    let value = if absolute {
        format!("{value}.")
    } else {
        value.to_owned()
    };
    let data = RData::try_from_str(kind, &value).unwrap();
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    Record::from_rdata(name, 60, data)
}

fn code(trouble: &str) -> ResponseCode {
    match trouble {
        "!SERVFAIL" | "!BOGUS" => ResponseCode::ServFail,
        "!NONE" => ResponseCode::NoError,
        "!REFUSED" => ResponseCode::Refused,
        "!NOTIMP" => ResponseCode::NotImp,
        other => panic!("no such trouble: {other}"),
    }
}

fn text(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    match text.trim_end_matches('.') {
        "" => ".".to_owned(),
        some => some.to_owned(),
    }
}
