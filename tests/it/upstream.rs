//! The pool against real sockets: what it sends, what it accepts, which connections it keeps. The numbers in the names are rows of
//! the requirements (J: what an upstream may do to us).

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use vestibule::config::{self, Balance, Endpoint, EndpointHost, HostPolicy, UpstreamTimeouts};
use vestibule::http1::RequestHead;
use vestibule::metrics::Metrics;
use vestibule::upstream::{self, Answer, AnswerBody, Pool, SendError, Upstream, Upstreams};

use crate::harness::upstream::TestUpstream;

mod answers;
mod bodies;
mod connections;
mod endpoints;
mod retries;
mod timeouts;

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A pool with one upstream behind it.
struct Fixture {
    pool: Rc<Pool>,
    upstream: Arc<Upstream>,
    metrics: Arc<Metrics>,
}

impl Fixture {
    fn to(server: &TestUpstream) -> Self {
        Self::with(&[server.address], |_| {})
    }

    fn with(endpoints: &[SocketAddr], set: impl FnOnce(&mut config::Upstream)) -> Self {
        let endpoints = endpoints.iter().map(|address| Endpoint {
            tls: false,
            host: EndpointHost::Ip(address.ip()),
            port: address.port(),
        });
        let mut config = settings(endpoints.collect());
        set(&mut config);
        Self::of(&config, &[])
    }

    fn of(config: &config::Upstream, listeners: &[SocketAddr]) -> Self {
        let metrics = Metrics::new(0).unwrap();
        let configs = std::slice::from_ref(config);
        let upstreams = Upstreams::new(configs, listeners, &metrics).unwrap();
        Self {
            pool: Pool::new(&upstreams),
            upstream: Arc::clone(upstreams.get("app").unwrap()),
            metrics,
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Box<Answer<Body>>, SendError> {
        self.pool.send(&self.upstream, outgoing(request)).await
    }

    /// Sends `GET /` and reads the whole answer.
    async fn get(&self) -> Result<Response<Bytes>, SendError> {
        Ok(whole(self.send(get("/")).await?.response).await)
    }

    /// The text of the metrics.
    fn counted(&self) -> String {
        String::from_utf8(self.metrics.encode().unwrap()).unwrap()
    }
}

fn settings(endpoints: Vec<Endpoint>) -> config::Upstream {
    let long = Duration::from_secs(30);
    config::Upstream {
        name: "app".into(),
        endpoints,
        balance: Balance::RoundRobin,
        host: HostPolicy::Preserve,
        timeouts: UpstreamTimeouts {
            connect: long,
            response: long,
            idle: long,
            keep_alive: long,
        },
        idle_connections: 8,
        hmac_secret: None,
        ca_file: None,
    }
}

fn request(method: &str, target: &str, body: Body) -> Request<Body> {
    let head = Request::builder().method(method).uri(target);
    head.header("host", "acme.test").body(body).unwrap()
}

fn get(target: &str) -> Request<Body> {
    request("GET", target, none())
}

fn none() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(text: &'static str) -> Body {
    Full::from(text)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The request as the edge hands it on.
fn outgoing(request: Request<Body>) -> upstream::Request<Body> {
    let (parts, body) = request.into_parts();
    let headers = &parts.headers;
    let host = headers["host"].as_bytes();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let mut head = RequestHead::begin(Vec::new(), &parts.method, target, |out| out.extend(host));
    for (name, value) in headers.iter().filter(|(name, _)| *name != "host") {
        head.field(name.as_str(), value.as_bytes());
    }
    let length = headers.get("content-length");
    upstream::Request {
        head,
        length: length.map(|length| length.to_str().unwrap().parse().unwrap()),
        upgrade: headers.get("upgrade").cloned(),
        method: parts.method,
        body,
        begun: tokio::time::Instant::now(),
    }
}

async fn whole(response: Response<AnswerBody<Body>>) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// Runs a test as a data-plane thread would: on one thread, with futures that need not be `Send`.
fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(Default::default())
        .unwrap();
    runtime.block_on(test);
}
