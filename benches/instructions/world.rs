//! What the pure steps of a request need: a policy, a visitor's head, a tenant, a signer. No store and no socket.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request};
use uuid::Uuid;

use vestibule::clock::Timestamp;
use vestibule::config::Config;
use vestibule::decide::rewrite::{self, RequestIds};
use vestibule::decide::{self, Arrival, Case, Decision, Forward, Policy, Present, Visit};
use vestibule::metrics::Metrics;
use vestibule::model::{LimitOverrides, Match, Placement, Route, Slug, TenantId, TenantState};
use vestibule::resolve::Facts;
use vestibule::seal::Sealer;
use vestibule::sign::{Claims, Signer, ThreadSigner, keys};
use vestibule::tls::Inventory;
use vestibule::upstream::Upstreams;

/// When everything happens.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// The fields of a browser's request, `Host` first.
pub(crate) const FIELDS: [(&str, &str); 6] = [
    ("host", "acme.example.com"),
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br"),
    ("cookie", "session=0123456789abcdef0123456789abcdef"),
];

/// Everything.
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) visit: Visit,
    pub(crate) head: Parts,
    pub(crate) ids: RequestIds,
    pub(crate) signer: ThreadSigner,
    facts: Facts,
}

impl World {
    pub(crate) fn new() -> Self {
        let settings = "[routing]\nbase_domains = [\"example.com\"]\n[tls]\ndirectory = \"there/is/none\"\n\
             [limits]\nrequests_per_second = 1_000_000\nin_flight = 1_000\n";
        let config = Config::parse(settings, "benchmark", std::iter::empty()).unwrap();
        let metrics = Metrics::new(0).unwrap();
        let upstreams = Upstreams::new(&config.upstreams, &[], &metrics).unwrap();
        let (inventory, _) = Inventory::load(&config.tls, metrics, NOW).unwrap();
        let signer = Signer::new(&config.signing, &config.upstreams, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sealer = Sealer::create(&folder.path().join("secret.key")).unwrap();
        let key = keys::generate(&sealer, NOW).unwrap();
        signer.load(&[key], &sealer).unwrap();
        let mut request = Request::get("/orders/42?page=2");
        for (name, value) in FIELDS {
            request = request.header(name, value);
        }
        let mut world = Self {
            policy: Policy::new(&config, upstreams, inventory),
            visit: Visit {
                remote: "192.0.2.7:40000".parse().unwrap(),
                local: "192.0.2.1:80".parse().unwrap(),
                secure: false,
                trusted: false,
                names: None,
                demanded: None,
            },
            head: request.body(()).unwrap().into_parts().0,
            ids: rewrite::ids(
                &HeaderMap::new(),
                Present::default(),
                false,
                HeaderValue::from_static("0af7651916cd43dd8448eb211c80319c"),
                b"0af7651916cd43dd8448eb211c80319c",
                b"b7ad6b7169203331",
            ),
            signer: signer.thread(),
            facts: Facts::default(),
        };
        world.facts.host = Some(Match::Found(world.route(1)));
        world
    }

    /// The tenant as of a version of its row.
    pub(crate) fn route(&self, version: u64) -> Arc<Route> {
        Arc::new(Route {
            tenant: TenantId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001)),
            slug: Slug::parse("acme").unwrap(),
            state: TenantState::Active,
            progress: 0,
            removed_at: None,
            plan: Some("standard".into()),
            upstream: None,
            limits: LimitOverrides::default(),
            placement: Placement::default(),
            meta: None,
            version,
        })
    }

    pub(crate) fn decision(&self, arrival: &Arrival) -> Decision {
        let case = Case {
            head: &self.head,
            visit: &self.visit,
            arrival,
            facts: &self.facts,
            now: NOW,
        };
        decide::decide(&case, &self.policy).unwrap()
    }

    pub(crate) fn forward(&self) -> Forward {
        let arrival = decide::arrive(&self.head, &self.visit, None, &self.policy).unwrap();
        match self.decision(&arrival) {
            Decision::Forward(forward) => *forward,
            Decision::Answer(answer) => panic!("{answer:?} where a tenant should be served"),
        }
    }

    pub(crate) fn claims(forward: &Forward) -> Claims<'_> {
        Claims {
            route: forward.route.as_deref(),
            upstream: &forward.upstream.name,
            sources: forward.sources,
            host: &forward.hostname,
        }
    }
}
