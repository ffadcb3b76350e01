//! A certificate that is due: whom to ask, whether the name is ready, whether it can be afforded; then the order.

use rand::Rng;

use super::accounts::Opened;
use super::limits::Outcome;
use super::setback::{self, Setback};
use super::{Certificates, Next, StepError};
use crate::acme::{NewOrder, new_key};
use crate::clock::Timestamp;
use crate::model::certificate::CertificateSource;
use crate::model::{ChallengeKind, Check, CheckCode, Checks, DomainPattern};
use crate::store::{CertificateOrder, CertificateStore, Hold, OrderStage, Placing, Short};
use crate::tasks::certificates::seams::{AskedOrder, Cleared};
use crate::tasks::certificates::wait::Wait;

/// Where an order goes, once nothing stands in its way.
struct Way {
    at: usize,
    opened: Opened,
    kind: ChallengeKind,
}

/// What there is to do instead of ordering.
enum Instead {
    /// Wait, for the CA of that number.
    Wait(usize, Wait),
    Back(Setback),
}

impl Certificates {
    /// Places an order for a name that is due, or says when to try again.
    pub(super) async fn place(&self, order: &mut CertificateOrder) -> Result<Next, StepError> {
        let now = self.parts.clock.now();
        let told = order.waits_for.take();
        if let Some(until) = (self.parts.covered)(&order.pattern).filter(|until| *until > now) {
            return self.later(order, until.min(now.plus(LOOK_AT_FILES))).await;
        }
        let way = match self.way(order).await? {
            Ok(way) => way,
            Err(Instead::Wait(at, wait)) => return self.wait(order, at, wait, told).await,
            Err(Instead::Back(setback)) => {
                self.set_back(order, setback).await?;
                return Ok(Next::Done);
            }
        };
        let replaces = self.replaced(order, way.at).await?;
        if let Some(short) = self.pay(order, &way, replaces.is_some()).await? {
            let wait = Wait::of(&short, self.parts.issuers[way.at].ca.id(), order, now);
            return self.wait(order, way.at, wait, told).await;
        }
        let new = NewOrder {
            names: vec![order.pattern.clone()],
            profile: self.parts.issuers[way.at].profile.clone(),
            replaces,
        };
        let url = way.opened.account.place(&new).await?;
        order.order_url = Some(url);
        order.stage = OrderStage::Placed;
        self.save(order, Hold::Keep).await?;
        Ok(Next::Go)
    }

    /// Looks for a CA that the name is ready for. A CA that its CAA records forbid is passed over, and so is one to which control cannot be
    /// shown in the ways that it is asked for; whatever else is wrong with the name is wrong for all of them. What is told of a name that
    /// none can be asked for is what keeps the one from it that the CAA records let in.
    async fn way(&self, order: &CertificateOrder) -> Result<Result<Way, Instead>, StepError> {
        let first = self.issuer_of(order);
        let many = self.parts.issuers.len();
        let mut blocked: Option<Vec<Check>> = None;
        for step in 0..many {
            let at = (first + step) % many;
            let issuer = &self.parts.issuers[at];
            let kinds = issuer.kinds_for(&order.pattern);
            if kinds.is_empty() {
                let check = no_kind(&order.pattern, issuer.ca.id(), self.parts.clock.now());
                blocked.get_or_insert(vec![check]);
                continue;
            }
            // Asked before the name is looked at, which costs others something too.
            let (store, now) = (&self.parts.store, self.parts.clock.now());
            let ca = (issuer.ca.id(), &issuer.limits);
            match Wait::at(store, ca, order, now).await? {
                Some(wait) if wait.is_passed_over(order, now) && step + 1 < many => continue,
                Some(wait) => return Ok(Err(Instead::Wait(at, wait))),
                None => {}
            }
            let opened = self.account(at).await?;
            let asked = AskedOrder {
                pattern: &order.pattern,
                kinds: &kinds,
                ca: &opened.facts,
                renewal: order.is_renewal(),
            };
            match self.parts.preflight.may_order(&asked).await {
                Cleared::Go(mut kinds) if !kinds.is_empty() => {
                    // Another way each time: what failed by one may work by the next.
                    let turn = usize::try_from(order.attempts).unwrap_or(0) % kinds.len();
                    let kind = kinds.swap_remove(turn);
                    return Ok(Ok(Way { at, opened, kind }));
                }
                Cleared::Go(_) => {
                    let check = no_kind(&order.pattern, issuer.ca.id(), self.parts.clock.now());
                    blocked.get_or_insert(vec![check]);
                }
                Cleared::Wait(checks) => {
                    let passed_over = is_of_this_ca(&checks);
                    // Nobody is told to let a CA in where another one is let in already.
                    match &mut blocked {
                        Some(seen) if !is_forbidden(seen) || is_forbidden(&checks) => {}
                        seen => *seen = Some(checks),
                    }
                    if !passed_over {
                        break;
                    }
                }
            }
        }
        let seen = blocked.unwrap_or_default();
        Ok(Err(Instead::Back(Setback::Blocked(seen))))
    }

