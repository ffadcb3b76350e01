//! Looks at customers' names when their time has come, and has the store draw the consequences. Takes no orders: what is due stands in the
//! store, which node looks at it is settled there too, and a look that is lost with its node is made by another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::config::Config;
use crate::domains::{Claimed, Expected, Looked, Looker};
use crate::metrics::Metrics;
use crate::model::domain_life::{Rules, Seen, Sight};
use crate::model::{Causes, Check, CheckCode, DomainPattern, DomainState};
use crate::shutdown::{Phase, Stopping};
use crate::store::{
    Domain, DomainSettings, DueLook, Handover, HolderSeen, LookedAt, Outcome, Store, StoreError,
};

/// Between two questions for what is due.
const TICK: Duration = Duration::from_secs(1);
/// After the store could not be asked.
const PAUSE: Duration = Duration::from_secs(5);
/// For this long a node has a claim to itself; a look takes some ten seconds at most.
const LEASE: Duration = Duration::from_secs(60);
/// Looks under way at a time.
const AT_ONCE: usize = 32;
/// Names put into service in one go.
const BATCH: u32 = 100;
/// Names with certificates looked at in one go.
const PAGE: u32 = 500;
/// Between two sweeps of tombstones and certificates.
const SWEEP: Duration = Duration::from_secs(3600);

/// How a name is looked at, and by which rules it is judged.
pub struct NameWatch {
    /// Who looks.
    pub looker: Looker,
    /// What is right.
    pub expected: Expected,
    /// Times, and whether there is TLS here.
    pub settings: DomainSettings,
    /// The time.
    pub clock: Clock,
    /// Whether a certificate among this node's own files is good for a name.
    pub own_certificate: Box<dyn Fn(&DomainPattern) -> bool + Send + Sync>,
}

/// What a configuration says of every claim.
pub fn settings(config: &Config) -> DomainSettings {
    DomainSettings {
        rules: Rules {
            give_up: config.domains.give_up,
            grace: config.domains.grace,
            recheck: config.domains.recheck,
        },
        tls: !config.edge.https.is_empty(),
    }
}

/// Whether a finding comes from the store, not from looking at the name.
pub fn is_of_the_store(check: &Check) -> bool {
    matches!(check.code, CheckCode::Certificate | CheckCode::Holder)
}

impl NameWatch {
    /// Looks at a claim, and at the proof of whoever else has the name where that matters.
    pub async fn look(&self, due: &DueLook) -> LookedAt {
        let claim = &due.claim;
        let points = self.expected.cname_target.is_some() || !self.expected.addresses.is_empty();
        let seen = match claim.trusted && !points {
            // Nothing is asked of it and nothing is known to be right: there is nothing to look for.
            true => nothing(),
            false => self.seen(claim).await,
        };
        let holder = match &due.holder {
            Some(holder) if seen.proof == Seen::Yes => Some(HolderSeen {
                tenant: holder.tenant,
                secret: holder.secret.clone(),
                proof: self.seen(holder).await.proof,
                handover: Handover::Nothing,
                given_away: false,
            }),
            _ => None,
        };
        LookedAt {
            pattern: claim.pattern.clone(),
            tenant: claim.tenant,
            secret: claim.secret.clone(),
            sight: Sight {
                proof: seen.proof,
                pointing: if points { seen.pointing } else { Seen::No },
            },
            checks: match claim.trusted {
                true => without_proof(seen.checks),
                false => seen.checks,
            },
            holder,
            own_certificate: (self.own_certificate)(&claim.pattern),
            chance: rand::random(),
        }
    }

    /// All there is to say of a claim.
    pub async fn doctor(&self, claim: &Domain) -> Vec<Check> {
        let checks = self
            .looker
            .doctor(&claimed(claim), &self.expected, self.clock.now())
            .await;
        match claim.trusted {
            true => without_proof(checks),
            false => checks,
        }
    }

    async fn seen(&self, claim: &Domain) -> Looked {
        self.looker
            .look(&claimed(claim), &self.expected, self.clock.now())
            .await
    }
}

/// The reconciler of names.
pub struct DomainTask {
    /// Where claims are.
    pub store: Store,
    /// How they are looked at.
    pub watch: Arc<NameWatch>,
    /// How long tombstones are kept, and certificates of names that nobody has.
    pub cooloff: Duration,
    /// Whether a name's certificate is the operator's, and so needed without a claim.
    pub spared: Box<dyn Fn(&DomainPattern) -> bool + Send + Sync>,
    /// Says that something may be due now, as when a certificate has come.
    pub wake: Arc<Notify>,
    /// Told of names whose state has changed: certificates may be wanted for them, or no more.
    pub changed: Box<dyn Fn(&DomainPattern) + Send + Sync>,
    /// Where looks are counted.
    pub metrics: Arc<Metrics>,
}

impl DomainTask {
    /// Looks until the node stops.
    pub async fn run(self, stopping: Stopping) {
        let this = Arc::new(self);
        this.keep_looking(stopping).await;
    }

