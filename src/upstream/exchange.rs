//! One request and its answer: an endpoint, a connection, at most one more try, and the wait for the head.

use std::error::Error;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;
use http_body::Body;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::connect;
use super::error::AnswerFault;
use super::pool::{InUse, Part, Pool, Seat};
use super::series::Series;
use super::upload::{Asked, Request, Stage, Upload};
use super::{SendError, Upstream};
use crate::config::UpstreamTimeouts;
use crate::http1::{self, AnswerHead, HeadFault};

/// Longest head of an answer in bytes.
const MAX_HEAD: usize = 64 * 1024;
/// How many interim answers may come before the answer (RFC 9110 section 15.2 has no number; nobody needs more).
const MAX_INTERIM: u8 = 10;
/// Room for what is read first: most heads, and many answers as a whole.
const FIRST_READ: usize = 8 * 1024;

impl Pool {
    /// Sends `request` to an endpoint of `upstream` and gives the head of the answer, with a body that hands the connection back when
    /// it has been read to its end.
    ///
    /// The `Host` is replaced where the upstream's policy says so. The request is sent a second time only if nothing of it was sent,
    /// or if a connection that had waited broke before a byte of the answer came and the request has no body and an idempotent
    /// method (RFC 9110 section 9.2.2). Dropping the future closes the connection.
    pub fn send<'a, B>(
        self: &'a Rc<Self>,
        upstream: &'a Arc<Upstream>,
        request: Request<B>,
    ) -> impl Future<Output = Result<Box<Answer<B>>, SendError>> + use<'a, B>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        // Not an async function around another one: each would hold a request of its own, and this future is moved about.
        let tally = Tally::begin(&upstream.series, request.begun);
        let (upload, asked) = Upload::of(request);
        let exchange = self.exchange(upstream, asked, upload, tally.begun);
        exchange.inspect(move |result| tally.end(result))
    }

    async fn exchange<B>(
        &self,
        upstream: &Upstream,
        asked: Asked,
        mut upload: Upload<B>,
        begun: Instant,
    ) -> Result<Box<Answer<B>>, SendError>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let timeouts = &upstream.config.timeouts;
        let part = self.part(upstream).ok_or(SendError::NoEndpoint)?;
        let seat = self.choose(part, begun)?;
        let mut line = match seat.take_idle(begun) {
            Some(connection) => InUse {
                seat,
                connection,
                reused: true,
                reusable: true,
            },
            None => Box::pin(self.connect(part, seat, timeouts)).await?,
        };
        let mut retried = false;
        loop {
            upload.begin(line.seat.address().site.host.as_ref());
            // A connection that waited is sent on at once: no need to ask the time again.
            let sent = if line.reused { begun } else { Instant::now() };
            let mut wait = Wait::new(sent);
            let answer =
                std::future::poll_fn(|cx| wait.poll_head(&mut line, &mut upload, timeouts, cx));
            match answer.await {
                Ok(answer) => {
                    if upload.is_done() {
                        self.keep_memory(upload.take_memory());
                    }
                    return answer::admit(line, answer, upload, &asked, timeouts.idle, retried);
                }
                Err(Failure::Unsent(_)) if !retried => {}
                Err(Failure::Silent(_)) if line.reused && asked.repeatable && !retried => {}
                Err(Failure::Silent(source) | Failure::Unsent(source)) => {
                    return Err(SendError::Closed {
                        endpoint: line.seat.address().socket,
                        source,
                    });
                }
                Err(Failure::Final(error)) => return Err(error),
            }
            retried = true;
            upstream.series.retried();
            line = Box::pin(self.connect(part, line.seat, timeouts)).await?;
        }
    }

    /// A fresh connection on this lane or, if that fails, on one other.
    async fn connect(
        &self,
        part: &Part,
        seat: Seat,
        timeouts: &UpstreamTimeouts,
    ) -> Result<InUse, SendError> {
        let listeners = &self.upstreams.listeners;
        let error = match connect::open(seat.address(), listeners, timeouts.connect).await {
            Ok(connection) => return Ok(InUse::fresh(seat, connection)),
            Err(error) => error,
        };
        let now = Instant::now();
        seat.rest(now);
        let Some(other) = self.choose_other(part, &seat, now) else {
            return Err(error);
        };
        drop(seat);
        match connect::open(other.address(), listeners, timeouts.connect).await {
            Ok(connection) => Ok(InUse::fresh(other, connection)),
            Err(error) => {
                other.rest(Instant::now());
                Err(error)
            }
        }
    }
}

/// How sending on one connection failed.
enum Failure {
    /// Nothing of the request left.
    Unsent(Option<io::Error>),
    /// The connection ended without a byte of an answer.
    Silent(Option<io::Error>),
    /// Trying again would be wrong or useless.
    Final(SendError),
}

