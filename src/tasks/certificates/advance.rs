//! An order that a CA has: each look at it says what to do next, so whoever looks can go on where another one stopped.

use std::time::Duration;

use super::accounts::Opened;
use super::limits::{Outcome, identifier};
use super::setback::Setback;
use super::{Certificates, Next, StepError, ladder};
use crate::acme::{
    AcmeError, AuthorizationState, AuthorizationView, CaProblem, OfferedChallenge, OrderState,
    OrderView, signing_request,
};
use crate::model::{ChallengeKind, Checks, Hostname, Secret};
use crate::store::{CertificateOrder, Hold, OrderStage};
use crate::tasks::certificates::seams::PublishedChallenge;
use crate::tls::CertificateFault;

/// A certificate that begins to be valid within this time is waited for. No CA begins later than it issues; what is off is a clock.
const AHEAD: Duration = Duration::from_secs(600);
/// An order that has come to nothing for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(3600);

impl Certificates {
    /// Looks at an order and does what comes next.
    pub(super) async fn advance(&self, order: &mut CertificateOrder) -> Result<Next, StepError> {
        let (Some(at), Some(url)) = (self.placed_at(order), order.order_url.clone()) else {
            let what = "the CA that has the order is not configured any more".to_owned();
            self.set_back(order, Setback::Forgotten(what)).await?;
            return Ok(Next::Done);
        };
        let opened = self.account(at).await?;
        let view = opened.account.look(&url).await?;
        match view.state {
            OrderState::Invalid => self.fail_order(order, &view, problem_of(&view)).await,
            OrderState::Valid => {
                let fetched = self.fetch(order, &opened, &url, &view).await;
                fetched.map_err(StepError::after_issue)
            }
            _ if self.is_stuck(order) => {
                self.withdraw(order, &view).await?;
                let what = format!("the order was {:?} for an hour", view.state).to_lowercase();
                self.set_back(order, Setback::of_ca(what)).await?;
                Ok(Next::Done)
            }
            OrderState::Pending => self.show(order, &opened, &url, &view).await,
            OrderState::Ready => {
                let request = self.signing_request(order).await?;
                opened.account.finalize(&url, &request).await?;
                self.look_later(order, None).await
            }
            OrderState::Processing => self.look_later(order, view.retry_after).await,
        }
    }

    /// Shows control of every name that it is still to be shown of.
    async fn show(
        &self,
        order: &mut CertificateOrder,
        opened: &Opened,
        url: &str,
        view: &OrderView,
    ) -> Result<Next, StepError> {
        let kinds = self.parts.issuers[self.issuer_of(order)].kinds_for(&order.pattern);
        for authorization in &view.authorizations {
            match authorization.state {
                AuthorizationState::Valid => {}
                AuthorizationState::Invalid => {
                    return self.fail_order(order, view, problem_of(view)).await;
                }
                // Nothing is shown for a name that nobody ordered for, whatever a CA may want.
                AuthorizationState::Pending
                    if authorization.name.as_str() != identifier(&order.pattern) =>
                {
                    let what = format!(
                        "the CA wants to be shown control of {}, which is not what was ordered",
                        authorization.name
                    );
                    return self
                        .fail_order_with(order, view, Setback::of_ca(what))
                        .await;
                }
                AuthorizationState::Pending => {
                    let Some(challenge) = chosen(authorization, order.kind, &kinds) else {
                        let what = "the CA offers no kind of challenge that can be met";
                        return self
                            .fail_order_with(order, view, Setback::of_ca(what))
                            .await;
                    };
                    if challenge.answered {
                        continue;
                    }
                    let expires_at = self.parts.clock.now().plus(GIVE_UP);
                    let shown = published(&authorization.name, challenge, expires_at);
                    self.parts.board.publish(&shown).await?;
                    tell_ready(opened, url, challenge).await?;
                    order.kind = Some(challenge.kind);
                }
            }
        }
        self.look_later(order, view.retry_after).await
    }

    /// Fetches the certificate, and keeps it if it is what was ordered.
    async fn fetch(
        &self,
        order: &mut CertificateOrder,
        opened: &Opened,
        url: &str,
        view: &OrderView,
    ) -> Result<Next, StepError> {
        let chain = opened.account.certificate(url).await?;
        let key = self.key_of(order)?;
        let now = self.parts.clock.now();
        let ca = opened.facts.id.as_str();
        let new = match crate::tls::check_issued(&order.pattern, &chain, &key, ca, now) {
            Ok(new) => new,
            Err(CertificateFault::NotYetValid { from, .. }) if from.since(now) <= AHEAD => {
                // It is good, and the CA's clock or this node's is off: it is fetched again when it is valid here, too.
                return self.look_later(order, Some(from.since(now))).await;
            }
            Err(fault) => {
                let what = format!("the certificate that came is not used: {fault}");
                self.withdraw(order, view).await?;
                self.set_back_as(order, Setback::of_ca(what), Outcome::Issued)
                    .await?;
                return Ok(Next::Done);
            }
        };
        let at = self.issuer_of(order);
        let refunds = self.parts.issuers[at]
            .limits
            .refunds(order, ca, Outcome::Issued);
        let result = if order.is_renewal() {
            "renewed"
        } else {
            "issued"
        };
        let mut kept = order.clone();
        self.settle(&mut kept, opened, (new.not_before, new.not_after));
        let sealer = self.sealer()?;
        if !self
            .parts
            .store
            .keep_issued(&kept, &self.parts.holder, &new, &sealer, &refunds)
            .await?
        {
            return Err(StepError::Lost);
        }
        self.count(at, result);
        tracing::info!(hostname = %order.pattern, ca, result, "a certificate is in place");
        // From here on nothing may count as a failure: what is left over goes by itself.
        self.tell(&order.pattern).await;
        let _ = self.withdraw(order, view).await;
        *order = kept;
        Ok(Next::Done)
    }