    /// Draws the key and pays; what there is too little of, where it cannot be paid now.
    async fn pay(
        &self,
        order: &mut CertificateOrder,
        way: &Way,
        replaces: bool,
    ) -> Result<Option<Short>, StepError> {
        let issuer = &self.parts.issuers[way.at];
        let kind = issuer.key;
        let key = tokio::task::spawn_blocking(move || new_key(kind)).await;
        let key = key.map_err(StepError::unusable)?;
        let key = key.map_err(StepError::unusable)?;
        let sealer = self.sealer()?;
        let now = self.parts.clock.now();
        let charges = issuer
            .limits
            .charges_now(order, issuer.ca.id(), replaces, now);
        let mut placing = order.clone();
        placing.stage = OrderStage::Placing;
        placing.ca = Some(issuer.ca.id().to_owned());
        placing.kind = Some(way.kind);
        placing.sealed_key = Some(sealer.seal(&order.purpose(), key.expose()));
        placing.replaces = replaces;
        placing.placed_at = Some(now.0);
        placing.polls = 0;
        placing.attempts = order.attempts.saturating_add(1);
        placing.checks = Checks::default();
        if placing.ca != order.ca && order.ca.is_some() {
            placing.ca_failures = 0;
        }
        let begun = self
            .parts
            .store
            .begin_placing(&placing, &self.parts.holder, &charges, &sealer);
        match begun.await? {
            Placing::Paid => {
                *order = placing;
                Ok(None)
            }
            Placing::Short(short) => Ok(Some(short)),
            Placing::Lost => Err(StepError::Lost),
        }
    }

    /// Makes an ordinary order of one that the CA does not take in the place of a certificate: due at once, at its own price, with what the
    /// first one did not use given back. No failure of anybody's.
    pub(super) async fn place_plainly(
        &self,
        order: &mut CertificateOrder,
    ) -> Result<(), StepError> {
        let issuer = &self.parts.issuers[self.issuer_of(order)];
        let refunds = issuer
            .limits
            .refunds(order, issuer.ca.id(), Outcome::Neither);
        setback::end(order);
        order.window = None;
        order.attempts = order.attempts.saturating_sub(1);
        order.next_at = self.parts.clock.now().0;
        let (store, holder) = (&self.parts.store, &self.parts.holder);
        let saved = store.save_order(order, holder, Hold::Release, &refunds);
        match saved.await? {
            true => Ok(()),
            false => Err(StepError::Lost),
        }
    }

    /// The certificate (DER) that an order at the CA number `at` takes the place of, where that makes a difference to the CA.
    async fn replaced(
        &self,
        order: &CertificateOrder,
        at: usize,
    ) -> Result<Option<Vec<u8>>, StepError> {
        match order.may_replace_at(self.parts.issuers[at].ca.id()) {
            true => self.certificate_of(&order.pattern).await,
            false => Ok(None),
        }
    }

    /// The name's own certificate from a CA, DER.
    pub(super) async fn certificate_of(
        &self,
        pattern: &DomainPattern,
    ) -> Result<Option<Vec<u8>>, StepError> {
        let looked = self.parts.store.certificate_for(pattern).await?;
        let own = looked.certificate.filter(|it| {
            it.about.pattern == *pattern && it.about.source == CertificateSource::Acme
        });
        Ok(own.and_then(|it| crate::tls::facing_der(&it.chain)))
    }

    /// Waits for a CA, and says so, once: `told` is what the order waited for before.
    async fn wait(
        &self,
        order: &mut CertificateOrder,
        at: usize,
        wait: Wait,
        told: Option<String>,
    ) -> Result<Next, StepError> {
        if wait.is_worth_telling(self.parts.clock.now()) {
            if told.as_ref() != Some(&wait.why) {
                let (hostname, why, until) = (&order.pattern, &wait.why, wait.until.to_string());
                tracing::info!(%hostname, why, until, "an order for a certificate waits");
                self.count(at, "put_off");
            }
            order.waits_for = Some(wait.why);
        }
        self.later(order, wait.until).await
    }

    /// Nothing is wrong, and it is not time yet. A little later by chance: many may wait for the same.
    async fn later(&self, order: &mut CertificateOrder, at: Timestamp) -> Result<Next, StepError> {
        let chance = self.chance(|rng| rng.random_range(0..=5_000_i64));
        order.next_at = at.0.saturating_add(chance);
        self.save(order, Hold::Release).await?;
        Ok(Next::Done)
    }
}

/// How often it is looked whether the operator's files still cover a name.
const LOOK_AT_FILES: std::time::Duration = std::time::Duration::from_secs(6 * 3600);

/// Whether CAA records let somebody else in, or nobody.
fn is_forbidden(checks: &[Check]) -> bool {
    let mut bad = checks.iter().filter(|check| !check.ok);
    bad.any(|check| check.code == CheckCode::Caa)
}

/// Whether another CA may do better: this one is forbidden, whatever else is wrong, or nothing is wrong but how control is to be shown to it.
fn is_of_this_ca(checks: &[Check]) -> bool {
    let mut bad = checks.iter().filter(|check| !check.ok);
    is_forbidden(checks) || bad.all(|check| check.code == CheckCode::Challenge)
}

fn no_kind(pattern: &DomainPattern, ca: &str, now: Timestamp) -> Check {
    let wildcard = matches!(pattern, DomainPattern::Wildcard(_));
    Check {
        code: CheckCode::Challenge,
        ok: false,
        expected: "a kind of challenge that the name can have".to_owned(),
        observed: match wildcard {
            true => format!("a wildcard can have dns-01 only, and {ca} is not asked for it"),
            false => format!("none that {ca} is asked for"),
        },
        hint: Some("`challenges` of [[acme]] says which are asked for".to_owned()),
        seen_by: Vec::new(),
        at: now.0,
    }
}
