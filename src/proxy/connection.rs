//! One visitor's connection: TLS and protocol; and HTTP/2, hyper's server around the request's story.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use http::Request;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::body::EdgeBody;
use super::fault::Contained;
use super::h1::{self, Line, SharedLine};
use super::inbound::{Inbound, Incoming};
use super::io::{ConnectionState, EdgeIo, FrameGuard, Wire};
use super::listener::{Kind, Place};
use super::open::{self, Course, Ending};
use super::request;
use super::worker::Worker;
use crate::decide::Visit;
use crate::model::Causes;

/// Most bytes of fields that the codec reads in a head; the rule itself is in `decide`.
const OUTER_FIELDS: u32 = 128 * 1024;
/// HTTP/2: streams at once, window of a stream and of a connection, bytes kept to be sent for a stream (Envoy's edge settings).
const STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
const SEND_BUFFER: usize = 64 * 1024;
/// HTTP/2: resets that are put up with.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 128;
/// HTTP/2: how often a silent visitor is asked whether it is there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WAIT: Duration = Duration::from_secs(10);
/// How long a connection that has said nothing yet may still do so once the node ends: its first request may be on the way.
const LAST_CALL: Duration = Duration::from_millis(100);

/// What the requests of one connection have in common.
pub(super) struct Connection {
    pub(super) visit: Visit,
    pub(super) listener: Kind,
    pub(super) state: Arc<ConnectionState>,
    /// Where it arrived, for the log.
    pub(super) address: Box<str>,
    /// The TLS version, as in `TLSv1_3`.
    pub(super) tls: Option<&'static str>,
    /// Kept by the requests and the tunnel too: they may outlive what hyper calls the connection.
    place: Place,
}

impl Connection {
    /// How it is told to end.
    pub(super) fn ending(&self) -> &Rc<Ending> {
        self.place.ending()
    }
}

/// Serves a connection until either side ends it.
pub(super) async fn serve(worker: Rc<Worker>, socket: TcpStream, listener: Kind, place: Place) {
    let Ok(visit) = visit(&worker, &socket, listener) else {
        return;
    };
    let io = EdgeIo::new(socket, &worker.shared.timeouts);
    let state = Arc::clone(io.state());
    let address = visit.local.to_string().into();
    let connection = Connection {
        visit,
        listener,
        state,
        address,
        tls: None,
        place,
    };
    let closed = worker.shared.metrics.connections_closed.clone();
    let state = Arc::clone(&connection.state);
    // What HTTP/2 and a handshake need is not kept by those who speak HTTP/1.1: most connections, and most of the time they wait.
    let first = Box::pin(async {
        match listener {
            Kind::Http => serve_plain(&worker, io, connection).await,
            Kind::Https => serve_tls(&worker, io, connection).await,
        }
    });
    if let Some((line, connection)) = first.await {
        h1::serve(worker, line, connection).await;
    }
    if let Some(reason) = state.closed() {
        closed.with_label_values(&[reason.as_str()]).inc();
    }
}

fn visit(worker: &Worker, socket: &TcpStream, listener: Kind) -> std::io::Result<Visit> {
    let remote = socket.peer_addr()?;
    let trusted = worker.shared.policy.trusts(remote.ip());
    Ok(Visit {
        remote,
        local: socket.local_addr()?,
        secure: listener == Kind::Https,
        trusted,
        names: None,
        demanded: None,
    })
}

/// A connection on which HTTP/1.1 is spoken from here on.
type Http1 = (SharedLine, Rc<Connection>);

/// Tells the protocols apart, and serves HTTP/2 to its end.
async fn serve_plain(
    worker: &Rc<Worker>,
    mut io: EdgeIo<TcpStream>,
    connection: Connection,
) -> Option<Http1> {
    let last_call = async {
        connection.place.ending().told().await;
        tokio::time::sleep(LAST_CALL).await;
    };
    let wire = tokio::select! {
        biased;
        wire = io.sniff() => wire,
        () = last_call => return None,
    };
    match wire {
        Ok(Wire::Http2) => serve_h2(worker, io, connection).await,
        Ok(Wire::Http1) => return Some((Line::shared(io), Rc::new(connection))),
        Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
    }
    None
}

