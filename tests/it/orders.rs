//! Certificates from CAs, as a fleet orders them: real stores, real keys, a CA that does as it is told, and time that is moved by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule::acme::Ca;
use vestibule::clock::Timestamp;
use vestibule::config::CertificateKey;
use vestibule::metrics::Metrics;
use vestibule::model::{ChallengeKind, DomainPattern, DomainState, SigningKeyRecord};
use vestibule::seal::Sealer;
use vestibule::store::{CertificateOrder, CertificateStore, Claim, OrderStage, Store};
use vestibule::tasks::certificates::{CertificateParts, Certificates, Issuer, Limits, Wake};

use crate::store::{Place, by, create, on_both_engines, pattern};

mod accounts;
mod board;
mod ca;
mod deaths;
mod fairness;
mod life;
mod refusals;
mod setbacks;
mod simulation;
mod waits;

use board::{Board, Life, Looks};
use ca::{Handle, ScriptedCa};

/// A fleet's world.
struct World {
    place: Arc<Place>,
    store: Store,
    cas: Vec<Arc<ScriptedCa>>,
    board: Arc<Board>,
    looks: Arc<Looks>,
    life: Arc<Life>,
    own: Vec<DomainPattern>,
    limits: Limits,
    challenges: Vec<ChallengeKind>,
    look_every: Duration,
    nodes: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl World {
    /// With so many CAs: `one.test`, `two.test`.
    async fn new(place: Place, cas: usize) -> Self {
        let store = place.open().await;
        let make = |sealer: &Sealer| {
            Ok::<_, Infallible>(SigningKeyRecord {
                kid: "first".into(),
                public_key: vec![1; 32],
                sealed_private_key: sealer.seal("signing-key", b"x"),
                created_at: 1,
                active_from: 2,
                retired_at: None,
            })
        };
        store
            .first_run(&place.settings.secret_key_file, make)
            .await
            .unwrap();
        let board = Arc::<Board>::default();
        let hosts = ["one.test", "two.test"].into_iter().take(cas);
        Self {
            cas: hosts
                .map(|host| ScriptedCa::new(host, &place.clock, &board))
                .collect(),
            store,
            board,
            looks: Arc::default(),
            life: Arc::default(),
            own: Vec::new(),
            limits: Limits::default(),
            challenges: ChallengeKind::ALL.to_vec(),
            look_every: HOUR * 6,
            nodes: Arc::default(),
            metrics: Metrics::new(0).unwrap(),
            place: Arc::new(place),
        }
    }

    /// The same store at the same time, with another CA.
    fn at(&self, ca: &Arc<ScriptedCa>) -> Self {
        Self {
            place: Arc::clone(&self.place),
            store: self.store.clone(),
            cas: vec![Arc::clone(ca)],
            board: Arc::clone(&self.board),
            looks: Arc::clone(&self.looks),
            life: Arc::clone(&self.life),
            own: self.own.clone(),
            limits: self.limits,
            challenges: self.challenges.clone(),
            look_every: self.look_every,
            nodes: Arc::clone(&self.nodes),
            metrics: Arc::clone(&self.metrics),
        }
    }

    fn ca(&self) -> &ScriptedCa {
        &self.cas[0]
    }

    /// Another node.
    fn node(&self) -> Arc<Certificates> {
        self.woken_by(&Arc::default())
    }

    /// Another node that others can wake.
    fn woken_by(&self, wake: &Arc<Wake>) -> Arc<Certificates> {
        let seen = |ca: &Arc<ScriptedCa>| Arc::new(Handle(Arc::clone(ca))) as Arc<dyn Ca>;
        self.node_of(self.cas.iter().map(seen).collect(), wake)
    }

    /// Another node that orders of `cas`.
    fn node_of(&self, cas: Vec<Arc<dyn Ca>>, wake: &Arc<Wake>) -> Arc<Certificates> {
        let number = self.nodes.fetch_add(1, Ordering::Relaxed);
        let file = self.place.settings.secret_key_file.clone();
        let issuer = |ca: Arc<dyn Ca>| Issuer {
            label: ca.id().to_owned(),
            ca,
            profile: None,
            challenges: self.challenges.clone(),
            caa_identities: Vec::new(),
            key: CertificateKey::EcdsaP256,
            limits: self.limits,
        };
        Certificates::new(CertificateParts {
            store: self.store.clone(),
            issuers: cas.into_iter().map(issuer).collect(),
            own: self.own.clone(),
            covered: Box::new(|_| None),
            preflight: Arc::clone(&self.looks) as _,
            board: Arc::clone(&self.board) as _,
            life: Arc::clone(&self.life) as _,
            sealed_with: Arc::new(move || Sealer::open(&file).unwrap()),
            clock: self.place.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            holder: format!("node {number}"),
            wake: Arc::clone(wake),
            look_every: self.look_every,
            rng: Mutex::new(StdRng::seed_from_u64(number)),
        })
    }

    fn now(&self) -> Timestamp {
        self.place.clock.now()
    }

    fn pass_by(&self, span: Duration) {
        self.place
            .clock
            .shift(i64::try_from(span.as_millis()).unwrap());
    }

    /// Lets `node` work for `span`, time jumping from one thing to do to the next.
    async fn work(&self, node: &Certificates, span: Duration) {
        let end = self.now().plus(span);
        while self.now() < end {
            let next = node.pass().await.unwrap().next;
            let next = next.min(end).min(self.now().plus(self.look_every));
            let next = next.0 - self.now().0;
            self.place.clock.shift(next.max(0));
        }
    }

    async fn verified(&self, tenant: &str, name: &str) {
        self.claimed(tenant, name, DomainState::Verified).await;
    }

    async fn claimed(&self, tenant: &str, name: &str, state: DomainState) {
        let claim = Claim {
            state,
            trusted: false,
        };
        self.store
            .add_domain(&by(tenant), &pattern(name), claim)
            .await
            .unwrap();
    }

    async fn row(&self, name: &str) -> CertificateOrder {
        self.store.order(&pattern(name)).await.unwrap().unwrap()
    }

    /// The fingerprint of what visitors of `name` are shown.
    async fn shown(&self, name: &str) -> Option<String> {
        let looked = self.store.certificate_for(&pattern(name)).await.unwrap();
        looked.certificate.map(|it| it.about.fingerprint)
    }

    async fn is_kept(&self, name: &str) -> bool {
        self.row(name).await.stage == OrderStage::Kept && self.shown(name).await.is_some()
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
