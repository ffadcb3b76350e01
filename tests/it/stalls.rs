//! Stalled and flooding visitors against hyper behind the wrapper, over real sockets: who is closed, and why.
//!
//! In each case one time is short and all others are an hour, so that a slow machine cannot close a connection for another reason.

#![expect(
    clippy::unwrap_used,
    reason = "clippy knows only functions marked #[test] as tests"
)]

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use vestibule::config::EdgeTimeouts;
use vestibule::proxy::io::{
    Closed, ConnectionState, EdgeIo, Exchange, FloodKind, FrameGuard, Wire,
};

mod stays;

const SHORT: Duration = Duration::from_millis(150);
const HOUR: Duration = Duration::from_secs(3600);
/// Far longer than anything takes; reached only where a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const GOAWAY: u8 = 7;

/// Times of which none matters.
fn relaxed() -> EdgeTimeouts {
    EdgeTimeouts {
        head: HOUR,
        body: HOUR,
        idle: HOUR,
        write: HOUR,
        tunnel: HOUR,
        shutdown_wait: HOUR,
        shutdown_drain: HOUR,
    }
}

fn short_head() -> EdgeTimeouts {
    EdgeTimeouts {
        head: SHORT,
        ..relaxed()
    }
}

fn short_idle() -> EdgeTimeouts {
    EdgeTimeouts {
        idle: SHORT,
        ..relaxed()
    }
}

fn short_write() -> EdgeTimeouts {
    EdgeTimeouts {
        write: SHORT,
        ..relaxed()
    }
}

/// An answer that tells the wrapper whose move it is: endless zeroes, or one word.
struct Answer {
    exchange: Exchange,
    word: Option<Bytes>,
    endless: bool,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.exchange.progress();
        let data = match self.word.take() {
            Some(word) => word,
            None if self.endless => Bytes::from_static(&[0; 16 * 1024]),
            None => return Poll::Ready(None),
        };
        self.exchange.waiting_on_visitor();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// A server whose `/big` never ends and whose `/wait` answers when told to.
struct Edge {
    address: SocketAddr,
    reasons: mpsc::UnboundedReceiver<Option<Closed>>,
    answer: Arc<Notify>,
    arrived: Arc<Notify>,
}

impl Edge {
    async fn start(timeouts: EdgeTimeouts) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (report, reasons) = mpsc::unbounded_channel();
        let (answer, arrived) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let signals = (Arc::clone(&answer), Arc::clone(&arrived));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (report, signals) = (report.clone(), signals.clone());
                tokio::spawn(async move {
                    let io = EdgeIo::new(socket, &timeouts);
                    let state = Arc::clone(io.state());
                    let _ = serve(io, &state, signals).await;
                    let _ = report.send(state.closed());
                });
            }
        });
        Self {
            address,
            reasons,
            answer,
            arrived,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Why the next connection to end was closed.
    async fn reason(&mut self) -> Option<Closed> {
        let reason = timeout(PATIENCE, self.reasons.recv()).await;
        reason.expect("the connection was closed").unwrap()
    }

    /// Lets more than [`SHORT`] pass, seen by a visitor who sends nothing and is closed for it.
    async fn let_time_pass(&mut self) {
        for _ in 0..3 {
            let silent = Edge::start(short_head()).await;
            read_all(silent.connect().await).await;
        }
        assert!(self.reasons.try_recv().is_err(), "the other one stays");
    }
}

type Signals = (Arc<Notify>, Arc<Notify>);

async fn serve(
    mut io: EdgeIo<TcpStream>,
    state: &Arc<ConnectionState>,
    (answer, arrived): Signals,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let wire = io.sniff().await?;
    let requests = Arc::clone(state);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let exchange = requests.begin_request();
        let (answer, arrived) = (Arc::clone(&answer), Arc::clone(&arrived));
        async move {
            arrived.notify_one();
            match request.uri().path() {
                "/wait" => answer.notified().await,
                "/upload" => read_body(request.into_body()).await,
                "/big" => {
                    return Ok::<_, Infallible>(Response::new(Answer {
                        exchange,
                        word: None,
                        endless: true,
                    }));
                }
                _ => {}
            }
            Ok(Response::new(Answer {
                exchange,
                word: Some(Bytes::from_static(b"done")),
                endless: false,
            }))
        }
    });
    match wire {
        Wire::Http1 => {
            let http = hyper::server::conn::http1::Builder::new();
            http.serve_connection(TokioIo::new(io), service).await?;
        }
        Wire::Http2 => {
            let guard = FrameGuard::new(io, Arc::clone(state));
            let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            http.serve_connection(TokioIo::new(guard), service).await?;
        }
    }
    Ok(())
}

async fn read_body(mut body: hyper::body::Incoming) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

/// Everything until the connection ends, whichever way.
async fn read_all(mut visitor: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let end = timeout(PATIENCE, visitor.read_to_end(&mut all)).await;
    let _: io::Result<usize> = end.expect("the connection ends");
    all
}

