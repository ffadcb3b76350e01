//! One request, from its head to the beginning of its answer. Read [`story`] first.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use tokio::sync::oneshot::Receiver;

use super::asker::Asker;
use super::body::EdgeBody;
use super::connection::Connection;
use super::h1::Upgraded;
use super::inbound::{Inbound, Incoming};
use super::io::Exchange;
use super::known_hosts::KnownHost;
use super::live::{Cuttable, Names};
use super::record::{Record, UpstreamRecord};
use super::refusal::{RefusalContext, render};
use super::upload::{Pace, RequestBody};
use super::worker::Worker;
use super::{challenge, failure, fault, find, local, respond, upgrade};
use crate::decide::rewrite::{self, RequestIds};
use crate::decide::{self, Arrival, Case, Decision, Forward, Present};
use crate::guard::Permit;
use crate::http1::RequestHead;
use crate::model::refusal::Extra;
use crate::model::{Code, Refusal, identity};
use crate::resolve::Facts;
use crate::shutdown::Phase;
use crate::sign::Claims;
use crate::upstream::{self, Answer};

/// A head that the signer has closed: what is in it now is what the upstream sees.
struct SignedRequest<'a> {
    head: RequestHead,
    method: &'a Method,
    forward: &'a Forward,
    permit: Permit,
}

/// Answers one request. Never fails: what goes wrong is a refusal, a fault of this program a 500 for this request alone.
///
/// All but the body is lent: what a future is given it would hold, and copy about.
pub(super) async fn answer(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    head: &Parts,
    inbound: Inbound,
) -> Response<EdgeBody> {
    let exchange = connection.state.begin_request();
    let mut record = Record::begin(worker, connection, head);
    let present = Present::of(&head.headers);
    let ids = worker
        .ids
        .draw(&head.headers, present, connection.visit.trusted);
    record.request_id.clone_from(&ids.request);
    record.trace_parent = Some(ids.trace_parent);
    if inbound.is_readable()
        && let Some(response) = probe(worker, head)
    {
        return finish(&ids, record, exchange, response);
    }
    // Boxed, as seldom as it is: it would make the future of every request larger.
    if inbound.is_readable()
        && let Some(asked) = decide::challenge(head, &connection.visit)
        && let Some(response) =
            Box::pin(challenge::answer(&worker.shared, asked, &mut record)).await
    {
        return finish(&ids, record, exchange, response);
    }
    let asker = Asker::of(head, present, worker);
    let mut stage = Stage {
        worker,
        connection,
        ids: &ids,
        record: &mut record,
    };
    let outcome = AssertUnwindSafe(story(&mut stage, head, inbound))
        .catch_unwind()
        .await;
    let outcome = outcome.unwrap_or_else(|_| {
        worker.shared.metrics.panics.inc();
        Err(fault::refusal())
    });
    match outcome {
        Ok(Served::Own(response)) => finish(&ids, record, exchange, response),
        Ok(Served::Upstream(served)) => {
            respond::stream(worker, &asker, &ids, record, exchange, served)
        }
        Ok(Served::Tunnel(tunnel)) => upgrade::accept(worker, &ids, record, exchange, *tunnel),
        Err(refusal) => {
            let response = refuse(worker, &asker, &ids, &mut record, &refusal);
            finish(&ids, record, exchange, response)
        }
    }
}

/// What the story of a request takes along.
pub(super) struct Stage<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) connection: &'a Rc<Connection>,
    ids: &'a RequestIds,
    pub(super) record: &'a mut Record,
}

/// How a request ends that was not refused.
pub(super) enum Served {
    /// With an answer made here.
    Own(Response<Bytes>),
    /// With the upstream's answer.
    Upstream(Box<respond::Upstreamed>),
    /// With a tunnel to the upstream.
    Tunnel(Box<upgrade::Tunnel>),
}

