//! Certificates from certificate authorities: which is ordered when, where and by which node.
//!
//! A reconciler: it looks at what is wanted (verified domains, the operator's own names), keeps one row for each name in the store and brings
//! each row on, step by step. A step ends with a row that says all that the next one needs, so that any node can take it. Which rows are due
//! and whose turn it is, the store says; a row is leased to one node at a time, and what it writes counts only while its lease lasts.
//!
//! `place` orders, `advance` sees an order through, `look_after` waits for the renewal; `setback` says what a failure means, `limits` and
//! `ladder` are the numbers, `wait` is what an order waits for at a CA.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

mod accounts;
mod advance;
mod due;
mod fail;
mod followed;
mod intent;
mod kept_account;
mod ladder;
mod limits;
mod look_after;
mod place;
mod seams;
mod setback;
mod wait;

pub use intent::{LOOK_EVERY, Wake, own_names, own_names_to_order};
pub use kept_account::{AccountError, KeptAccount};
pub use limits::{Limits, Outcome};
pub use seams::{
    AskedOrder, CaFacts, ChallengeBoard, Cleared, CoveredByFiles, DomainLife, Preflight,
    PublishedChallenge, SealedWith,
};
pub use wait::{Wait, waits_now};

use accounts::Accounts;
use intent::Look;
use setback::Setback;

use crate::acme::{AcmeError, CALL, Ca};
use crate::clock::{Clock, Timestamp};
use crate::config::CertificateKey;
use crate::metrics::Metrics;
use crate::model::{Causes, ChallengeKind, DomainPattern};
use crate::seal::Sealer;
use crate::shutdown::{Phase, Stopping};
use crate::store::{CertificateOrder, Hold, ORDER_LEASE, OrderStage, Store, StoreError};

/// Rows that a node works on at once: most of a step is waiting for somebody else.
const AT_ONCE: u32 = 32;
/// A step that takes longer is cut short: behind it the lease must still last.
const STEP: Duration = Duration::from_secs(50);
const _: () = assert!(STEP.as_secs() < ORDER_LEASE.as_secs());
/// A call that a CA does not answer in time is the CA's failure, and not one of the step, unless others went before it.
const _: () = assert!(CALL.as_secs() < STEP.as_secs());
/// While nothing is known to be due, it is looked for this often: the command line wakes nobody.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
/// How long a node that stops waits for steps that are under way.
const LEAVE: Duration = Duration::from_secs(5);

/// A CA that certificates are ordered of.
pub struct Issuer {
    /// Its protocol.
    pub ca: Arc<dyn Ca>,
    /// What metrics call it: its host.
    pub label: String,
    /// The kind of certificate.
    pub profile: Option<String>,
    /// How control is shown, in order of preference.
    pub challenges: Vec<ChallengeKind>,
    /// By which names CAA records mean it; what it says of itself where there are none.
    pub caa_identities: Vec<String>,
    /// The kind of key.
    pub key: CertificateKey,
    /// What it lets an account do.
    pub limits: Limits,
}

/// What orders certificates.
pub struct Certificates {
    parts: CertificateParts,
    accounts: Accounts,
    look: tokio::sync::Mutex<Look>,
}

/// What [`Certificates`] works with.
pub struct CertificateParts {
    /// Where rows, budgets, accounts and certificates are.
    pub store: Store,
    /// The CAs, in order of preference. At least one.
    pub issuers: Vec<Issuer>,
    /// The operator's own names, see [`own_names`].
    pub own: Vec<DomainPattern>,
    /// Whether the operator's files cover a name.
    pub covered: CoveredByFiles,
    /// Looks at names first.
    pub preflight: Arc<dyn Preflight>,
    /// Where challenges are put.
    pub board: Arc<dyn ChallengeBoard>,
    /// Who waits for certificates.
    pub life: Arc<dyn DomainLife>,
    /// Seals keys.
    pub sealed_with: SealedWith,
    /// The time.
    pub clock: Clock,
    /// Orders are counted here.
    pub metrics: Arc<Metrics>,
    /// Names this process among all that have the store.
    pub holder: String,
    /// Who wakes it.
    pub wake: Arc<Wake>,
    /// Between two looks at everything, whatever was or was not told in between; [`LOOK_EVERY`] unless time is moved by hand.
    pub look_every: Duration,
    /// Chance.
    pub rng: Mutex<StdRng>,
}

/// What a pass came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Rows that were worked on.
    pub worked_on: usize,
    /// When something will be due, looks at everything aside; now where there is more already.
    pub next: Timestamp,
}

/// What follows a step.
enum Next {
    /// The next one, at once.
    Go,
    /// Nothing for now: the row is saved and released.
    Done,
}

/// Why a step did not come to its end.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// As `Acme`, once the CA has said that it has issued.
    #[error("the certificate was issued and cannot be had")]
    AfterIssue(#[source] AcmeError),
    #[error("another node is registering the account, or changing it")]
    Busy,
    #[error("the lease has ended, or the name is wanted no more")]
    Lost,
    #[error("it took longer than {} s", STEP.as_secs())]
    Slow,
}

impl Certificates {
    /// Does nothing yet.
    pub fn new(parts: CertificateParts) -> Arc<Self> {
        for issuer in &parts.issuers {
            // A series that begins with its first failure has no failures to compare with.
            for result in ["issued", "renewed", "failed", "ca_failed"] {
                let labels = [issuer.label.as_str(), result];
                parts.metrics.acme_orders.with_label_values(&labels);
            }
        }
        Arc::new(Self {
            accounts: Accounts::new(parts.issuers.len()),
            look: tokio::sync::Mutex::default(),
            parts,
        })
    }

