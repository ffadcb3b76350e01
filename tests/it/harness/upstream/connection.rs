//! One connection of the test upstream: reads requests as bytes and writes whatever a script wants.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::message::{Seen, lines, pairs};

trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A connection in the hands of a script. Dropping it closes it.
pub(crate) struct Connection {
    /// Counts from 0 in the order of arrival.
    pub(crate) number: usize,
    io: Box<dyn Io>,
    /// The socket once more, for what the transport cannot do.
    socket: socket2::Socket,
    /// Read and not used yet.
    ahead: Vec<u8>,
    signals: watch::Receiver<usize>,
    signals_used: usize,
    shared: Arc<Shared>,
}

impl Connection {
    /// `None` if the TLS handshake fails.
    pub(super) async fn accept(
        tcp: TcpStream,
        tls: Option<TlsAcceptor>,
        number: usize,
        shared: &Arc<Shared>,
    ) -> Option<Self> {
        let socket = socket2::SockRef::from(&tcp).try_clone().unwrap();
        let io: Box<dyn Io> = match tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.accept(tcp).await.ok()?),
        };
        Some(Self {
            number,
            io,
            socket,
            ahead: Vec::new(),
            signals: shared.signals.subscribe(),
            signals_used: 0,
            shared: Arc::clone(shared),
        })
    }

    /// Reads one request with its body and records it. `None` once the other side has closed; a request that breaks off is not
    /// recorded.
    pub(crate) async fn read_request(&mut self) -> Option<Seen> {
        let mut seen = self.read_head().await?;
        let expects = |value: &str| value.eq_ignore_ascii_case("100-continue");
        if seen.header("expect").is_some_and(expects) {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        }
        self.read_body(&mut seen).await?;
        self.shared.log.lock().unwrap().push(seen.clone());
        let _ = self.shared.seen.send(seen.clone());
        Some(seen)
    }

    /// Reads the head of a request and leaves its body, if it has one, to be read or not. Nothing is recorded.
    pub(crate) async fn read_head(&mut self) -> Option<Seen> {
        let raw = self.read_until(b"\r\n\r\n").await?;
        Some(Seen::from_head(raw, self.number))
    }

    /// Reads exactly `count` bytes, such as those of an upgraded connection.
    pub(crate) async fn read_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < count {
            self.fill().await?;
        }
        Some(self.ahead.drain(..count).collect())
    }

    /// Waits until the other side closes, and gives what came before that.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill().await.is_some() {}
        std::mem::take(&mut self.ahead)
    }

    /// Writes these bytes. That the other side has closed is no failure: scripts misbehave on purpose.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.io.write_all(bytes).await;
        let _ = self.io.flush().await;
    }

    /// Writes `piece` again and again, until the other side has closed.
    pub(crate) async fn pour(mut self, piece: &[u8]) {
        while self.io.write_all(piece).await.is_ok() {}
    }

    /// Lets the kernel keep little of what is written here, so that what could be written is what the other side has taken.
    pub(crate) fn keep_little(&self) {
        self.socket.set_send_buffer_size(16 * 1024).unwrap();
    }

    /// Writes these bytes; false where the other side has closed.
    pub(crate) async fn wrote(&mut self, bytes: &[u8]) -> bool {
        self.io.write_all(bytes).await.is_ok() && self.io.flush().await.is_ok()
    }

    /// Waits for the test's next [`super::TestUpstream::signal`]; one that came before is used up.
    pub(crate) async fn signal(&mut self) {
        let used = self.signals_used;
        let _ = self.signals.wait_for(|count| *count > used).await;
        self.signals_used += 1;
    }

    /// Says that nothing more will be written (FIN), and goes on reading.
    pub(crate) async fn finish(&mut self) {
        let _ = self.io.shutdown().await;
    }

    /// Ends the connection as a crash does (RST).
    pub(crate) async fn reset(self) {
        let _ = self.socket.set_linger(Some(std::time::Duration::ZERO));
    }

    async fn read_body(&mut self, seen: &mut Seen) -> Option<()> {
        if seen.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks(seen).await;
        }
        let length = seen
            .header("content-length")
            .map_or(0, |value| value.parse().unwrap());
        seen.body = self.read_exactly(length).await?;
        seen.raw.extend_from_slice(&seen.body);
        Some(())
    }

    async fn read_chunks(&mut self, seen: &mut Seen) -> Option<()> {
        loop {
            let line = self.read_until(b"\r\n").await?;
            seen.raw.extend_from_slice(&line);
            let size =
                usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            if size == 0 {
                return self.read_trailers(seen).await;
            }
            let chunk = self.read_exactly(size + 2).await?;
            assert!(
                chunk.ends_with(b"\r\n"),
                "a chunk does not end where it says"
            );
            seen.body.extend_from_slice(&chunk[..size]);
            seen.raw.extend_from_slice(&chunk);
        }
    }

    async fn read_trailers(&mut self, seen: &mut Seen) -> Option<()> {
        loop {
            let line = self.read_until(b"\r\n").await?;
            seen.raw.extend_from_slice(&line);
            if line == b"\r\n" {
                return Some(());
            }
            seen.trailers.extend(pairs(&lines(&line)));
        }
    }

    async fn read_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self
                .ahead
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return Some(self.ahead.drain(..at + end.len()).collect());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.io.read_buf(&mut self.ahead).await;
        read.ok().filter(|count| *count > 0).map(|_| ())
    }
}