/// Shakes hands, and serves HTTP/2 to its end.
async fn serve_tls(
    worker: &Rc<Worker>,
    io: EdgeIo<TcpStream>,
    mut connection: Connection,
) -> Option<Http1> {
    let acceptor = worker.shared.acceptor.clone()?;
    match acceptor.accept(io).await {
        Ok((stream, facts)) => {
            connection.state.handshake_done();
            connection.visit.names = Some(facts.names);
            connection.visit.demanded = facts.policy;
            connection.tls = Some(facts.version);
            if !facts.alpn_h2 {
                return Some((Line::shared(stream), Rc::new(connection)));
            }
            serve_h2(worker, stream, connection).await;
        }
        Err(error) => tracing::debug!(error = %Causes(&error), "a handshake failed"),
    }
    None
}

async fn serve_h2<S>(worker: &Rc<Worker>, stream: S, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let ending = Rc::clone(connection.place.ending());
    let executor = OnThread(Rc::new(Streams {
        state: Arc::clone(&connection.state),
        stalled: worker.shared.metrics.streams_stalled.clone(),
    }));
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(OUTER_FIELDS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT);
    let stream = FrameGuard::new(stream, Arc::clone(&connection.state));
    let service = service(Rc::clone(worker), Rc::new(connection));
    let serving = pin!(builder.serve_connection(TokioIo::new(stream), service_fn(service)));
    note(run(serving, &ending, |serving| serving.graceful_shutdown()).await);
}

/// Serves until either side ends the connection, or it is told to end: then no request begins any more, those that have begun are
/// answered.
async fn run<S>(
    mut serving: Pin<&mut S>,
    ending: &Ending,
    finish: impl Fn(Pin<&mut S>),
) -> hyper::Result<()>
where
    S: Future<Output = hyper::Result<()>>,
{
    let mut finishing = false;
    std::future::poll_fn(|cx| {
        let course = ending.course(cx);
        if course == Course::Stop {
            return Poll::Ready(Ok(()));
        }
        // What has come already counts: hyper closes at once what it has read nothing from.
        let polled = serving.as_mut().poll(cx);
        if course == Course::On || finishing || polled.is_ready() {
            return polled;
        }
        finishing = true;
        finish(serving.as_mut());
        serving.as_mut().poll(cx)
    })
    .await
}

fn note(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(
            error = %Causes(&error),
            "a connection broke off"
        );
    }
}

/// The answer to one request, boxed once so that the large future of a request is not moved from hand to hand inside hyper.
type Answering = Pin<Box<dyn Future<Output = Result<http::Response<EdgeBody>, Infallible>>>>;

/// The handler of one connection's streams; it takes [`open::STREAMS`] of them, then the connection ends.
fn service(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
) -> impl Fn(Request<hyper::body::Incoming>) -> Answering {
    let left = Cell::new(open::STREAMS);
    move |request| {
        left.set(left.get().saturating_sub(1));
        if left.get() == 0 {
            connection.place.ending().tell(Course::Finish);
        }
        let worker = Rc::clone(&worker);
        let (head, body) = request.into_parts();
        let head = Box::new(head);
        let connection = Rc::clone(&connection);
        Box::pin(async move {
            let inbound = Inbound::new(Incoming::Http2(body), None);
            // Boxed before anything wraps it: each wrapper would copy it once more.
            let answer = request::answer(&worker, &connection, &head, inbound);
            let answer = Box::into_pin(Box::write(Box::new_uninit(), answer));
            let contained = Contained {
                metrics: &worker.shared.metrics,
                node: &worker.shared.policy.node,
                lost: &worker.lost,
            };
            Ok(contained.answer(&head.method, answer).await)
        })
    }
}

/// Runs hyper's HTTP/2 streams on the thread they came in on, each so that it can be ended by itself.
#[derive(Clone, Debug)]
struct OnThread(Rc<Streams>);

/// What the streams of a connection have in common. hyper keeps an executor for each of them.
#[derive(Debug)]
struct Streams {
    state: Arc<ConnectionState>,
    stalled: IntCounter,
}

impl<F> hyper::rt::Executor<F> for OnThread
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        let Self(streams) = self.clone();
        let (handle, registration) = AbortHandle::new_pair();
        // It has room for an answer's body: boxed, so that neither what goes around it nor tokio, at its begin and at its end, copies it.
        let future = Box::pin(future);
        tokio::task::spawn_local(async move {
            let serving = async {
                // The first poll of hyper's future asks the service, where the request begins.
                streams.state.begin_stream(handle);
                future.await;
            };
            // What is dropped unfinished is what h2 resets, with CANCEL; the bytes that wait behind the window go with it.
            if Abortable::new(serving, registration).await.is_err() {
                streams.stalled.inc();
            }
        });
    }
}
