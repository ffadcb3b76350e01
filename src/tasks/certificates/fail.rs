//! A step that did not come to its end: what becomes of its row.

use std::time::Duration;

use super::limits::Outcome;
use super::setback::Setback;
use super::{Certificates, StepError, ladder};
use crate::acme::AcmeError;
use crate::clock::Timestamp;
use crate::store::{CertificateOrder, Hold, OrderFailed, OrderStage};

impl Certificates {
    /// What becomes of a row whose step failed.
    pub(super) async fn fail(
        &self,
        order: &mut CertificateOrder,
        error: StepError,
    ) -> Result<(), StepError> {
        let setback = match &error {
            StepError::Store(_) => return Err(error),
            StepError::Lost => return Ok(()),
            _ if order.stage == OrderStage::Kept => return self.ask_later(order).await,
            StepError::Busy => {
                order.next_at = self.parts.clock.now().plus(Duration::from_secs(2)).0;
                return self.save(order, Hold::Release).await;
            }
            StepError::Slow => Setback::of_ca(error.to_string()),
            StepError::Acme(error) | StepError::AfterIssue(error) => {
                Setback::of(error, &order.pattern)
            }
        };
        // A certificate counts at its CA whether it can be had or not.
        let outcome = match &error {
            StepError::AfterIssue(_) => Outcome::Issued,
            _ => setback.outcome(),
        };
        match &error {
            // That this node did not know of the account's successor says nothing of the order.
            StepError::Acme(AcmeError::AccountUnknown)
            | StepError::AfterIssue(AcmeError::AccountUnknown)
                if self.replace_account(self.issuer_of(order)).await? =>
            {
                if order.stage == OrderStage::Placed {
                    order.next_at = self.parts.clock.now().0;
                    return self.save(order, Hold::Release).await;
                }
                order.restarts = 0;
            }
            StepError::Acme(AcmeError::NotReplaced(problem))
                if order.stage == OrderStage::Placing =>
            {
                let (hostname, why) = (&order.pattern, &problem.detail);
                tracing::info!(%hostname, why, "the CA takes no order as a renewal: an ordinary one follows");
                return self.place_plainly(order).await;
            }
            // It may be the wish to replace a certificate that the CA does not like.
            StepError::Acme(AcmeError::Refused(_)) if order.stage == OrderStage::Placing => {
                order.window = None;
            }
            // The CA has the order, and will still have it when it can be asked again.
            StepError::Slow
            | StepError::Acme(AcmeError::Unavailable { .. } | AcmeError::RateLimited { .. })
            | StepError::AfterIssue(
                AcmeError::Unavailable { .. } | AcmeError::RateLimited { .. },
            ) if order.stage == OrderStage::Placed && !self.is_stuck(order) => {
                let asked = match &error {
                    StepError::Acme(error) | StepError::AfterIssue(error) => error.retry_after(),
                    _ => None,
                };
                return self.look_later(order, asked).await.map(drop);
            }
            _ => {}
        }
        self.set_back_as(order, setback, outcome).await
    }

    /// A certificate is in place, and there is an hour to ask when to renew it.
    async fn ask_later(&self, order: &mut CertificateOrder) -> Result<(), StepError> {
        let now = self.parts.clock.now();
        order.ask_at = Some(self.chance(|rng| ladder::ask_soon(now, rng)));
        order.next_at = ladder::next_of_kept(order);
        self.save(order, Hold::Release).await
    }

    /// Saves a failure, gives back what it did not use, and leaves the CA alone where it asks for that.
    pub(super) async fn set_back(
        &self,
        order: &mut CertificateOrder,
        setback: Setback,
    ) -> Result<(), StepError> {
        let outcome = setback.outcome();
        self.set_back_as(order, setback, outcome).await
    }

    /// As [`Certificates::set_back`], `outcome` being what came of the order as far as the CA is concerned.
    pub(super) async fn set_back_as(
        &self,
        order: &mut CertificateOrder,
        setback: Setback,
        outcome: Outcome,
    ) -> Result<(), StepError> {
        let at = self.issuer_of(order);
        let issuer = &self.parts.issuers[at];
        let (ca, now) = (issuer.ca.id(), self.parts.clock.now());
        let under_way = matches!(order.stage, OrderStage::Placing | OrderStage::Placed);
        // What was taken at a CA that is configured no more is nobody else's to give back or to be blamed for.
        let gone = under_way && self.placed_at(order).is_none();
        let refunds = match under_way && !gone {
            true => issuer.limits.refunds(order, ca, outcome),
            false => Vec::new(),
        };
        match gone {
            true => order.ca = None,
            false => self.count(at, setback.result()),
        }
        if let Some(hold) = setback.hold() {
            self.parts.store.hold_ca(ca, now.plus(hold)).await?;
        }
        let next = &self.parts.issuers[(at + 1) % self.parts.issuers.len()];
        let next_ca = (self.parts.issuers.len() > 1).then(|| next.ca.id().to_owned());
        let news = news_of(order, &setback, ca);
        let (result, why) = (setback.result(), setback.to_string());
        self.chance(|rng| setback.write(order, next_ca, now, rng));
        log(order, ca, result, &why);
        let (store, holder) = (&self.parts.store, &self.parts.holder);
        let saved = match news {
            Some(news) => {
                store
                    .save_failed_order(order, holder, news, &refunds)
                    .await?
            }
            None => {
                store
                    .save_order(order, holder, Hold::Release, &refunds)
                    .await?
            }
        };
        match saved {
            true => Ok(()),
            false => Err(StepError::Lost),
        }
    }
}

/// What others are told of a setback that `order` has not been given yet. Once for each certificate that does not come: whoever is told ten
/// times does not listen any more. Of a name that the look before an order finds not ready nobody is told: nothing was ordered.
fn news_of<'c>(
    order: &CertificateOrder,
    setback: &Setback,
    ca: &'c str,
) -> Option<OrderFailed<'c>> {
    let under_way = matches!(order.stage, OrderStage::Placing | OrderStage::Placed);
    match setback {
        Setback::Blocked(_) => None,
        _ if setback.is_begun_anew(order) => None,
        // Those that were only begun anew have failed for nobody.
        _ if under_way => (order.attempts <= 1 + order.restarts).then_some(OrderFailed::Order(ca)),
        _ => (order.failures == 0).then_some(OrderFailed::Ca(ca)),
    }
}

fn log(order: &CertificateOrder, ca: &str, result: &str, why: &str) {
    let (hostname, next_try) = (&order.pattern, Timestamp(order.next_at).to_string());
    // The customer's to put right, or over in a moment.
    let quiet = matches!(result, "blocked") || order.failures == 0;
    match (order.not_after.map(Timestamp), quiet) {
        (None, true) => {
            tracing::info!(%hostname, ca, result, why, next_try, "no certificate yet");
        }
        (None, false) => {
            tracing::warn!(%hostname, ca, result, why, next_try, "no certificate yet");
        }
        (Some(end), true) => {
            tracing::info!(%hostname, ca, result, why, next_try, expires = %end, "a certificate is not renewed yet");
        }
        (Some(end), false) => {
            tracing::warn!(%hostname, ca, result, why, next_try, expires = %end, "a certificate is not renewed yet");
        }
    }
}
