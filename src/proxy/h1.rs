//! HTTP/1.1 with visitors: one connection, one request at a time (RFC 9112).
//!
//! The connection's task reads a head, lets the request's story run, and writes its answer. Bodies are read by whoever wants them from
//! the same [`Line`]. While nothing is under way, a connection holds its socket and no memory for what may come.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::{EXPECT, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use tokio::sync::oneshot::{self, Sender};

use super::body::EdgeBody;
use super::connection::Connection;
use super::fault::Contained;
use super::inbound::{Inbound, Incoming};
use super::open::{Course, Ending, REQUESTS};
use super::request;
use super::worker::Worker;
use crate::http1::{self, Afterwards, HeadFault};
use crate::model::{Code, Refusal};

mod answer;
mod line;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) use line::Wire;
pub(super) use line::{Line, LineFault, SharedLine, Upgraded};

use answer::{Asked, HeadMemory, Sending, Sent};
use line::{Coming, Memory};

/// Memory that one connection lends to the next.
#[derive(Default)]
pub(super) struct Memories {
    heads_in: Memory,
    heads_out: HeadMemory,
}

/// Serves a connection until either side ends it, or it is told to stop.
pub(super) async fn serve(worker: Rc<Worker>, line: SharedLine, connection: Rc<Connection>) {
    let ending = Rc::clone(connection.ending());
    let panics = worker.shared.metrics.panics.clone();
    let mut serving = pin!(requests(worker, line, connection));
    std::future::poll_fn(|cx| match ending.course(cx) {
        Course::Stop => Poll::Ready(()),
        Course::On | Course::Finish => {
            // What fails outside of a request's own guards takes this connection along, and no other.
            let polled = catch_unwind(AssertUnwindSafe(|| serving.as_mut().poll(cx)));
            polled.unwrap_or_else(|_| {
                panics.inc();
                Poll::Ready(())
            })
        }
    })
    .await;
}

/// One request after the other, then the end in good order.
async fn requests(worker: Rc<Worker>, line: SharedLine, connection: Rc<Connection>) {
    for left in (0..REQUESTS).rev() {
        let (head, inbound, upgrade) = match next(&worker, &line, connection.ending()).await {
            Coming::Head(head) => {
                let (inbound, upgrade) = beginning(&head, &line);
                (head, inbound, upgrade)
            }
            Coming::Fault(fault) => (unreadable(), Inbound::refused(refusal(&fault)), None),
            Coming::End => break,
            Coming::Broken => return,
        };
        if left == 0 {
            connection.ending().tell(Course::Finish);
        }
        match one(&worker, &line, &connection, head, inbound).await {
            Sent::Whole(Afterwards::Open) if line.borrow_mut().skip_body() => {
                connection.state.wait_for_next(line.borrow().has_begun());
            }
            Sent::Whole(Afterwards::Upgraded) => {
                // Nobody listens any more where the tenant was removed meanwhile.
                let _ = upgrade.and_then(|tell| tell.send(Upgraded(line)).err());
                return;
            }
            Sent::Broken => return,
            Sent::Whole(_) => break,
        }
    }
    // What is not read is thrown away for a while, so that the answer is not lost to a reset.
    let _ = std::future::poll_fn(|cx| line.borrow_mut().poll_shutdown(cx)).await;
}

/// What comes next; the end too where the connection is to end and no request has begun.
async fn next(worker: &Worker, line: &SharedLine, ending: &Ending) -> Coming {
    std::future::poll_fn(|cx| {
        let mut line = line.borrow_mut();
        let memory = &worker.memories.heads_in;
        let polled = line.poll_head(memory, cx);
        if polled.is_ready() || line.has_begun() || !ending.is_told() {
            return polled;
        }
        // What has come already counts, also where the task has used up its budget and was told that nothing has.
        let again =
            tokio::task::unconstrained(std::future::poll_fn(|cx| line.poll_head(memory, cx)));
        let again = pin!(again).poll(cx);
        match again {
            Poll::Pending if !line.has_begun() => Poll::Ready(Coming::End),
            again => again,
        }
    })
    .await
}

