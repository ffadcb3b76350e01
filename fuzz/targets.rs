//! What is fuzzed, and what must hold for any bytes at all. Run by cargo-fuzz, and over the seeds by the ordinary tests.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use aws_lc_rs::digest;
use bytes::BytesMut;
use http::request::Parts;
use http::{Request, Uri};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::runtime::Runtime;
use vestibule::clock::{Clock, Timestamp};
use vestibule::config::Config;
use vestibule::decide::{self, Case, Decision, Policy, Target, Visit};
use vestibule::http1::{self, Piece};
use vestibule::jwks::JwksTimings;
use vestibule::metrics::Metrics;
use vestibule::model::{
    Authority, LimitOverrides, Match, Placement, Route, Slug, TenantId, TenantState,
};
use vestibule::proxy::io::{EdgeIo, FrameGuard};
use vestibule::resolve::{Facts, Resolver, TokenVerdict, Tokens};
use vestibule::tls::Inventory;
use vestibule::upstream::Upstreams;

#[path = "targets/dns.rs"]
mod dns;

pub use dns::{dns_answer, dns_question};

/// One host, as in `Host`: what is accepted is canonical, and accepted again.
pub fn host(bytes: &[u8]) {
    let Ok(authority) = std::str::from_utf8(bytes).map_err(drop).and_then(|text| {
        let authority = Authority::parse(text);
        authority.map_err(drop)
    }) else {
        return;
    };
    let name = authority.hostname.as_str();
    assert!((1..=253).contains(&name.len()), "{name}");
    assert!(
        name.split('.').all(|label| (1..=63).contains(&label.len())),
        "{name}"
    );
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    assert!(name.bytes().all(plain), "{name}");
    assert!(name.parse::<IpAddr>().is_err(), "{name}");
    assert_eq!(
        Authority::parse(name).map(|again| again.hostname),
        Ok(authority.hostname.clone())
    );
}

/// A path on a platform host: it names the tenant that a reader of the forwarded path would find, and nothing can leave the prefix.
pub fn path(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else {
        return;
    };
    let Ok(arrival) = decide::arrive(&head(uri.clone(), &[]), &visit(false), None, &POLICY) else {
        return;
    };
    let Target::Tenant(keys) = &arrival.target else {
        return;
    };
    let lower = uri.path().to_ascii_lowercase();
    for bad in ["%2f", "%5c", "\\", "/../", "/./", "%00", "%2e%2e/"] {
        assert!(!lower.contains(bad), "{lower:?} was let in");
    }
    let Some(slug) = &keys.path else { return };
    let rest = uri
        .path()
        .strip_prefix("/t/")
        .and_then(|rest| rest.strip_prefix(slug.as_str()))
        .expect("the prefix names the tenant");
    assert!(rest.is_empty() || rest.starts_with('/'), "{rest:?}");
    let facts = Facts {
        path: Some(Match::Found(route(slug))),
        ..Facts::default()
    };
    let head = head(uri, &[]);
    let case = Case {
        head: &head,
        visit: &visit(false),
        arrival: &arrival,
        facts: &facts,
        now: Timestamp(0),
    };
    if let Ok(Decision::Forward(forward)) = decide::decide(&case, &POLICY) {
        let target = forward.target.expect("the prefix is cut").to_string();
        assert!(
            target.starts_with('/') && !target.starts_with("//"),
            "{target}"
        );
    }
}

/// A whole configuration: it is accepted, or there is something to read about why not.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(faults) = Config::parse(text, "fuzz", std::iter::empty()) {
        assert!(!faults.to_string().trim().is_empty());
    }
}

/// Lines `Name: value` about the way a request came: a stranger is never believed, a trusted proxy only as far as trust reaches.
pub fn forwarded(bytes: &[u8]) {
    let lines: Vec<(&[u8], &[u8])> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
        .collect();
    let head = head(Uri::from_static("/"), &lines);
    let stranger = decide::origin(&head, &visit(false), &POLICY);
    assert_eq!((stranger.visitor, stranger.scheme), (PROXY.ip(), "http"));
    assert!(stranger.chain.is_empty());
    let believed = decide::origin(&head, &visit(true), &POLICY);
    assert!(matches!(believed.scheme, "http" | "https"));
    let visitor = believed.chain.first().copied().unwrap_or(PROXY.ip());
    assert_eq!(believed.visitor, visitor);
    let behind = believed.chain.iter().skip(1);
    assert!(behind.into_iter().all(|hop| POLICY.trusts(*hop)));
}