    /// A certificate from the CA at hand is in place, valid from and to.
    fn settle(&self, order: &mut CertificateOrder, opened: &Opened, (from, to): (i64, i64)) {
        super::setback::end(order);
        let now = self.parts.clock.now();
        order.stage = OrderStage::Kept;
        order.issued_by = Some(opened.facts.id.clone());
        (order.not_before, order.not_after) = (Some(from), Some(to));
        order.window = None;
        order.renew_at = Some(self.chance(|rng| ladder::renew_at(from, to, rng)));
        order.ask_at = opened
            .renewal_info
            .then(|| self.chance(|rng| ladder::ask_soon(now, rng)));
        (order.attempts, order.failures) = (0, 0);
        (order.ca_failures, order.restarts) = (0, 0);
        (order.first_failed_at, order.last_error) = (None, None);
        order.checks = Checks::default();
        order.next_at = ladder::next_of_kept(order);
    }

    async fn fail_order(
        &self,
        order: &mut CertificateOrder,
        view: &OrderView,
        problem: Option<&CaProblem>,
    ) -> Result<Next, StepError> {
        let setback = Setback::of_problem(problem);
        self.fail_order_with(order, view, setback).await
    }

    async fn fail_order_with(
        &self,
        order: &mut CertificateOrder,
        view: &OrderView,
        setback: Setback,
    ) -> Result<Next, StepError> {
        self.withdraw(order, view).await?;
        self.set_back(order, setback).await?;
        Ok(Next::Done)
    }

    pub(super) async fn look_later(
        &self,
        order: &mut CertificateOrder,
        asked: Option<Duration>,
    ) -> Result<Next, StepError> {
        let pause = ladder::poll(order.polls, asked);
        order.polls = order.polls.saturating_add(1);
        order.next_at = self.parts.clock.now().plus(pause).0;
        self.save(order, Hold::Release).await?;
        Ok(Next::Done)
    }

    /// Takes down what was shown, each by its token: `*.x` and `x` may be shown at the same place.
    async fn withdraw(&self, order: &CertificateOrder, view: &OrderView) -> Result<(), StepError> {
        for authorization in &view.authorizations {
            let shown = authorization.challenges.iter();
            for challenge in shown.filter(|it| it.answered || Some(it.kind) == order.kind) {
                self.parts
                    .board
                    .withdraw(&authorization.name, Some(&challenge.token))
                    .await?;
            }
        }
        Ok(())
    }

    pub(super) fn is_stuck(&self, order: &CertificateOrder) -> bool {
        let now = self.parts.clock.now();
        let since = order.placed_at.map_or(now, crate::clock::Timestamp);
        now.since(since) >= GIVE_UP
    }

    fn key_of(&self, order: &CertificateOrder) -> Result<Secret, StepError> {
        self.unseal(
            &order.purpose(),
            order.sealed_key.as_deref().unwrap_or_default(),
        )
    }

    async fn signing_request(&self, order: &CertificateOrder) -> Result<Vec<u8>, StepError> {
        let (key, pattern) = (self.key_of(order)?, order.pattern.clone());
        let made = tokio::task::spawn_blocking(move || signing_request(&key, &[pattern]));
        let made = made.await.map_err(StepError::unusable)?;
        made.map_err(StepError::unusable)
    }
}

/// Tells the CA that a challenge can be met. One that was told before may have come to a verdict since it was looked at, and then there is
/// nothing to tell any more: the next look says which it is.
async fn tell_ready(
    opened: &Opened,
    url: &str,
    challenge: &OfferedChallenge,
) -> Result<(), StepError> {
    let told = opened.account.ready(url, challenge).await;
    let Err(refused @ AcmeError::Refused(_)) = told else {
        return Ok(told?);
    };
    let view = opened.account.look(url).await?;
    let waits = |it: &AuthorizationView| {
        let same = |offered: &OfferedChallenge| offered.url == challenge.url && !offered.answered;
        it.state == AuthorizationState::Pending && it.challenges.iter().any(same)
    };
    match view.authorizations.iter().any(waits) {
        true => Err(refused.into()),
        false => Ok(()),
    }
}

/// The challenge that control is shown with: the one that the CA has been told of, else the kind that was settled on, else the first of
/// those that the CA may be asked for, as the operator prefers them. The kind of the last is one that nobody looked at before; it is better
/// than none.
fn chosen<'a>(
    authorization: &'a AuthorizationView,
    settled: Option<ChallengeKind>,
    allowed: &[ChallengeKind],
) -> Option<&'a OfferedChallenge> {
    let offered = || authorization.challenges.iter();
    let of = |kind: ChallengeKind| offered().find(|challenge| challenge.kind == kind);
    offered()
        .find(|challenge| challenge.answered)
        .or_else(|| of(settled?))
        .or_else(|| allowed.iter().copied().find_map(of))
}

fn published(
    name: &Hostname,
    challenge: &OfferedChallenge,
    expires_at: crate::clock::Timestamp,
) -> PublishedChallenge {
    PublishedChallenge {
        name: name.clone(),
        kind: challenge.kind,
        token: challenge.token.clone(),
        key_authorization: challenge.key_authorization.clone(),
        expires_at,
    }
}

/// Why an order is invalid: what a challenge says is closer to it than what the order says.
fn problem_of(view: &OrderView) -> Option<&CaProblem> {
    let challenges = view.authorizations.iter().flat_map(|it| &it.challenges);
    challenges
        .filter_map(|challenge| challenge.problem.as_ref())
        .next()
        .or(view.problem.as_ref())
}