impl InUse {
    fn fresh(seat: Seat, connection: Box<connect::Connection>) -> Self {
        seat.wake();
        Self {
            seat,
            connection,
            reused: false,
            reusable: true,
        }
    }

    fn invalid(&self, reason: &'static str, source: Option<AnswerFault>) -> Failure {
        Failure::Final(SendError::Invalid {
            endpoint: self.seat.address().socket,
            reason,
            source,
        })
    }
}

/// The wait for an answer's head, while the request may still be on its way.
struct Wait {
    sent: Instant,
    /// Whether any byte of the answer has come.
    received: bool,
    interim: u8,
}

impl Wait {
    fn new(sent: Instant) -> Self {
        Self {
            sent,
            received: false,
            interim: 0,
        }
    }

    fn poll_head<B>(
        &mut self,
        line: &mut InUse,
        upload: &mut Upload<B>,
        timeouts: &UpstreamTimeouts,
        cx: &mut Context<'_>,
    ) -> Poll<Result<AnswerHead, Failure>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        if let Poll::Ready(Err(fault)) = upload.poll(&mut line.connection.stream, cx) {
            let error = SendError::RequestBody(fault.into());
            return Poll::Ready(Err(Failure::Final(error)));
        }
        loop {
            if let Some(answer) = self.take_head(line)? {
                return Poll::Ready(Ok(answer));
            }
            let connection = &mut *line.connection;
            connection.read.reserve(FIRST_READ);
            match connection.stream.poll_fill(cx, &mut connection.read) {
                Poll::Ready(Ok(1..)) => self.received = true,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.ended(line, upload, None))),
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(self.ended(line, upload, Some(error))));
                }
                Poll::Pending => {
                    ready!(self.poll_late(line, upload, timeouts, cx));
                    let endpoint = line.seat.address().socket;
                    let error = SendError::ResponseTimeout(endpoint);
                    return Poll::Ready(Err(Failure::Final(error)));
                }
            }
        }
    }

    /// The answer's head, if it has come; interim ones before it are dropped.
    fn take_head(&mut self, line: &mut InUse) -> Result<Option<AnswerHead>, Failure> {
        while !line.connection.read.is_empty() {
            match http1::answer_head(&mut line.connection.read, MAX_HEAD) {
                Ok(Some(head)) if is_interim(head.status) => {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Err(line.invalid("more than ten interim answers", None));
                    }
                }
                Ok(head) => return Ok(head),
                Err(fault) => {
                    let reason = match fault {
                        HeadFault::TooLarge | HeadFault::UriTooLong => "its head is too large",
                        HeadFault::Malformed(_) | HeadFault::Status => "its head is malformed",
                    };
                    return Err(line.invalid(reason, Some(fault.into())));
                }
            }
        }
        Ok(None)
    }

    fn ended<B>(&self, line: &InUse, upload: &Upload<B>, error: Option<io::Error>) -> Failure {
        if self.received {
            return line.invalid("it ends within its head", error.map(AnswerFault::Io));
        }
        match upload.has_begun() {
            true => Failure::Silent(error),
            false => Failure::Unsent(error),
        }
    }

    /// Ready when the answer has been waited for long enough.
    fn poll_late<B>(
        &self,
        line: &mut InUse,
        upload: &Upload<B>,
        timeouts: &UpstreamTimeouts,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let alarm = &mut line.connection.alarm;
        // The clock is read only where the alarm has rung, or where the visitor is to act: his own time is somebody else's to watch.
        let rang = alarm.rang();
        let until = self.patience(upload, timeouts);
        if rang && until <= Instant::now() {
            return Poll::Ready(());
        }
        alarm.ring_by(until, cx);
        Poll::Pending
    }

    /// Until when the answer is waited for. While it is the visitor who has to send more the upstream is not to blame; while the
    /// upstream takes the body, each write that it takes counts; the answer proper is waited for from the last write on.
    fn patience<B>(&self, upload: &Upload<B>, timeouts: &UpstreamTimeouts) -> Instant {
        let last = upload.moved_at().max(self.sent);
        match upload.stage() {
            _ if !upload.has_body() => last + timeouts.response,
            Stage::Visitor => Instant::now() + timeouts.idle.min(timeouts.response),
            Stage::Upstream => last + timeouts.idle,
            Stage::Done => last + timeouts.response,
        }
    }
}

/// 101 is final: it ends what HTTP has to say.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Counts one request, also when its future is dropped.
struct Tally<'a> {
    series: &'a Series,
    begun: Instant,
    open: bool,
}

impl<'a> Tally<'a> {
    fn begin(series: &'a Series, begun: Instant) -> Self {
        Self {
            series,
            begun,
            open: true,
        }
    }

    fn end<T>(mut self, result: &Result<T, SendError>) {
        self.open = false;
        match result {
            Ok(_) => self.series.answered(self.begun.elapsed()),
            Err(error) => self.series.failed(error),
        }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if self.open {
            self.series.canceled();
        }
    }
}