/// A token: none is valid but the very one that was signed, to the bit.
pub fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let verdict = RUNTIME.block_on(TOKENS.verify(text));
    if matches!(verdict, TokenVerdict::Valid { .. }) {
        assert_eq!(text, SIGNED, "that was never signed");
    }
}

/// A snapshot, its checksum made right: it is read or ignored. The first sound one is taken over, too.
pub fn snapshot(bytes: &[u8]) {
    let file = &*SNAPSHOT;
    let sum = digest::digest(&digest::SHA256, bytes);
    std::fs::write(file, [bytes, sum.as_ref()].concat()).expect("a file of our own");
    RESOLVER.load_snapshot(file);
}

/// HTTP/2 from a visitor, in pieces: what passes the observer is what came, up to where it says stop.
pub fn frames(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    RUNTIME.block_on(async {
        let state = Arc::clone(EdgeIo::new(tokio::io::empty(), &CONFIG.edge.timeouts).state());
        let pieces = Pieces {
            left: bytes,
            size: usize::from(*size).max(1),
        };
        let mut guard = FrameGuard::new(tokio::io::join(pieces, tokio::io::sink()), state);
        let mut passed = Vec::new();
        let ended = guard.read_to_end(&mut passed).await;
        assert!(ended.is_ok() && bytes.starts_with(&passed));
    });
}

/// HTTP/1.1 from a visitor: what is read are the lines that are there, and it is the same however the bytes come.
pub fn request(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let read = Read::of(bytes, bytes.len());
    assert_eq!(read, Read::of(bytes, usize::from(*size)));
    let Some(head) = &read.head else { return };
    let lines: Vec<&[u8]> = split(head.trim_ascii_start(), b"\r\n").collect();
    // The empty line, and nothing behind it.
    assert!(lines.ends_with(&[b"", b""]), "{read:?}");
    let field = |line: &&[u8]| {
        let colon = line.iter().position(|byte| *byte == b':').expect("a field");
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        (name, line[colon + 1..].trim_ascii().to_vec())
    };
    let mut fields: Vec<_> = lines[1..lines.len() - 2].iter().map(field).collect();
    fields.sort();
    assert_eq!(fields, read.fields);
}

/// What was read of some bytes.
#[derive(Debug, PartialEq)]
struct Read {
    /// As it came; nothing where there is none, or none that can be read.
    head: Option<Vec<u8>>,
    /// Sorted.
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Option<http::HeaderMap>,
    /// How many bytes are left for the next request; nothing where the body is faulty or not over.
    left: Option<usize>,
}

impl Read {
    /// Reads `bytes`, of which `size` come at a time.
    fn of(bytes: &[u8], size: usize) -> Self {
        let mut pieces = bytes.chunks(size.max(1));
        let mut buffer = BytesMut::new();
        let mut come = 0;
        let mut read = Self {
            head: None,
            fields: Vec::new(),
            body: Vec::new(),
            trailers: None,
            left: None,
        };
        let mut more = |buffer: &mut BytesMut| {
            let piece = pieces.next()?;
            buffer.extend_from_slice(piece);
            come += piece.len();
            Some(come)
        };
        let mut all = 0;
        let head = loop {
            match http1::request_head(&mut buffer, 8 * 1024) {
                Ok(Some(head)) => break head,
                Ok(None) => match more(&mut buffer) {
                    Some(come) => all = come,
                    None => return read,
                },
                Err(_) => return read,
            }
        };
        read.head = Some(bytes[..all - buffer.len()].to_vec());
        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.as_str().to_owned(), value.as_bytes().to_vec())
        };
        read.fields = head.headers.iter().map(text).collect();
        read.fields.sort();
        let Ok(mut body) = http1::request_body(&head) else {
            return read;
        };
        loop {
            match body.next(&mut buffer) {
                Ok(Piece::Data(data)) => read.body.extend_from_slice(&data),
                Ok(Piece::Trailers(trailers)) => read.trailers = Some(trailers),
                Ok(Piece::End) => {
                    read.left = Some(bytes.len() - (all - buffer.len()));
                    return read;
                }
                Ok(Piece::Wanting) => match more(&mut buffer) {
                    Some(come) => all = come,
                    None => return read,
                },
                Err(_) => return read,
            }
        }
    }
}

