//! A certificate in place: whether its CA wants it renewed earlier, and when its time has come.

use super::{Certificates, Next, StepError, ladder};
use crate::acme::{AcmeError, RenewalWindow};
use crate::model::Causes;
use crate::store::{CertificateOrder, Hold, OrderStage};

impl Certificates {
    /// Begins the renewal where it is due, else asks the CA about it where that is due.
    pub(super) async fn look_after(&self, order: &mut CertificateOrder) -> Result<Next, StepError> {
        let now = self.parts.clock.now();
        if order.renew_at.is_none() {
            // A certificate from before this row: after a name came back, or a restore.
            let (from, to) = (order.not_before.unwrap_or(0), order.not_after.unwrap_or(0));
            order.renew_at = Some(self.chance(|rng| ladder::renew_at(from, to, rng)));
            order.ask_at = Some(self.chance(|rng| ladder::ask_soon(now, rng)));
        }
        if order.renew_at.is_some_and(|at| at <= now.0) {
            order.stage = OrderStage::Due;
            // Whoever issued the last one: the first CA is asked first again.
            (order.ca, order.ca_failures) = (None, 0);
            order.next_at = now.0;
            // Not at once: others may have waited longer.
            self.save(order, Hold::Release).await?;
            return Ok(Next::Done);
        }
        if order.ask_at.is_some_and(|at| at <= now.0) {
            self.ask(order).await?;
        }
        order.next_at = ladder::next_of_kept(order);
        self.save(order, Hold::Release).await?;
        Ok(Next::Done)
    }

    /// Asks the CA that issued the certificate. Whatever comes of it, the certificate is renewed in time: that it cannot be asked is no
    /// failure of the name.
    async fn ask(&self, order: &mut CertificateOrder) -> Result<(), StepError> {
        let now = self.parts.clock.now();
        let issued_by = order.issued_by.as_deref();
        let issuer = |it: &super::Issuer| Some(it.ca.id()) == issued_by;
        let at = self.parts.issuers.iter().position(issuer);
        let (Some(at), Some(certificate)) = (at, self.certificate_of(&order.pattern).await?) else {
            order.ask_at = None;
            return Ok(());
        };
        let answer = match self.account(at).await {
            Ok(opened) if !opened.renewal_info => {
                order.ask_at = None;
                return Ok(());
            }
            Ok(opened) => opened.account.renewal(&certificate).await,
            Err(StepError::Acme(error)) => Err(error),
            Err(error) => return Err(error),
        };
        if let Err(AcmeError::AccountUnknown) = &answer {
            self.accounts.forget(at).await;
        }
        match answer {
            Ok(Some(window)) => self.take(order, &window),
            Ok(None) => {
                order.ask_at = Some(self.chance(|rng| ladder::ask_again(now, HALF_A_DAY, rng)))
            }
            Err(error) => {
                tracing::debug!(hostname = %order.pattern, error = %Causes(&error), "a CA does not say when to renew");
                let after = error.retry_after().unwrap_or_default();
                order.ask_at = Some(self.chance(|rng| {
                    let soon = ladder::ask_soon(now, rng);
                    soon.max(ladder::ask_again(now, after, rng))
                }));
            }
        }
        Ok(())
    }

    /// A moment is chosen once for each window: one that was chosen anew with every answer would wander towards its begin.
    fn take(&self, order: &mut CertificateOrder, told: &RenewalWindow) {
        let (now, window) = (self.parts.clock.now(), (told.start, told.end));
        if order.window != Some(window) {
            let life = (
                order.not_before.unwrap_or(0),
                order.not_after.unwrap_or(i64::MAX),
            );
            let moment = self.chance(|rng| ladder::moment_of(window, life, rng));
            if let Some(why) = &told.explanation {
                tracing::info!(hostname = %order.pattern, why, "a CA wants a certificate renewed");
            }
            order.window = Some(window);
            order.renew_at = Some(moment);
        }
        order.ask_at = Some(self.chance(|rng| ladder::ask_again(now, told.ask_again, rng)));
    }
}

const HALF_A_DAY: std::time::Duration = std::time::Duration::from_secs(12 * 3600);