fn has_word(answer: &[u8]) -> bool {
    answer.windows(4).any(|part| part == b"done")
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// HEADERS with END_HEADERS for `path`; the method is POST where a body follows.
fn headers(stream: u32, path: &str, ends: bool) -> Vec<u8> {
    let method = if ends { 0x82 } else { 0x83 };
    let mut block = vec![method, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    frame(1, 4 | u8::from(ends), stream, &block)
}

fn http2(parts: &[&[u8]]) -> Vec<u8> {
    [PREFACE, SETTINGS, &parts.concat()].concat()
}

/// Error code of the last GOAWAY among the frames a visitor received.
fn goaway_code(mut bytes: &[u8]) -> Option<u8> {
    let mut code = None;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let (payload, next) = rest.split_at(length.min(rest.len()));
        if *kind == GOAWAY {
            code = payload.get(7).copied();
        }
        bytes = next;
    }
    code
}

/// Sends `sent`, reads to the end, and checks why the edge ended it; answers what was received.
async fn closed_for(name: &str, timeouts: EdgeTimeouts, sent: &[u8], reason: Closed) -> Vec<u8> {
    let mut edge = Edge::start(timeouts).await;
    let mut visitor = edge.connect().await;
    visitor.write_all(sent).await.unwrap();
    let received = read_all(visitor).await;
    assert_eq!(edge.reason().await, Some(reason), "{name}");
    received
}

#[tokio::test]
async fn h1_h2_half_a_head_is_closed() {
    for (name, sent) in [
        ("nothing", vec![]),
        ("half an h1 head", b"GET / HTTP/1.1\r\nHost: a".to_vec()),
        ("half an h2 preface", PREFACE[..10].to_vec()),
        ("an h2 preface only", PREFACE.to_vec()),
        (
            "HEADERS without END_HEADERS",
            http2(&[&frame(1, 0, 1, &[0x82])]),
        ),
        ("half a frame head", http2(&[&[0, 0, 8]])),
        ("half a PING", http2(&[&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1]])),
    ] {
        closed_for(name, short_head(), &sent, Closed::Head).await;
    }
}

#[tokio::test]
async fn h13_idle_connections_are_closed_in_good_order() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = closed_for("h1 request", short_idle(), request, Closed::Idle).await;
    assert!(has_word(&answer));
    // Both arrive at once: the wrapper cannot tell the second from a body, so idleness ends it.
    let and_a_half = [request, b"GET / HT".as_slice()].concat();
    let answer = closed_for("one and a half", short_idle(), &and_a_half, Closed::Idle).await;
    assert!(has_word(&answer));
    let settings = http2(&[]);
    let answer = closed_for("SETTINGS only", short_idle(), &settings, Closed::Idle).await;
    assert_eq!(goaway_code(&answer), Some(0));
    let request = http2(&[&headers(1, "/", true)]);
    let answer = closed_for("h2 request", short_idle(), &request, Closed::Idle).await;
    assert!(has_word(&answer));
    assert_eq!(goaway_code(&answer), Some(0));
}

#[tokio::test]
async fn h4_a_reader_that_stops_is_closed_on_both_protocols() {
    let wide = frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes());
    let wide_stream = frame(8, 0, 1, &0x7fff_0000_u32.to_be_bytes());
    let http2 = http2(&[&headers(1, "/big", true), &wide, &wide_stream]);
    let http1 = b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    for sent in [http1, http2] {
        let mut edge = Edge::start(short_write()).await;
        let mut visitor = edge.connect().await;
        visitor.write_all(&sent).await.unwrap();
        assert_eq!(edge.reason().await, Some(Closed::Write));
        drop(visitor);
    }
}

#[tokio::test]
async fn h12_a_shut_window_is_closed_however_many_answers_wait_behind_it() {
    // SETTINGS_INITIAL_WINDOW_SIZE = 0
    let shut = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let requests: Vec<u8> = (0..50)
        .flat_map(|n| headers(2 * n + 1, "/big", true))
        .collect();
    let mut edge = Edge::start(short_write()).await;
    let mut visitor = edge.connect().await;
    visitor
        .write_all(&[PREFACE, &shut, &requests].concat())
        .await
        .unwrap();
    assert_eq!(edge.reason().await, Some(Closed::Stream));
    drop(visitor);
}

#[tokio::test]
async fn h10_floods_are_closed_with_enhance_your_calm() {
    let ping = frame(6, 0, 0, &[0; 8]);
    let priority = frame(2, 0, 1, &[0, 0, 0, 0, 1]);
    let update = frame(8, 0, 0, &[0, 0, 0, 1]);
    for (one, kind) in [
        (ping, FloodKind::Ping),
        (SETTINGS.to_vec(), FloodKind::Settings),
        (priority, FloodKind::Priority),
        (update, FloodKind::WindowUpdate),
    ] {
        let mut edge = Edge::start(relaxed()).await;
        let mut visitor = edge.connect().await;
        let flood = http2(&[&headers(1, "/wait", true), &one.repeat(5000)]);
        // The edge may close before all of it is taken.
        let _ = visitor.write_all(&flood).await;
        let received = read_all(visitor).await;
        assert_eq!(edge.reason().await, Some(Closed::Flood(kind)));
        // A reset may overtake the goodbye where much is still unread; where one arrives it says why.
        assert!(matches!(goaway_code(&received), None | Some(0xb)), "{kind}");
    }
}