/// The story of a request: host, tenant, decision, permit, outbound head, signature, answer.
async fn story(stage: &mut Stage<'_>, head: &Parts, inbound: Inbound) -> Result<Served, Refusal> {
    let Inbound { body, upgrade } = inbound;
    let body = body?;
    let known = find::known(stage, head);
    let arrival = arrive(stage, head, known.as_deref())?;
    stage.record.host = Some(arrival.host.hostname.clone());
    let generation = stage.worker.shared.resolver.generation();
    let facts = find::tenant(stage, &arrival, known.as_deref()).await;
    let known = known.or_else(|| find::acquaint(stage, head, &arrival, &facts));
    let forward = match decision(stage, head, &arrival, &facts)? {
        Decision::Answer(answer) => {
            let visit = &stage.connection.visit;
            return Ok(Served::Own(local::answer(
                stage.worker,
                &answer,
                head,
                visit,
                &arrival.host,
                stage.ids,
            )));
        }
        Decision::Forward(forward) => forward,
    };
    let permit = permit(stage, known.as_deref(), &forward)?;
    let signed = signed(stage, head, known.as_deref(), &forward, permit)?;
    stage.record.known = known;
    let names = Names {
        target: arrival.target,
        generation,
    };
    send(stage, signed, body, upgrade, names).await
}

fn arrive(
    stage: &mut Stage<'_>,
    head: &Parts,
    known: Option<&KnownHost>,
) -> Result<Arrival, Refusal> {
    let known = known.map(|known| &known.host);
    let policy = &stage.worker.shared.policy;
    decide::arrive(head, &stage.connection.visit, known, policy).inspect_err(|_| {
        stage.record.host_sent = head.headers.get(http::header::HOST).cloned();
    })
}

fn decision(
    stage: &mut Stage<'_>,
    head: &Parts,
    arrival: &Arrival,
    facts: &Facts,
) -> Result<Decision, Refusal> {
    let shared = &stage.worker.shared;
    let case = Case {
        head,
        visit: &stage.connection.visit,
        arrival,
        facts,
        now: stage.record.now,
    };
    stage.record.visitor = decide::origin(head, case.visit, &shared.policy).visitor;
    let decision = decide::decide(&case, &shared.policy);
    (stage.record.route, stage.record.sources) = match &decision {
        Ok(Decision::Forward(forward)) => (forward.route.clone(), forward.sources),
        // Settled a second time, for the record: a tenant's refusals belong to it too.
        _ => decide::whose(&case, &shared.policy),
    };
    decision
}

fn permit(
    stage: &Stage<'_>,
    known: Option<&KnownHost>,
    forward: &Forward,
) -> Result<Permit, Refusal> {
    let guard = &stage.worker.shared.guard;
    let tenant = forward.route.as_ref().map(|route| route.tenant);
    match known {
        Some(known) => guard.admit_at_hand(&mut known.used.borrow_mut(), tenant, &forward.limits),
        None => guard.admit(tenant, &forward.limits),
    }
}

fn signed<'a>(
    stage: &mut Stage<'_>,
    inbound: &'a Parts,
    known: Option<&KnownHost>,
    forward: &'a Forward,
    permit: Permit,
) -> Result<SignedRequest<'a>, Refusal> {
    let shared = &stage.worker.shared;
    let visit = &stage.connection.visit;
    let origin = decide::origin(inbound, visit, &shared.policy);
    stage.record.visitor = origin.visitor;
    let mut head = rewrite::outbound(
        stage.worker.pool.memory(),
        inbound,
        forward,
        visit,
        &origin,
        &shared.policy,
        stage.ids,
    );
    let claims = Claims {
        route: forward.route.as_deref(),
        upstream: &forward.upstream.name,
        sources: forward.sources,
        host: &forward.hostname,
    };
    let (signer, now) = (&stage.worker.signer, stage.record.now);
    let mut add = |assertion: &HeaderValue| {
        head.field(identity::TENANT_ASSERTION.as_str(), assertion.as_bytes());
    };
    let signed = match known {
        Some(known) => {
            let mut slot = known.assertion.borrow_mut();
            signer.assertion_in(&mut slot, &claims, now, add)
        }
        None => signer.assertion(&claims, now).map(|value| add(&value)),
    };
    signed.map_err(|error| {
        Refusal::new(Code::InternalError, "The request could not be signed.").because(error)
    })?;
    Ok(SignedRequest {
        head,
        method: &inbound.method,
        forward,
        permit,
    })
}

