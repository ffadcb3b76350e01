//! An answer on its way to the visitor: its head with the first of its body, then the rest as it comes.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{HeaderMap, Method, Response, StatusCode, Version};
use http_body::Body as _;

use super::line::{Line, Memory};
use crate::clock::{Clock, Timestamp};
use crate::decide;
use crate::http1::{self, Afterwards, Framing, Outgoing, write_answer};
use crate::proxy::body::EdgeBody;

/// What of a request its answer's form depends on.
pub(super) struct Asked {
    pub(super) version: Version,
    pub(super) is_head: bool,
    /// Whether the visitor wants the connection to go on (RFC 9112 section 9.3).
    pub(super) persists: bool,
}

impl Asked {
    pub(super) fn of(method: &Method, version: Version, headers: &HeaderMap) -> Self {
        let says = |what: &str| decide::lists(headers, &CONNECTION, what);
        Self {
            version,
            is_head: *method == Method::HEAD,
            // What follows a CONNECT is for somebody else, whether or not it was refused.
            persists: *method != Method::CONNECT
                && match version {
                    Version::HTTP_11 => !headers.contains_key(CONNECTION) || !says("close"),
                    _ => says("keep-alive") && !says("close"),
                },
        }
    }
}

/// An answer that is being sent.
pub(super) struct Sending {
    out: Outgoing<Vec<u8>>,
    body: EdgeBody,
    framing: Framing,
    /// Bytes that the head has announced and that have not been put into `out`.
    left: u64,
    afterwards: Afterwards,
    /// All of the body is in `out`, or has left.
    over: bool,
}

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it was written.
    Whole(Afterwards),
    /// The visitor is gone, or the rest of the body will never come: what was written must not look complete (to a visitor of HTTP/1.0 it
    /// does where the head says no length).
    Broken,
}

/// Memory for heads on their way out: one for all connections of a thread.
#[derive(Default)]
pub(in crate::proxy) struct HeadMemory {
    bytes: Cell<Vec<u8>>,
    /// The second of the last date that was written, and its text.
    date: RefCell<(i64, String)>,
}

/// One large head must not hold its memory for ever.
const MOST_KEPT: usize = 16 * 1024;

impl HeadMemory {
    fn keep(&self, memory: Vec<u8>) {
        if memory.capacity() <= MOST_KEPT {
            self.bytes.set(memory);
        }
    }

    /// Hands over the text of a date, made once a second.
    fn date(&self, now: Timestamp, take: impl FnOnce(&str)) {
        let (second, text) = &mut *self.date.borrow_mut();
        if *second != now.seconds() || text.is_empty() {
            *second = now.seconds();
            *text = now.http_date();
        }
        take(text);
    }
}

impl Sending {
    /// Makes `answer` ready to be sent; `goes_on` is false where the connection is to end behind it whatever the visitor wants.
    pub(super) fn new(
        answer: Response<EdgeBody>,
        asked: &Asked,
        goes_on: bool,
        memory: &HeadMemory,
        clock: &Clock,
    ) -> Self {
        let (head, body) = answer.into_parts();
        let framing = framing(head.status, &head.headers, &body, asked);
        let says_close = head.headers.get(CONNECTION);
        let says_close = says_close.is_some_and(|value| value == "close");
        let persists = asked.persists && goes_on && !says_close && framing != Framing::UntilClose;
        let afterwards = match persists {
            _ if head.status == StatusCode::SWITCHING_PROTOCOLS => Afterwards::Upgraded,
            true => Afterwards::Open,
            false => Afterwards::Closed,
        };
        let mut bytes = memory.bytes.take();
        bytes.clear();
        write_answer(
            &mut bytes,
            asked.version,
            head.status,
            &head.headers,
            framing,
            afterwards,
        );
        // RFC 9110 section 6.6.1
        if !head.headers.contains_key(DATE) {
            memory.date(clock.now(), |date| {
                http1::add_field(&mut bytes, "date", date.as_bytes())
            });
        }
        bytes.extend_from_slice(b"\r\n");
        Self {
            out: Outgoing::new(bytes),
            over: matches!(framing, Framing::Bodiless(_)),
            body,
            framing,
            left: match framing {
                Framing::Length(length) => length,
                _ => 0,
            },
            afterwards,
        }
    }