    /// Works until the node drains. What is under way then is finished or left to other nodes.
    pub async fn run(self: Arc<Self>, stopping: Stopping) {
        let mut working = JoinSet::new();
        loop {
            let pause = match self.take_up(&mut working).await {
                Ok(next) => Duration::from_millis(
                    u64::try_from(next.0.saturating_sub(self.parts.clock.now().0)).unwrap_or(0),
                ),
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "orders of certificates cannot be looked at");
                    LONGEST_PAUSE
                }
            };
            tokio::select! {
                () = stopping.reached(Phase::Draining) => break,
                () = self.parts.wake.news() => {}
                Some(done) = working.join_next() => {
                    if let Err(error) = done {
                        tracing::error!(error = %Causes(&error), "work on a certificate ended in a fault");
                    }
                }
                () = sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)) => {}
            }
        }
        let _ = timeout(LEAVE, async {
            while working.join_next().await.is_some() {}
        })
        .await;
    }

    /// Looks once at what is wanted, takes up what is due as far as there is room, and works on it until each row is released. What
    /// [`Certificates::run`] does all the time, in one piece.
    pub async fn pass(&self) -> Result<Passed, StoreError> {
        let more = self.look().await?;
        let (orders, next) = self.due(AT_ONCE).await?;
        let worked_on = orders.len();
        join_all(orders.into_iter().map(|order| self.work_on(order))).await;
        let next = match more || worked_on > 0 {
            true => self.parts.clock.now(),
            false => next,
        };
        Ok(Passed { worked_on, next })
    }

    /// Fills the free places; when to look again.
    async fn take_up(self: &Arc<Self>, working: &mut JoinSet<()>) -> Result<Timestamp, StoreError> {
        let more = self.look().await?;
        let free = AT_ONCE.saturating_sub(u32::try_from(working.len()).unwrap_or(AT_ONCE));
        if free == 0 {
            return Ok(self.parts.clock.now().plus(LONGEST_PAUSE));
        }
        let (orders, next) = self.due(free).await?;
        let any = !orders.is_empty();
        for order in orders {
            let task = Arc::clone(self);
            working.spawn(async move { task.work_on(order).await });
        }
        Ok(if more || any {
            self.parts.clock.now()
        } else {
            next
        })
    }

    /// Brings a leased row on until there is nothing to do for now.
    async fn work_on(&self, mut order: CertificateOrder) {
        loop {
            let stepped = timeout(STEP, self.step(&mut order)).await;
            match stepped.unwrap_or(Err(StepError::Slow)) {
                Ok(Next::Go) => {}
                Ok(Next::Done) => return,
                Err(error) => {
                    if let Err(error) = self.fail(&mut order, error).await {
                        // The lease ends by itself, and somebody goes on from what was saved last.
                        tracing::warn!(hostname = %order.pattern, error = %Causes(&error), "an order is left for now");
                    }
                    return;
                }
            }
        }
    }

    async fn step(&self, order: &mut CertificateOrder) -> Result<Next, StepError> {
        match order.stage {
            OrderStage::Due => self.place(order).await,
            OrderStage::Placing => {
                // A node died before it knew the order's address. Nobody will ever know it, so there is another order.
                let what = "the node that was placing the order is gone".to_owned();
                self.set_back(order, Setback::Forgotten(what)).await?;
                Ok(Next::Done)
            }
            OrderStage::Placed => self.advance(order).await,
            OrderStage::Kept => self.look_after(order).await,
        }
    }

    async fn save(&self, order: &CertificateOrder, hold: Hold) -> Result<(), StepError> {
        match self
            .parts
            .store
            .save_order(order, &self.parts.holder, hold, &[])
            .await?
        {
            true => Ok(()),
            false => Err(StepError::Lost),
        }
    }

    /// The CA that a row asks now or next.
    fn issuer_of(&self, order: &CertificateOrder) -> usize {
        self.placed_at(order).unwrap_or(0)
    }

    /// The CA that has a row's order, unless it is configured no more.
    fn placed_at(&self, order: &CertificateOrder) -> Option<usize> {
        let ca = order.ca.as_deref();
        let mut all = self.parts.issuers.iter();
        all.position(|issuer| Some(issuer.ca.id()) == ca)
    }

    fn count(&self, at: usize, result: &str) {
        let label = self.parts.issuers[at].label.as_str();
        self.parts
            .metrics
            .acme_orders
            .with_label_values(&[label, result])
            .inc();
    }

    fn sealer(&self) -> Result<Sealer, StepError> {
        (self.parts.sealed_with)().ok_or_else(|| {
            let what = "there is no key to seal with".to_owned();
            AcmeError::Unusable { what }.into()
        })
    }

    fn chance<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(
            &mut self
                .parts
                .rng
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Issuer {
    /// How control of a name may be shown: of a wildcard only by dns-01 (RFC 8555 section 8.4 and the CA/Browser Forum's rules).
    fn kinds_for(&self, pattern: &DomainPattern) -> Vec<ChallengeKind> {
        let wildcard = matches!(pattern, DomainPattern::Wildcard(_));
        let fits = |kind: &ChallengeKind| !wildcard || *kind == ChallengeKind::Dns01;
        self.challenges.iter().copied().filter(fits).collect()
    }
}

impl From<AccountError> for StepError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => Self::Store(error),
            AccountError::Acme(error) => Self::Acme(error),
            AccountError::Busy | AccountError::None => Self::Busy,
        }
    }
}

impl StepError {
    /// What a failure is that comes after the certificate was issued.
    fn after_issue(self) -> Self {
        match self {
            Self::Acme(error) => Self::AfterIssue(error),
            other => other,
        }
    }

    /// A failure of what should always work.
    fn unusable(error: impl std::error::Error) -> Self {
        let what = format!("no key or request can be made: {}", Causes(&error));
        Self::Acme(AcmeError::Unusable { what })
    }
}
