//! A TCP relay that passes, holds back or cuts what it carries, as a network between a node and its database may.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// A running relay; everything that it carries ends with it.
pub(crate) struct FaultProxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    mode: watch::Sender<Mode>,
    running: AbortHandle,
}

/// What becomes of the connections, by their number.
#[derive(Clone, Copy, Default)]
struct Mode {
    /// Those below never carry a byte again, in neither direction, and are not closed either.
    frozen: usize,
    /// Those below have been ended.
    cut: usize,
    /// New ones are accepted, and nothing moves on any.
    stalled: bool,
    /// New ones are ended at once.
    closed: bool,
}

impl FaultProxy {
    /// In front of the server at `url` (`postgres://USER@HOST:PORT/DATABASE`), which need not be there yet; passes everything.
    pub(crate) async fn before(url: &str) -> Self {
        let server = authority(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, seen) = watch::channel(Mode::default());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (visitor, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                connections.spawn(relay(visitor, server.clone(), number, seen.clone()));
            }
        });
        Self {
            address,
            accepted,
            mode,
            running: running.abort_handle(),
        }
    }

    /// `url` with the relay in the server's place.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(authority(url), &self.address.to_string())
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Everything goes through, also what was held back.
    pub(crate) fn pass(&self) {
        self.mode.send_modify(|mode| {
            mode.stalled = false;
            mode.closed = false;
        });
    }

    /// Connections can be made, and no byte comes through.
    pub(crate) fn stall(&self) {
        self.mode.send_modify(|mode| mode.stalled = true);
    }

    /// The connections of now are forgotten, as by a firewall: neither side hears of the other again. New ones pass.
    pub(crate) fn forget(&self) {
        let now = self.connections();
        self.mode.send_modify(|mode| mode.frozen = now);
    }

    /// All connections end, new ones at once.
    pub(crate) fn cut(&self) {
        let now = self.connections();
        self.mode.send_modify(|mode| {
            mode.cut = now;
            mode.closed = true;
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Mode {
    fn ends(&self, number: usize) -> bool {
        self.closed || number < self.cut
    }

    fn holds(&self, number: usize) -> bool {
        self.stalled || number < self.frozen
    }
}

async fn relay(
    mut visitor: TcpStream,
    server: String,
    number: usize,
    mut mode: watch::Receiver<Mode>,
) {
    let mut upstream: Option<TcpStream> = None;
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    loop {
        let now = *mode.borrow_and_update();
        if now.ends(number) {
            return;
        }
        if now.holds(number) {
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(server) = &mut upstream else {
            match TcpStream::connect(&server).await {
                Ok(connected) => upstream = Some(connected),
                Err(_) => return,
            }
            continue;
        };
        let carried = tokio::select! {
            changed = mode.changed() => changed.is_ok(),
            read = visitor.read(&mut asked) => pass(server, &asked, read).await,
            read = server.read(&mut answered) => pass(&mut visitor, &answered, read).await,
        };
        if !carried {
            return;
        }
    }
}

/// Hands on what was read; false at the end of the connection.
async fn pass(to: &mut TcpStream, bytes: &[u8], read: std::io::Result<usize>) -> bool {
    match read {
        Ok(0) | Err(_) => false,
        Ok(count) => to.write_all(&bytes[..count]).await.is_ok(),
    }
}

/// `HOST:PORT` of a database's URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once('@').unwrap().1;
    rest.split('/').next().unwrap()
}