/// The parts of `bytes` between each `end`.
fn split<'a>(bytes: &'a [u8], end: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let all = rest?;
        let at = all.windows(end.len()).position(|window| window == end);
        rest = at.map(|at| &all[at + end.len()..]);
        Some(at.map_or(all, |at| &all[..at]))
    })
}

/// A stream that comes a few bytes at a time.
struct Pieces<'a> {
    left: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let most = self.size.min(self.left.len()).min(buffer.remaining());
        let (now, later) = self.left.split_at(most);
        buffer.put_slice(now);
        self.left = later;
        Poll::Ready(Ok(()))
    }
}

const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 40_000);
/// The one token that is signed with the secret of [`CONFIGURATION`].
const SIGNED: &str = include_str!("seeds/token/signed");
const SECRET: &str = "thirty-two bytes that are known!";

fn visit(trusted: bool) -> Visit {
    Visit {
        remote: PROXY,
        local: PROXY,
        secure: false,
        trusted,
        names: None,
        demanded: None,
    }
}

fn head(uri: Uri, fields: &[(&[u8], &[u8])]) -> Parts {
    let mut request = Request::get(uri).header("host", "app.localhost");
    for (name, value) in fields {
        let name = http::HeaderName::from_bytes(name);
        let value = http::HeaderValue::from_bytes(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            request = request.header(name, value);
        }
    }
    request
        .body(())
        .expect("all parts are sound")
        .into_parts()
        .0
}

fn route(slug: &Slug) -> Arc<Route> {
    Arc::new(Route {
        tenant: TenantId(uuid::Uuid::from_u128(1)),
        slug: slug.clone(),
        state: TenantState::Active,
        progress: 0,
        removed_at: None,
        plan: None,
        upstream: None,
        limits: LimitOverrides::default(),
        placement: Placement::default(),
        meta: None,
        version: 1,
    })
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime")
});
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Metrics::new(0).expect("metrics"));
/// Readable by its owner alone, as it must be to be read at all.
static SNAPSHOT: LazyLock<PathBuf> = LazyLock::new(|| nameless("snapshot"));

/// A file that is gone with this process: nothing but its descriptor leads to it.
fn nameless(name: &str) -> PathBuf {
    let name = format!("vestibule-fuzz-{name}-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let mut options = std::fs::OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(&path);
    let descriptor = std::os::fd::OwnedFd::from(made.expect("a file of our own"));
    std::fs::remove_file(path).expect("it is there");
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    std::mem::forget(descriptor);
    path.into()
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let secret = nameless("secret");
    std::fs::write(&secret, SECRET).expect("a file of our own");
    let text = format!(
        "[edge]\ntrusted_proxies = [\"10.0.0.0/8\", \"fd00::/8\"]\n[tls]\ndirectory = \"/nowhere\"\n\
         [cache]\ncapacity = 1000\n[routing]\nplatform_hosts = [\"app.localhost\"]\n\
         [[routing.token]]\nissuer = \"fuzz\"\naudience = [\"app\"]\nalgorithms = [\"HS256\"]\nhmac_secret_file = {secret:?}\n"
    );
    Config::parse(&text, "fuzz", std::iter::empty()).expect("a configuration")
});
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let upstreams = Upstreams::new(&CONFIG.upstreams, &[], &METRICS).expect("upstreams");
    let loaded = Inventory::load(&CONFIG.tls, Arc::clone(&METRICS), Timestamp(0));
    Policy::new(&CONFIG, upstreams, loaded.expect("an inventory").0)
});
/// One for all: a new one takes milliseconds.
static RESOLVER: LazyLock<Arc<Resolver>> = LazyLock::new(|| {
    let (control, metrics) = (RUNTIME.handle().clone(), Arc::clone(&METRICS));
    Resolver::new(&CONFIG.cache, None, control, Clock::system(), metrics)
});
static TOKENS: LazyLock<Arc<Tokens>> = LazyLock::new(|| {
    let jwks = &CONFIG.routing.jwks;
    let timings = JwksTimings {
        fetch: jwks.timeout,
        refresh: jwks.refresh,
        refetch: jwks.refetch,
        keep: jwks.keep,
    };
    let control = RUNTIME.handle().clone();
    let metrics = Arc::clone(&METRICS);
    let tokens = Tokens::new(
        &CONFIG.routing.tokens,
        timings,
        control,
        Clock::system(),
        metrics,
    );
    tokens.expect("an issuer")
});
