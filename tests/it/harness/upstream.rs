//! An application server for tests, which behaves, or misbehaves byte by byte.
//!
//! ```ignore
//! let upstream = TestUpstream::echo();                          // answers 200 and says in JSON what it received
//! let upstream = TestUpstream::answering(|seen| Reply::text(&seen.target).header("x-a", "1"));
//! let upstream = TestUpstream::script(|mut c| async move {      // called for each connection
//!     c.read_request().await;
//!     c.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
//!     c.reset().await;
//! });
//! // … point the edge at `upstream.address`, send a request …
//! let seen = upstream.seen().await;                             // the next request it saw, with the bytes as received
//! assert_eq!(seen.header("host"), Some("acme.test"));
//! assert_eq!(upstream.connections(), 1);
//! ```
//!
//! It has a real socket on a free port and a thread and runtime of its own, so a test's runtime may be paused, busy or blocked. It
//! ends with the value. An assertion that fails in a script fails the test: at the latest when the value is dropped.

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

mod connection;
mod message;

pub(crate) use connection::Connection;
pub(crate) use message::{Reply, Seen};

/// A running server.
pub(crate) struct TestUpstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    unseen: tokio::sync::Mutex<mpsc::UnboundedReceiver<Seen>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the server's thread and the test both hold.
struct Shared {
    accepted: AtomicUsize,
    open: watch::Sender<usize>,
    log: Mutex<Vec<Seen>>,
    seen: mpsc::UnboundedSender<Seen>,
    signals: watch::Sender<usize>,
    failure: Mutex<Option<String>>,
}

impl TestUpstream {
    /// Answers every request with 200 and a JSON object: `method`, `target`, `headers` (pairs, in order), `body`, `trailers`.
    pub(crate) fn echo() -> Self {
        Self::answering(Seen::echoed)
    }

    /// Answers every request with what `reply` makes of it. Keeps connections open, sends 100 where that is expected, leaves the body
    /// out for HEAD.
    pub(crate) fn answering(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, well_behaved(reply))
    }

    /// The same over TLS.
    pub(crate) fn answering_tls(
        config: &Arc<ServerConfig>,
        reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(Arc::clone(config)), well_behaved(reply))
    }

    /// Runs `script` for each connection; the connection is closed when the script lets go of it. [`Connection::number`] tells the
    /// first from the second.
    pub(crate) fn script<F, Fut>(script: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        Self::start(None, script)
    }

    /// Reads each request and answers with exactly these bytes; then waits until the other side closes.
    pub(crate) fn raw(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::script(move |mut connection| {
            let answer = Arc::clone(&answer);
            async move {
                while connection.read_request().await.is_some() {
                    connection.write(&answer).await;
                }
            }
        })
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Waits until `count` connections are open.
    pub(crate) async fn until_open(&self, count: usize) {
        let mut open = self.shared.open.subscribe();
        self.bounded("connections", open.wait_for(|open| *open == count))
            .await
            .unwrap();
    }

    /// The next request that has arrived whole, in the order of arrival. Waits for it.
    pub(crate) async fn seen(&self) -> Seen {
        let mut unseen = self.unseen.lock().await;
        self.bounded("a request", unseen.recv()).await.unwrap()
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.log.lock().unwrap().clone()
    }

    /// Lets every script go on that waits in [`Connection::signal`]; one call, one step.
    pub(crate) fn signal(&self) {
        self.shared.signals.send_modify(|count| *count += 1);
    }

    /// Everything here happens at once or not at all; the bound only turns a hang into a failure.
    async fn bounded<T>(&self, what: &str, wait: impl Future<Output = T>) -> T {
        match tokio::time::timeout(Duration::from_secs(20), wait).await {
            Ok(value) => value,
            Err(_) => panic!("waited in vain for {what}; so far: {:#?}", self.requests()),
        }
    }

    fn start<F, Fut>(tls: Option<Arc<ServerConfig>>, script: F) -> Self
    where
        F: Fn(Connection) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, unseen) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            accepted: AtomicUsize::new(0),
            open: watch::Sender::new(0),
            log: Mutex::default(),
            seen,
            signals: watch::Sender::new(0),
            failure: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(Default::default())
                .unwrap();
            let acceptor = tls.map(TlsAcceptor::from);
            let serve = serve(listener, acceptor, Arc::new(script), serving);
            runtime.block_on(async {
                tokio::select! {
                    () = serve => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            shared,
            unseen: unseen.into(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for TestUpstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
        let failure = self.shared.failure.lock().unwrap().take();
        if let Some(failure) = failure
            && !std::thread::panicking()
        {
            panic!("a script of the test upstream failed: {failure}");
        }
    }
}

async fn serve<F, Fut>(
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    script: Arc<F>,
    shared: Arc<Shared>,
) where
    F: Fn(Connection) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        shared.open.send_modify(|open| *open += 1);
        let (tls, script, shared) = (tls.clone(), Arc::clone(&script), Arc::clone(&shared));
        tokio::task::spawn_local(async move {
            let run = async {
                if let Some(connection) = Connection::accept(tcp, tls, number, &shared).await {
                    script(connection).await;
                }
            };
            if let Err(panic) = AssertUnwindSafe(run).catch_unwind().await {
                let text = panic.downcast_ref::<String>().cloned();
                let text =
                    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                *shared.failure.lock().unwrap() = Some(text.unwrap_or_default());
            }
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

fn well_behaved(
    reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> impl Fn(Connection) -> std::pin::Pin<Box<dyn Future<Output = ()>>> + Send + Sync + 'static {
    let reply = Arc::new(reply);
    move |mut connection| {
        let reply = Arc::clone(&reply);
        Box::pin(async move {
            while let Some(seen) = connection.read_request().await {
                connection.write(&reply(&seen).bytes(&seen.method)).await;
                if seen
                    .header("connection")
                    .is_some_and(|value| value.eq_ignore_ascii_case("close"))
                {
                    return;
                }
            }
        })
    }
}