    async fn keep_looking(self: Arc<Self>, stopping: Stopping) {
        let mut looks = JoinSet::new();
        let mut swept = tokio::time::Instant::now();
        loop {
            let pause = match self.round(&mut looks).await {
                // There is more than there was room for: as soon as there is some room again, not for each that ends.
                Ok(true) if self.until_half(&mut looks, &stopping).await => continue,
                Ok(_) => TICK,
                Err(error) => {
                    tracing::warn!(error = %Causes(&error), "customers' names cannot be looked at");
                    PAUSE
                }
            };
            if swept.elapsed() >= SWEEP {
                swept = tokio::time::Instant::now();
                self.sweep().await;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wake.notified() => {}
                () = stopping.reached(Phase::Draining) => return,
            }
            while looks.try_join_next().is_some() {}
        }
    }

    /// Waits until half of the looks are over; false where the node stops.
    async fn until_half(&self, looks: &mut JoinSet<()>, stopping: &Stopping) -> bool {
        while looks.len() > AT_ONCE / 2 {
            tokio::select! {
                _ = looks.join_next() => {}
                () = stopping.reached(Phase::Draining) => return false,
            }
        }
        true
    }

    /// Takes as many as there is room for; whether there are more.
    async fn round(self: &Arc<Self>, looks: &mut JoinSet<()>) -> Result<bool, StoreError> {
        match self.store.activate_certified(BATCH).await {
            Ok(active) => active.iter().for_each(told),
            // No reason to look at nobody else.
            Err(error) => {
                tracing::warn!(error = %Causes(&error), "names whose certificate has come stay as they are for now");
            }
        }
        let free = AT_ONCE.saturating_sub(looks.len());
        let free = u32::try_from(free).unwrap_or_default();
        if free == 0 {
            return Ok(true);
        }
        let due = self.store.domains_to_look_at(free, LEASE).await?;
        let all = due.len() >= usize::try_from(free).unwrap_or(usize::MAX);
        for due in due {
            let this = Arc::clone(self);
            looks.spawn(async move { this.look(&due).await });
        }
        Ok(all)
    }

    async fn look(&self, due: &DueLook) {
        let looked = self.watch.look(due).await;
        if due.claim.state.holds()
            && has_come(due, &looked)
            && let Err(error) = self.store.hurry_order(&looked.pattern).await
        {
            tracing::debug!(error = %Causes(&error), "an order waits for its time");
        }
        let checks = &self.metrics.domain_checks;
        checks.with_label_values(&[result(looked.sight)]).inc();
        let drawn = self.store.domain_looked(&looked, &self.watch.settings);
        match drawn.await {
            Ok(Some(Outcome { domain, steps })) if !steps.is_empty() => {
                told(&domain);
                (self.changed)(&domain.pattern);
            }
            Ok(_) => {}
            Err(error) => {
                let name = looked.pattern;
                tracing::warn!(error = %Causes(&error), %name, "what was seen of a name is lost");
            }
        }
    }

    async fn sweep(&self) {
        if let Err(error) = self.store.forget_removed_domains(self.cooloff).await {
            tracing::warn!(error = %Causes(&error), "old tombstones of names stay for now");
        }
        if let Err(error) = self.store.prune_challenges().await {
            tracing::warn!(error = %Causes(&error), "old challenges stay for now");
        }
        if let Err(error) = self.sweep_certificates().await {
            tracing::warn!(error = %Causes(&error), "certificates that nobody needs stay for now");
        }
    }

    async fn sweep_certificates(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = (after.as_ref(), PAGE);
            let swept = self
                .store
                .sweep_certificates(page, &self.spared, self.cooloff);
            let swept = swept.await?;
            for name in swept.forgotten {
                tracing::info!(%name, "the certificate of a name that nobody has is gone");
            }
            after = swept.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

/// Whether a name leads here now that did not when it was looked at last.
fn has_come(due: &DueLook, looked: &LookedAt) -> bool {
    let was_wrong = |check: &Check| check.code == CheckCode::Pointing && !check.ok;
    looked.sight.pointing == Seen::Yes && due.claim.checks.iter().any(was_wrong)
}

/// The metrics' label of a look.
fn result(sight: Sight) -> &'static str {
    match (sight.proof, sight.pointing) {
        (Seen::Unknown, Seen::Unknown) => "unknown",
        (Seen::Yes, Seen::Yes) => "proof_and_pointing",
        (Seen::Yes, _) => "proof",
        (_, Seen::Yes) => "pointing",
        _ => "neither",
    }
}

fn told(domain: &Domain) {
    let (name, tenant) = (&domain.pattern, &domain.tenant_slug);
    let (state, reason) = (domain.state.as_str(), &domain.reason);
    match domain.state {
        DomainState::Degraded | DomainState::Lapsed => {
            tracing::warn!(%name, %tenant, state, reason, "a customer's name changed its state");
        }
        _ => tracing::info!(%name, %tenant, state, reason, "a customer's name changed its state"),
    }
}

fn claimed(claim: &Domain) -> Claimed {
    Claimed {
        pattern: claim.pattern.clone(),
        secret: claim.secret.clone(),
    }
}

fn nothing() -> Looked {
    Looked {
        proof: Seen::Unknown,
        pointing: Seen::Unknown,
        checks: Vec::new(),
    }
}

/// Where an operator's word stands for the proof, its lack is nothing to fix.
fn without_proof(mut checks: Vec<Check>) -> Vec<Check> {
    checks.retain(|check| check.code != CheckCode::Proof);
    checks
}
