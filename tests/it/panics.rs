//! A fault of this program costs the request that it happened in, and no other (I19).
//!
//! The data plane is real; the one part that is not is whoever verifies tokens, which panics when it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::future::BoxFuture;
use http::Request;
use prometheus::{IntCounterVec, Opts};
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::decide::Policy;
use vestibule::guard::Guard;
use vestibule::metrics::Metrics;
use vestibule::proxy::access_log::{AccessLog, AccessLogGuard};
use vestibule::proxy::{self, Kind, Shared};
use vestibule::resolve::{Resolver, TokenVerdict, TokenVerifier};
use vestibule::shutdown::{Phase, Shutdown};
use vestibule::sign::Signer;
use vestibule::store::{Access, OpenChallenges, Store};
use vestibule::tls::Inventory;
use vestibule::upstream::Upstreams;

use crate::harness::client::{Visitor, get};
use crate::harness::edge::{Edge, Plan};
use crate::harness::http2::{Http2, read};
use crate::harness::issuer::Issuer;
use crate::harness::upstream::TestUpstream;

struct Explosive;

impl TokenVerifier for Explosive {
    fn peek(&self, raw: &str) -> Option<TokenVerdict> {
        assert_ne!(raw, "now", "as told");
        None
    }

    fn verify<'a>(&'a self, raw: &'a str) -> BoxFuture<'a, TokenVerdict> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert_ne!(raw, "later", "as told");
            TokenVerdict::Foreign { jwt: false }
        })
    }
}

/// One data-plane thread.
struct DataPlane {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
    _access_log: AccessLogGuard,
    plan: Plan,
}

impl DataPlane {
    async fn start(upstream: &TestUpstream) -> Self {
        Self::start_with(upstream, Metrics::new(10).unwrap()).await
    }

    async fn start_with(upstream: &TestUpstream, metrics: Arc<Metrics>) -> Self {
        let plan = plan(upstream).await;
        let config = Config::parse(&plan.toml(), "test", std::iter::empty()).unwrap();
        let clock = Clock::system();
        let (shutdown, stopping) = Shutdown::new();
        let store = Store::open(&config.store, Access::Serve, clock.clone(), None)
            .await
            .unwrap();
        let control = tokio::runtime::Handle::current();
        let resolver = Resolver::new(
            &config.cache,
            Some(Arc::new(store)),
            control,
            clock.clone(),
            Arc::clone(&metrics),
        );
        resolver.verify_tokens_with(Box::new(Explosive));
        let upstreams = Upstreams::new(&config.upstreams, &[], &metrics).unwrap();
        let (inventory, _) =
            Inventory::load(&config.tls, Arc::clone(&metrics), clock.now()).unwrap();
        let (access_log, guard) =
            AccessLog::start(&config.log.access, Arc::clone(&metrics)).unwrap();
        let shared = Shared {
            policy: Policy::new(&config, upstreams, inventory),
            timeouts: config.edge.timeouts,
            body_rate: config.limits.body_rate,
            resolver,
            signer: Signer::new(&config.signing, &config.upstreams, None).unwrap(),
            guard: Guard::new(&config.limits, &[], Arc::clone(&metrics)),
            metrics: Arc::clone(&metrics),
            access_log,
            clock,
            challenges: OpenChallenges::new(tokio::runtime::Handle::current()),
            acceptor: None,
            probe_path: None,
            stopping,
        };
        let bound = proxy::bind("127.0.0.1:0".parse().unwrap(), Kind::Http, 1).unwrap();
        let sockets = bound
            .sockets
            .into_iter()
            .map(|socket| (bound.kind, socket))
            .collect();
        let post = proxy::posts(1).remove(0);
        let run = move || proxy::run(Arc::new(shared), sockets, post, [7; 32]);
        Self {
            address: bound.address,
            metrics,
            shutdown,
            thread: Some(vestibule::runtime::data_plane(0, run).unwrap()),
            _access_log: guard,
            plan,
        }
    }
}

/// A tenant behind `upstream`, whom tokens of an issuer with a secret name.
async fn plan(upstream: &TestUpstream) -> Plan {
    let secret = "hmac_secret_file = \"FOLDER/issuer.key\"\n";
    let plan = Issuer::with_secret()
        .believed_by(Edge::with(upstream.address))
        .tenants(&["acme"]);
    let secret = secret.replace("FOLDER", plan.folder().to_str().unwrap());
    plan.config_behind(&secret)
        .config("[signing]\nalgorithm = \"HS256\"")
        .filled()
        .await
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        self.shutdown.enter(Phase::Ended);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i19_a_panic_costs_one_request() {
    let upstream = TestUpstream::echo();
    let plane = DataPlane::start(&upstream).await;
    let mut visitor = Visitor::connect(plane.address).await;
    for (times, token) in ["now", "later"].into_iter().enumerate() {
        let line = format!("Authorization: Bearer {token}");
        let answer = visitor.ask(get("acme.localhost", "/", &[&line])).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (500, "internal_error")
        );
        assert!(!answer.text().contains("as told"), "{}", answer.text());
        assert_eq!(plane.metrics.panics.get(), times as u64 + 1);
        // The same connection goes on, and so does every other.
        for visitor in [&mut visitor, &mut Visitor::connect(plane.address).await] {
            assert_eq!(
                visitor.ask(get("acme.localhost", "/", &[])).await.status,
                200
            );
        }
    }
    let text = std::fs::read_to_string(plane.plan.folder().join("access.log")).unwrap_or_default();
    assert!(!text.contains("as told"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i19_a_panic_costs_one_stream() {
    let upstream = TestUpstream::script(|mut connection| async move {
        while let Some(seen) = connection.read_request().await {
            connection
                .write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
                .await;
            if seen.target == "/slow" {
                connection.signal().await;
            }
            connection.write(b"well").await;
        }
    });
    let plane = DataPlane::start(&upstream).await;
    let mut visitor = Http2::over(Visitor::connect(plane.address).await.into_inner()).await;
    let request = |path: &str| Request::get(format!("http://acme.localhost{path}"));
    let (slow, _) = visitor.open(request("/slow").body(()).unwrap(), true).await;
    let slow = slow.await.unwrap();
    for token in ["now", "later"] {
        let exploding = request("/").header("authorization", format!("Bearer {token}"));
        let answer = visitor.ask(exploding.body(()).unwrap()).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (500, "internal_error")
        );
    }
    assert_eq!(
        visitor.ask(request("/").body(()).unwrap()).await.text(),
        "well"
    );
    upstream.signal();
    assert_eq!(read(slow).await.text(), "well");
    assert_eq!(plane.metrics.panics.get(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i19_a_panic_while_a_request_is_told_of_leaves_its_answer_alone() {
    let upstream = TestUpstream::echo();
    let mut metrics = Metrics::new(10).unwrap();
    // A series with other labels than the proxy knows: counting with it panics.
    let options = Opts::new("odd", "Nothing.");
    Arc::get_mut(&mut metrics).unwrap().requests = IntCounterVec::new(options, &["odd"]).unwrap();
    let plane = DataPlane::start_with(&upstream, metrics).await;
    let mut visitor = Visitor::connect(plane.address).await;
    for (count, host, status) in [
        (1, "acme.localhost", 200),
        (2, "nobody.localhost", 404),
        (3, "acme.localhost", 200),
    ] {
        let answer = visitor.ask(get(host, "/", &[])).await;
        assert_eq!((answer.status, answer.complete), (status, true));
        crate::harness::until(|| (plane.metrics.panics.get() == count).then_some(())).await;
    }
}
