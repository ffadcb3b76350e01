//! Telling HTTP/2 from HTTP/1 on a plain socket by the first bytes (RFC 9113 section 3.3: prior knowledge).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, ReadBuf};

use super::EdgeIo;

/// The client's connection preface (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which protocol a visitor speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// HTTP/1.0 or HTTP/1.1, or nothing known.
    Http1,
    /// HTTP/2
    Http2,
}

impl<S: AsyncRead + Unpin> EdgeIo<S> {
    /// Reads just enough to know; the bytes are read again by whoever reads next. Waits as long as the head may take.
    pub async fn sniff(&mut self) -> io::Result<Wire> {
        let mut seen = [0; PREFACE.len()];
        let mut length = 0;
        while length < seen.len() && seen[..length] == PREFACE[..length] {
            let mut buffer = ReadBuf::new(&mut seen[length..]);
            poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut buffer)).await?;
            match buffer.filled().len() {
                0 => break,
                read => length += read,
            }
        }
        self.replay = seen[..length].to_vec();
        let preface = seen[..length] == PREFACE[..];
        Ok(if preface { Wire::Http2 } else { Wire::Http1 })
    }
}
