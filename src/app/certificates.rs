//! Certificates from CAs on this node: what ordering them is made of.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Notify;

use super::StartError;
use crate::acme::{AcmeCa, Ca};
use crate::clock::Clock;
use crate::config::{AcmeIssuer, Config};
use crate::domains::{CaExpectation, Expected, Looker};
use crate::metrics::Metrics;
use crate::model::{ChallengeKind, DomainPattern, Hostname};
use crate::seal::Sealer;
use crate::store::{Challenge, Store, StoreError};
use crate::tasks::certificates::{
    AskedOrder, CertificateParts, Certificates, ChallengeBoard, Cleared, DomainLife, Issuer,
    LOOK_EVERY, Limits, Preflight, PublishedChallenge, Wake, own_names_to_order,
};
use crate::tls::Inventory;

/// What ordering certificates needs besides the store.
pub(super) struct Ordering {
    issuers: Vec<Issuer>,
    own: Vec<DomainPattern>,
    preflight: NamePreflight,
    covered: Option<Arc<Inventory>>,
    config: Config,
    clock: Clock,
    metrics: Arc<Metrics>,
    wake: Arc<Wake>,
    names: Arc<Notify>,
}

impl Ordering {
    /// Nothing where no CA is configured or no visitor is served over TLS. `names` is woken when a name may go into service.
    pub(super) fn new(
        config: &Config,
        clock: &Clock,
        (metrics, inventory): (&Arc<Metrics>, Option<&Arc<Inventory>>),
        looker: Looker,
        (wake, names): (&Arc<Wake>, &Arc<Notify>),
    ) -> Result<Option<Self>, StartError> {
        if !config.orders_certificates() {
            return Ok(None);
        }
        let issuer = |settings: &AcmeIssuer| issuer(config, settings, clock);
        let issuers = config
            .acme
            .iter()
            .map(issuer)
            .collect::<Result<Vec<_>, _>>()?;
        let wildcards = issuers
            .iter()
            .any(|it| it.challenges.contains(&ChallengeKind::Dns01));
        let expected = Expected::new(config);
        let own = own_names_to_order(config, wildcards);
        Ok(Some(Self {
            issuers,
            preflight: NamePreflight {
                own: own.clone(),
                looker,
                own_expected: expected.clone().of_own(config),
                expected,
                clock: clock.clone(),
            },
            own,
            covered: inventory.cloned(),
            config: config.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            wake: Arc::clone(wake),
            names: Arc::clone(names),
        }))
    }

    /// With the store, what orders certificates.
    pub(super) fn on(self, store: &Store) -> Arc<Certificates> {
        let store = store.acting_as("node");
        let file = self.config.store.secret_key_file.clone();
        let covered = self.covered;
        let board = Board(store.clone());
        let life = Life {
            store: store.clone(),
            wake: self.names,
        };
        Certificates::new(CertificateParts {
            holder: holder(&self.config.edge.node),
            store,
            issuers: self.issuers,
            own: self.own,
            covered: Box::new(move |pattern| covered.as_ref()?.folder_suffices_until(pattern)),
            preflight: Arc::new(self.preflight),
            board: Arc::new(board),
            life: Arc::new(life),
            sealed_with: Arc::new(move || Sealer::open(&file).ok().flatten()),
            clock: self.clock,
            metrics: self.metrics,
            wake: self.wake,
            look_every: LOOK_EVERY,
            rng: Mutex::new(StdRng::from_rng(&mut rand::rng())),
        })
    }
}

/// One process among all that have the store, two on one machine too.
fn holder(node: &str) -> String {
    format!("{node}-{:08x}", rand::random::<u32>())
}

fn issuer(config: &Config, settings: &AcmeIssuer, clock: &Clock) -> Result<Issuer, StartError> {
    let ca = AcmeCa::new(settings, clock.clone()).map_err(StartError::Acme)?;
    Ok(Issuer {
        label: label(ca.id()),
        ca: Arc::new(ca),
        profile: settings.profile.clone(),
        challenges: config.challenges_for(settings),
        caa_identities: settings.caa_identities.clone(),
        key: settings.key,
        limits: Limits::from(settings.limits),
    })
}

/// What metrics call a CA: the host of its directory.
fn label(directory: &str) -> String {
    let url: Option<http::Uri> = directory.parse().ok();
    let host = url.as_ref().and_then(http::Uri::host);
    host.unwrap_or(directory).to_owned()
}

/// Looks at names as the CA will.
struct NamePreflight {
    /// Names that are ordered without a claim: the operator's own.
    own: Vec<DomainPattern>,
    looker: Looker,
    expected: Expected,
    /// What is right for those: addresses of this node, too.
    own_expected: Expected,
    clock: Clock,
}

impl Preflight for NamePreflight {
    fn may_order<'a>(&'a self, asked: &'a AskedOrder<'a>) -> BoxFuture<'a, Cleared> {
        async {
            let ca = CaExpectation {
                directory_url: asked.ca.id.clone(),
                identities: asked.ca.caa_identities.clone(),
                account: Some(asked.ca.account_url.clone()).filter(|url| !url.is_empty()),
                challenges: asked.kinds.to_vec(),
            };
            let own = self.own.contains(asked.pattern);
            let expected = match own {
                true => &self.own_expected,
                false => &self.expected,
            };
            let mut expected = Expected {
                cas: vec![ca],
                ..expected.clone()
            };
            if own && asked.renewal {
                // It has been shown before that it leads here, perhaps by an address that no node knows.
                expected.forget_where();
            }
            let found = self
                .looker
                .preflight(asked.pattern, &expected, self.clock.now())
                .await;
            match found.first_ready() {
                Some((_, kinds)) => Cleared::Go(kinds.to_vec()),
                None => Cleared::Wait(found.checks.into_iter().filter(|it| !it.ok).collect()),
            }
        }
        .boxed()
    }
}

/// Challenges are put into the store, where every node looks.
struct Board(Store);

impl ChallengeBoard for Board {
    fn publish<'a>(
        &'a self,
        challenge: &'a PublishedChallenge,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async {
            let challenge = Challenge {
                name: challenge.name.clone(),
                kind: challenge.kind,
                token: challenge.token.clone(),
                key_authorization: challenge.key_authorization.clone(),
                expires_at: challenge.expires_at.0,
            };
            self.0.publish_challenge(&challenge).await
        }
        .boxed()
    }

    fn withdraw<'a>(
        &'a self,
        name: &'a Hostname,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let gone = self.0.withdraw_challenges(name, token);
        gone.map(|gone| gone.map(drop)).boxed()
    }
}

/// Names go into service when their certificate has come.
struct Life {
    store: Store,
    wake: Arc<Notify>,
}

impl DomainLife for Life {
    fn certificate_in_place<'a>(
        &'a self,
        pattern: &'a DomainPattern,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async {
            self.store.certificate_in_place(pattern).await?;
            self.wake.notify_one();
            Ok(())
        }
        .boxed()
    }
}