    /// Sends what can be sent; ready at the end, whichever it is.
    pub(super) fn poll(
        &mut self,
        line: &RefCell<Line>,
        memory: &Memory,
        cx: &mut Context<'_>,
    ) -> Poll<Sent> {
        loop {
            // Before the first write, so that head and body leave together where both are there.
            let more = match self.over || !self.out.takes_more() {
                true => Poll::Ready(true),
                // The body may want to read the rest of the request: the line must be free.
                false => self.poll_body(cx),
            };
            if more == Poll::Ready(false) {
                return Poll::Ready(Sent::Broken);
            }
            let written = line.borrow_mut().poll_write(&mut self.out, cx);
            match written {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Sent::Broken),
                Poll::Pending => {
                    // Who sends all of a request before reading its answer would wait for ever.
                    self.body.drive_upload(cx);
                    return Poll::Pending;
                }
            }
            let mut line = line.borrow_mut();
            if more.is_pending() || self.over {
                // What TLS holds back must leave before anybody waits.
                if ready!(line.poll_flush(cx)).is_err() {
                    return Poll::Ready(Sent::Broken);
                }
                if more.is_pending() {
                    ready!(line.poll_gone(memory, cx));
                    return Poll::Ready(Sent::Broken);
                }
                return Poll::Ready(Sent::Whole(self.afterwards));
            }
        }
    }

    /// Takes the next of the body; false if it broke off.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(false),
                None if self.left > 0 => return Poll::Ready(false),
                None => {
                    self.over = true;
                    if self.framing == Framing::Chunked {
                        self.out.put_end();
                    }
                    return Poll::Ready(true);
                }
            };
            match frame.into_data() {
                // An empty chunk would be the last one.
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    self.over = self.body.is_end_stream();
                    return Poll::Ready(self.put(data));
                }
                Err(_) if self.left > 0 => return Poll::Ready(false),
                Err(frame) => {
                    self.over = true;
                    match frame.into_trailers() {
                        Ok(trailers) if self.framing == Framing::Chunked => {
                            self.out.put_trailers(&trailers);
                        }
                        _ => {}
                    }
                    return Poll::Ready(true);
                }
            }
        }
    }

    /// Puts the next of the body into `out`; false if it is not as long as the head has said: the next answer must not begin within it.
    fn put(&mut self, data: Bytes) -> bool {
        if self.framing == Framing::Chunked {
            self.out.put_chunk(data, self.over);
            return true;
        }
        if let Framing::Length(_) = self.framing {
            match self.left.checked_sub(data.len() as u64) {
                Some(left) if left == 0 || !self.over => self.left = left,
                _ => return false,
            }
        }
        self.out.put(data);
        true
    }

    /// Gives back the memory of a head that has left, and tells of the answer how it went.
    pub(super) fn finish(mut self, sent: Sent, memory: &HeadMemory) {
        if sent == Sent::Broken {
            self.body.broke_off();
        }
        memory.keep(self.out.forget_head());
    }
}

/// How the body of an answer to this request is framed (RFC 9112 section 6.3).
fn framing(status: StatusCode, headers: &HeaderMap, body: &EdgeBody, asked: &Asked) -> Framing {
    let said = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    match status {
        StatusCode::NO_CONTENT => return Framing::Bodiless(None),
        StatusCode::NOT_MODIFIED => return Framing::Bodiless(said()),
        status if status.is_informational() => return Framing::Bodiless(None),
        _ if asked.is_head => return Framing::Bodiless(said()),
        _ => {}
    }
    match body.size_hint().exact() {
        Some(length) => Framing::Length(length),
        None if asked.version < Version::HTTP_11 => Framing::UntilClose,
        None => Framing::Chunked,
    }
}
