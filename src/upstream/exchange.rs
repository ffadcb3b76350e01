//! One request and its answer: an endpoint, a connection, at most one more try, and the wait for the head.

use std::error::Error;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::HOST;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Instant;

use crate::config::UpstreamTimeouts;

use super::answer::{self, Answer};
use super::connect;
use super::outgoing::{self, Asked, Outgoing, Stage};
use super::pool::{InUse, Part, Pool, Seat};
use super::series::Series;
use super::{SendError, Upstream};

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Sends `request` to an endpoint of `upstream` and gives the head of the answer, with a body that hands the connection back when
    /// it has been read to its end.
    ///
    /// The request has its final head: origin-form target, hop-by-hop fields gone, the visitor's `Host`, which is replaced where the
    /// upstream's policy says so. Its trailers are dropped. It is sent a second time only if nothing of it was sent, or if a
    /// connection that had waited broke before a byte of the answer came and the request has no body and an idempotent method
    /// (RFC 9110 section 9.2.2). Dropping the future closes the connection.
    pub fn send<'a>(
        self: &'a Rc<Self>,
        upstream: &'a Arc<Upstream>,
        request: Request<B>,
    ) -> impl Future<Output = Result<Answer<B>, SendError>> + use<'a, B> {
        // Not an async function around another one: each would hold a request of its own, and this future is moved about.
        let (request, asked) = outgoing::prepare(request);
        let tally = Tally::begin(&upstream.series);
        let exchange = self.exchange(upstream, request, asked, tally.begun);
        exchange.inspect(move |result| tally.end(result))
    }

    async fn exchange(
        &self,
        upstream: &Upstream,
        mut request: Request<Outgoing<B>>,
        asked: Asked,
        begun: Instant,
    ) -> Result<Answer<B>, SendError> {
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
            let repeatable = line.reused && asked.repeatable && !retried;
            if let Some(host) = &line.seat.address().site.host {
                request.headers_mut().insert(HOST, host.clone());
            }
            let spare = repeatable.then(|| outgoing::copy(&request));
            let answer = pin!(line.start(request));
            request = match line.head(answer, &asked, timeouts).await {
                Ok(response) => {
                    return answer::admit(line, response, &asked, timeouts.idle, retried);
                }
                Err(Failure::Unsent(unsent, _)) if !retried => *unsent,
                Err(Failure::Silent(error) | Failure::Unsent(_, error)) => {
                    spare.ok_or_else(|| SendError::Closed {
                        endpoint: line.seat.address().socket,
                        source: error,
                    })?
                }
                Err(Failure::Final(error)) => return Err(error),
            };
            retried = true;
            upstream.series.retried();
            line = Box::pin(self.connect(part, line.seat, timeouts)).await?;
        }
    }

    /// A fresh connection on this lane or, if that fails, on one other.
    async fn connect(
        &self,
        part: &Part<B>,
        seat: Seat<B>,
        timeouts: &UpstreamTimeouts,
    ) -> Result<InUse<B>, SendError> {
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

/// What the codec makes of a request.
type Handed<B> = Result<Response<Incoming>, TrySendError<Request<Outgoing<B>>>>;

/// How sending on one connection failed.
enum Failure<B> {
    /// Nothing of the request left; here it is again.
    Unsent(Box<Request<Outgoing<B>>>, hyper::Error),
    /// The connection ended without a byte of an answer.
    Silent(hyper::Error),
    /// Trying again would be wrong or useless.
    Final(SendError),
}

impl<B> InUse<B> {
    fn fresh(seat: Seat<B>, connection: connect::Connection<B>) -> Self {
        seat.wake();
        Self {
            seat,
            connection,
            reused: false,
            reusable: true,
        }
    }
}

impl<B> InUse<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Hands the request to the connection. Not part of the wait below, whose future would carry the request about.
    fn start(&mut self, request: Request<Outgoing<B>>) -> impl Future<Output = Handed<B>> + use<B> {
        self.connection.activity.begin();
        self.connection.sender.try_send_request(request)
    }

    /// Waits for the head of the answer.
    async fn head(
        &self,
        mut answer: Pin<&mut impl Future<Output = Handed<B>>>,
        asked: &Asked,
        timeouts: &UpstreamTimeouts,
    ) -> Result<Response<Incoming>, Failure<B>> {
        let sent = Instant::now();
        let first_look = match asked.upload {
            Some(_) => timeouts.idle.min(timeouts.response),
            None => timeouts.response,
        };
        let mut timer = pin!(tokio::time::sleep_until(sent + first_look));
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    return answer.map_err(|mut error| match error.take_message() {
                        Some(request) => Failure::Unsent(Box::new(request), error.into_error()),
                        None => self.failure(error.into_error(), asked),
                    });
                }
                () = &mut timer => {
                    let until = self.patience(sent, asked, timeouts);
                    if until <= Instant::now() {
                        let endpoint = self.seat.address().socket;
                        return Err(Failure::Final(SendError::ResponseTimeout(endpoint)));
                    }
                    timer.as_mut().reset(until);
                }
            }
        }
    }

    /// Until when the answer is waited for. While it is the visitor who has to send more the upstream is not to blame; while the
    /// upstream takes the body, each write that it takes counts; the answer proper is waited for from the last write on.
    fn patience(&self, sent: Instant, asked: &Asked, timeouts: &UpstreamTimeouts) -> Instant {
        let last = self.connection.activity.written_at().max(sent);
        let Some(upload) = &asked.upload else {
            return last + timeouts.response;
        };
        let last = last.max(upload.moved_at());
        match upload.stage() {
            Stage::Visitor => Instant::now() + timeouts.idle.min(timeouts.response),
            Stage::Upstream => last + timeouts.idle,
            Stage::Done => last + timeouts.response,
        }
    }

    fn failure(&self, error: hyper::Error, asked: &Asked) -> Failure<B> {
        let activity = &self.connection.activity;
        if asked.upload.as_ref().is_some_and(|upload| upload.failed()) {
            return Failure::Final(SendError::RequestBody(error));
        }
        let reason = if activity.flooded() {
            "more than ten interim answers"
        } else if error.is_parse_too_large() {
            "its head is too large"
        } else if error.is_parse() {
            "its head is malformed"
        } else if activity.received() {
            "it ends within its head"
        } else {
            return Failure::Silent(error);
        };
        Failure::Final(SendError::Invalid {
            endpoint: self.seat.address().socket,
            reason,
            source: Some(error),
        })
    }
}

/// Counts one request, also when its future is dropped.
struct Tally<'a> {
    series: &'a Series,
    begun: Instant,
    open: bool,
}

impl<'a> Tally<'a> {
    fn begin(series: &'a Series) -> Self {
        Self {
            series,
            begun: Instant::now(),
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