async fn send(
    stage: &mut Stage<'_>,
    signed: SignedRequest<'_>,
    body: Incoming,
    upgrade: Option<Receiver<Upgraded>>,
    names: Names,
) -> Result<Served, Refusal> {
    let SignedRequest {
        head,
        method,
        forward,
        permit,
    } = signed;
    let shared = &stage.worker.shared;
    let (body, watch) = RequestBody::new(
        body,
        forward.limits.body,
        Pace::new(shared.timeouts.body, shared.body_rate),
    );
    stage.record.request_body = Some(watch.clone());
    let sent = tokio::time::Instant::now();
    stage.record.upstream = Some(UpstreamRecord {
        upstream: Arc::clone(&forward.upstream),
        endpoint: None,
        retried: false,
        sent,
        answered: None,
    });
    let tenant = forward.route.as_ref().map(|route| route.tenant);
    let mut live = Cuttable::new(&stage.worker.live, tenant, names, stage.connection.ending());
    let request = upstream::Request {
        begun: sent,
        head,
        method: method.clone(),
        length: forward.length,
        upgrade: forward.upgrade.then(|| rewrite::UPGRADED.clone()),
        body,
    };
    let mut sending = pin!(stage.worker.pool.send(&forward.upstream, request));
    let outcome = live.run(sending.as_mut()).await;
    if let Some(part) = &mut stage.record.upstream {
        part.answered = Some(tokio::time::Instant::now());
    }
    let Some(outcome) = outcome else {
        return Err(Box::pin(failure::cut(shared, tenant)).await);
    };
    let answer = outcome.map_err(|error| failure::of_sending(&error, &watch))?;
    if let Some(part) = &mut stage.record.upstream {
        part.endpoint = Some(answer.endpoint);
        part.retried = answer.retried;
    }
    served(answer, upgrade.filter(|_| forward.upgrade), permit, live)
}

/// What an answer is to the visitor.
fn served(
    mut answer: Box<Answer<RequestBody>>,
    upgrade: Option<Receiver<Upgraded>>,
    permit: Permit,
    live: Cuttable,
) -> Result<Served, Refusal> {
    match (answer.tunnel.take(), upgrade) {
        (None, _) => Ok(Served::Upstream(Box::new(respond::Upstreamed {
            answer,
            _permit: permit,
            live,
        }))),
        (Some(upstream), Some(visitor)) => Ok(Served::Tunnel(Box::new(upgrade::Tunnel {
            visitor,
            upstream,
            head: answer.response.into_parts().0,
            permit,
            live,
        }))),
        (Some(_), None) => Err(Refusal::new(Code::UpstreamInvalid, "Try again.")
            .because("101 without having been asked to upgrade")),
    }
}

fn refuse(
    worker: &Rc<Worker>,
    asker: &Asker,
    ids: &RequestIds,
    record: &mut Record,
    refusal: &Refusal,
) -> Response<Bytes> {
    record.refused(refusal);
    let policy = &worker.shared.policy;
    let request_id = ids.request.to_str().unwrap_or_default();
    let context = RefusalContext {
        method: &asker.method,
        accept: asker.accept.as_ref(),
        request_id,
        node: &policy.node,
        cors_origin: asker.origin.as_ref(),
        host: record.host.as_ref().map(|host| host.as_str()),
        cookie: match refusal.extra {
            Extra::Cookie(issuer) => policy
                .routing
                .tokens
                .get(issuer)
                .and_then(|issuer| issuer.cookie.as_deref()),
            _ => None,
        },
    };
    let mut response = render(refusal, &context);
    // Whoever was refused with a body may have more of it on the way, whatever of it has come.
    if asker.has_body && record.version < http::Version::HTTP_2 {
        response
            .headers_mut()
            .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn finish(
    ids: &RequestIds,
    mut record: Box<Record>,
    exchange: Exchange,
    mut response: Response<Bytes>,
) -> Response<EdgeBody> {
    record.status = response.status();
    response
        .headers_mut()
        .insert(rewrite::REQUEST_ID.clone(), ids.request.clone());
    let bodiless = record.method == Method::HEAD;
    response.map(|body| EdgeBody::own(if bodiless { Bytes::new() } else { body }, record, exchange))
}

/// The probe of a balancer, for any host and before every rule.
fn probe(worker: &Worker, head: &Parts) -> Option<Response<Bytes>> {
    if !decide::is_probe(head, worker.shared.probe_path.as_deref()) {
        return None;
    }
    let ready = worker.shared.resolver.ready() && worker.shared.stopping.phase() == Phase::Running;
    Some(local::probe(ready))
}