/// Serves one request.
async fn one(
    worker: &Rc<Worker>,
    line: &SharedLine,
    connection: &Rc<Connection>,
    head: Box<Parts>,
    inbound: Inbound,
) -> Sent {
    let readable = inbound.is_readable();
    let asked = Asked::of(&head.method, head.version, &head.headers);
    let Some(answer) = answer(worker, line, connection, &head, inbound).await else {
        return Sent::Broken;
    };
    // Nobody looks at its fields any more, and the answer may take long.
    drop(head);
    let ending = connection.ending();
    let memories = &worker.memories;
    // Where nobody will read the rest of the request any more, the next one can only be told from it if it has come already.
    let is_read = Rc::strong_count(line) > 1;
    let goes_on = readable && !ending.is_told() && (is_read || line.borrow_mut().skip_body());
    let heads_out = &memories.heads_out;
    let clock = &worker.shared.clock;
    let mut sending = Sending::new(answer, &asked, goes_on, heads_out, clock);
    let sent = std::future::poll_fn(|cx| sending.poll(line, &memories.heads_in, cx)).await;
    sending.finish(sent, heads_out);
    sent
}

/// A request whose head has come: its body, or why nobody can say where it ends, and whom to tell if it becomes a tunnel.
fn beginning(head: &Parts, line: &SharedLine) -> (Inbound, Option<Sender<Upgraded>>) {
    let body = match http1::request_body(head) {
        Ok(body) => body,
        Err(fault) => {
            let refusal = Refusal::bad_request(fault.detail());
            return (Inbound::refused(refusal), None);
        }
    };
    let is_over = body.is_over();
    let expects = || {
        let expected = head.headers.get(EXPECT).map(HeaderValue::as_bytes);
        expected.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    };
    let expects = head.version == Version::HTTP_11 && !is_over && expects();
    line.borrow_mut().begin(body, expects);
    let body = match is_over {
        true => Incoming::None,
        false => Incoming::Http1(Rc::clone(line)),
    };
    let (tell, upgrade) = match head.headers.contains_key(UPGRADE) {
        true => {
            let (tell, upgrade) = oneshot::channel();
            (Some(tell), Some(upgrade))
        }
        false => (None, None),
    };
    (Inbound::new(body, upgrade), tell)
}

/// The answer; nothing where the visitor goes first.
async fn answer(
    worker: &Rc<Worker>,
    line: &SharedLine,
    connection: &Rc<Connection>,
    head: &Parts,
    inbound: Inbound,
) -> Option<Response<EdgeBody>> {
    let contained = Contained {
        metrics: &worker.shared.metrics,
        node: &worker.shared.policy.node,
        lost: &worker.lost,
    };
    // Boxed, as a waiting connection must not hold room for it; and before anything wraps it: each wrapper would copy it.
    let story = Box::write(
        Box::new_uninit(),
        request::answer(worker, connection, head, inbound),
    );
    let story = Box::into_pin(story);
    let mut answering = pin!(contained.answer(&head.method, story));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = answering.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        let gone = line.borrow_mut().poll_gone(&worker.memories.heads_in, cx);
        gone.map(|()| None)
    })
    .await
}

/// What is told of a request that could not be read.
fn unreadable() -> Box<Parts> {
    let mut head = Box::new(Request::new(()).into_parts().0);
    // A word that is a method's in form and in no list of them.
    head.method = Method::from_bytes(b"-").unwrap_or_default();
    head.uri = Uri::from_static("*");
    head
}

fn refusal(fault: &HeadFault) -> Refusal {
    match fault {
        HeadFault::TooLarge => Refusal::new(
            Code::HeadersTooLarge,
            "The request has more than 100 header fields, or they are too large in all.",
        ),
        HeadFault::UriTooLong => Refusal::new(Code::UriTooLong, "The address has more than 8 KiB."),
        HeadFault::Malformed(_) | HeadFault::Status => {
            Refusal::bad_request("A line of the request is malformed.").because(fault)
        }
    }
}
