//! WebSocket tunnels: after the upstream's 101 the bytes of both sides are passed on, and not looked at.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Response, response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot::Receiver;
use tokio::time::Instant;

use super::body::EdgeBody;
use super::h1::Upgraded;
use super::io::Exchange;
use super::live::Cuttable;
use super::record::Record;
use super::worker::Worker;
use crate::decide::rewrite::{self, RequestIds};
use crate::guard::Permit;
use crate::shutdown::Phase;
use crate::upstream;

/// Both ends of what becomes a tunnel.
pub(super) struct Tunnel {
    pub(super) visitor: Receiver<Upgraded>,
    pub(super) upstream: upstream::Tunnel,
    pub(super) head: response::Parts,
    pub(super) permit: Permit,
    pub(super) live: Cuttable,
}

/// Answers 101 and lets the tunnel run on its own.
pub(super) fn accept(
    worker: &Rc<Worker>,
    ids: &RequestIds,
    mut record: Box<Record>,
    exchange: Exchange,
    tunnel: Tunnel,
) -> Response<EdgeBody> {
    let Tunnel {
        visitor,
        upstream,
        mut head,
        permit,
        live,
    } = tunnel;
    record.status = head.status;
    // For as long as it lasts it must not hold the memory that its head was read into.
    if let Ok(uri) = record.uri.to_string().parse() {
        record.uri = uri;
    }
    rewrite::clean_answer(&mut head.headers);
    head.extensions.clear();
    head.headers
        .insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
    head.headers
        .insert(rewrite::REQUEST_ID.clone(), ids.request.clone());
    let run = run(Rc::clone(worker), visitor, upstream, live, record);
    // A tunnel lasts for hours and costs next to nothing: it counts for its tenant, not against the node's requests.
    let permit = permit.into_tunnel();
    tokio::task::spawn_local(async move {
        run.await;
        drop(permit);
    });
    Response::from_parts(head, EdgeBody::tunnel(exchange))
}

async fn run(
    worker: Rc<Worker>,
    visitor: Receiver<Upgraded>,
    upstream: upstream::Tunnel,
    mut live: Cuttable,
    mut record: Box<Record>,
) {
    let Ok(visitor) = visitor.await else {
        record.finish(false);
        return;
    };
    let last = Rc::new(Cell::new(Instant::now()));
    let count = Rc::new(Cell::new(0_u64));
    let mut visitor = Watched {
        io: visitor,
        last: Rc::clone(&last),
        written: Some(Rc::clone(&count)),
    };
    let mut upstream = Watched {
        io: upstream,
        last: Rc::clone(&last),
        written: record
            .request_body
            .as_ref()
            .map(|body| Rc::clone(&body.received)),
    };
    let shared = &worker.shared;
    let passing = async {
        tokio::select! {
            outcome = tokio::io::copy_bidirectional(&mut visitor, &mut upstream) => outcome.is_ok(),
            () = silence(&last, shared.timeouts.tunnel) => false,
            () = shared.stopping.reached(Phase::Ended) => false,
        }
    };
    let complete = live.run(std::pin::pin!(passing)).await;
    record.sent(usize::try_from(count.get()).unwrap_or(usize::MAX));
    record.finish(complete.unwrap_or(false));
}

/// Resolves when nothing has passed in either direction for `limit`.
async fn silence(last: &Cell<Instant>, limit: Duration) {
    loop {
        let deadline = last.get() + limit;
        if deadline <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(deadline).await;
    }
}

/// One end of a tunnel that notes when bytes pass.
struct Watched<T> {
    io: T,
    last: Rc<Cell<Instant>>,
    written: Option<Rc<Cell<u64>>>,
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.last.set(Instant::now());
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(cx, buf);
        if let Poll::Ready(Ok(written)) = &outcome {
            self.last.set(Instant::now());
            if let Some(count) = &self.written {
                count.set(count.get() + *written as u64);
            }
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
