//! Orders of one account. Each call stands alone: what it needs of an order it asks for, so that any node can go on with any order.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use instant_acme::{Account, Error, Identifier, NewOrder as Wanted, Order, OrderStatus};

use super::ca::{Inner, bounded};
use super::exchange::{Exchange, with_nonces};
use super::fault::{fault, order_fault, unavailable};
use super::saved::Saved;
use super::{
    AcmeError, AuthorizationState, CaAccount, NewOrder, OfferedChallenge, OrderView, RenewalWindow,
    fault as faults, renewal, view,
};
use crate::model::Secret;

/// An account with its key.
pub(super) struct AcmeAccount {
    ca: Arc<Inner>,
    url: String,
    key: Secret,
}

impl AcmeAccount {
    pub(super) fn new(ca: Arc<Inner>, saved: Saved) -> Self {
        Self {
            ca,
            url: saved.url,
            key: saved.key,
        }
    }

    /// The library's account for one call; asks nobody while the directory is known.
    async fn begin(&self) -> Result<(Account, Arc<Exchange>), AcmeError> {
        let exchange = self.ca.begin().await?;
        let key = self.key.expose().into();
        let directory = self.ca.issuer.directory_url.clone();
        let account = Account::builder_with_http(exchange.wire())
            .from_parts(self.url.clone(), key, directory)
            .await;
        let account = account.map_err(|error| fault(error, &exchange.last()))?;
        Ok((account, exchange))
    }

    /// Bounds a call, and remembers whether the CA knows the account.
    async fn call<T>(
        &self,
        work: impl Future<Output = Result<T, AcmeError>>,
    ) -> Result<T, AcmeError> {
        let done = bounded(work).await;
        match &done {
            Ok(_) => self.ca.standing.works(&self.url),
            Err(AcmeError::AccountUnknown) => self.ca.standing.lost(&self.url),
            Err(_) => {}
        }
        done
    }
}

impl CaAccount for AcmeAccount {
    fn place<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<String, AcmeError>> {
        Box::pin(self.call(async move {
            let (account, exchange) = self.begin().await?;
            check_profile(&exchange, order.profile.as_deref())?;
            place(&account, &exchange, order).await
        }))
    }

    fn look<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<OrderView, AcmeError>> {
        Box::pin(self.call(async move {
            let (account, exchange) = self.begin().await?;
            let mut order = find(&account, &exchange, order).await?;
            let mut view = view::order(order.state());
            view.retry_after = exchange.last().retry_after;
            let waits = authorizations(&mut order, &exchange).await?;
            for known in &order.state().authorizations {
                let told = known.state.as_ref();
                let thumbprint = account.key_thumbprint();
                let seen = told.and_then(|told| view::authorization(told, thumbprint));
                view.authorizations.extend(seen);
            }
            let pending = |it: &super::AuthorizationView| it.state == AuthorizationState::Pending;
            if view.retry_after.is_none() && view.authorizations.iter().any(pending) {
                view.retry_after = waits;
            }
            Ok(view)
        }))
    }

    fn ready<'a>(
        &'a self,
        order: &'a str,
        challenge: &'a OfferedChallenge,
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        Box::pin(self.call(async move {
            let (account, exchange) = self.begin().await?;
            let mut order = find(&account, &exchange, order).await?;
            authorizations(&mut order, &exchange).await?;
            answer(&mut order, &exchange, challenge).await
        }))
    }

    fn finalize<'a>(
        &'a self,
        order: &'a str,
        csr: &'a [u8],
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        Box::pin(self.call(async move {
            let (account, exchange) = self.begin().await?;
            let mut order = find(&account, &exchange, order).await?;
            // Another node, or we before the answer was lost.
            if let OrderStatus::Processing | OrderStatus::Valid = order.state().status {
                return Ok(());
            }
            let done = with_nonces!(order.finalize_csr(csr));
            done.map_err(|error| fault(error, &exchange.last()))
        }))
    }

    fn certificate<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<String, AcmeError>> {
        Box::pin(self.call(async move {
            let (account, exchange) = self.begin().await?;
            let mut order = find(&account, &exchange, order).await?;
            if let Some(problem) = &order.state().error {
                return Err(AcmeError::Refused(faults::view(problem)));
            }
            let status = order.state().status;
            if status != OrderStatus::Valid {
                let what = format!("the order has no certificate yet: it is {status:?}");
                return Err(unavailable(what, exchange.last().retry_after));
            }
            let chain = with_nonces!(order.certificate());
            let chain = chain.map_err(|error| fault(error, &exchange.last()))?;
            chain.ok_or_else(|| unavailable("the order has no certificate yet", None))
        }))
    }

    fn renewal<'a>(
        &'a self,
        certificate: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, AcmeError>> {
        // Nobody has to be known to ask: an answer says nothing of the account.
        Box::pin(bounded(async move {
            let exchange = self.ca.begin().await?;
            renewal::ask(&exchange, certificate).await
        }))
    }
}

fn check_profile(exchange: &Exchange, profile: Option<&str>) -> Result<(), AcmeError> {
    let directory = &exchange.directory.read;
    let Some(profile) = profile.filter(|it| !directory.offers(it)) else {
        return Ok(());
    };
    let offered: Vec<_> = directory.profiles().map(|it| format!("{it:?}")).collect();
    let offered = match offered.is_empty() {
        true => "it offers none: leave `profile` out".to_owned(),
        false => format!("it offers {}", offered.join(", ")),
    };
    Err(AcmeError::Unusable {
        what: format!("the CA offers no profile {profile:?}; {offered}"),
    })
}

/// With the certificate that it takes the place of, where the CA understands that. An order without it is another one, and may cost what
/// this one does not: that is the caller's to place.
async fn place(
    account: &Account,
    exchange: &Exchange,
    order: &NewOrder,
) -> Result<String, AcmeError> {
    let names: Vec<_> = order
        .names
        .iter()
        .map(|name| Identifier::Dns(name.to_string()))
        .collect();
    let wanted = || match &order.profile {
        Some(profile) => Wanted::new(&names).profile(profile),
        None => Wanted::new(&names),
    };
    let understood = exchange.directory.read.renewal_info.is_some();
    let replaced = order.replaces.as_deref().filter(|_| understood);
    if let Some(id) = replaced.and_then(renewal::certificate_id) {
        return match send(account, exchange, &wanted().replaces(id)).await {
            Err(AcmeError::Refused(problem)) if is_about_replacing(&problem.kind) => {
                Err(AcmeError::NotReplaced(problem))
            }
            placed => placed,
        };
    }
    send(account, exchange, &wanted()).await
}

/// RFC 9773 section 5 names the first; the others are what CAs say of a certificate that they or the account do not know.
fn is_about_replacing(kind: &str) -> bool {
    matches!(
        kind,
        "alreadyReplaced" | "malformed" | "unauthorized" | "notFound" | "conflict"
    )
}

async fn send(
    account: &Account,
    exchange: &Exchange,
    wanted: &Wanted<'_>,
) -> Result<String, AcmeError> {
    let placed = with_nonces!(account.new_order(wanted));
    let error = match placed {
        Ok(order) => return Ok(order.url().to_owned()),
        Err(error) => error,
    };
    let last = exchange.last();
    match last.location.clone() {
        // The order is there; what the library did not like about it, as a CA that does not repeat what is replaced, is no reason to
        // place another.
        Some(url) if last.status == Some(StatusCode::CREATED) => Ok(url),
        _ => Err(fault(error, &last)),
    }
}

async fn find(account: &Account, exchange: &Exchange, url: &str) -> Result<Order, AcmeError> {
    let found = with_nonces!(account.order(url.to_owned()));
    found.map_err(|error| order_fault(error, &exchange.last()))
}

/// Asks for every authorization that is not known yet; the longest time after which the CA wants to be asked again.
async fn authorizations(
    order: &mut Order,
    exchange: &Exchange,
) -> Result<Option<Duration>, AcmeError> {
    let mut longest = None;
    let asked = with_nonces!(async {
        // Those that were had are not asked for again.
        let mut all = order.authorizations();
        while let Some(one) = all.next().await {
            one?;
            longest = longest.max(exchange.last().retry_after);
        }
        Ok::<_, Error>(())
    });
    asked.map_err(|error| order_fault(error, &exchange.last()))?;
    Ok(longest)
}

/// Tells the CA to look at `challenge`, unless it has or need not.
async fn answer(
    order: &mut Order,
    exchange: &Exchange,
    challenge: &OfferedChallenge,
) -> Result<(), AcmeError> {
    let mut all = order.authorizations();
    while let Some(one) = all.next().await {
        let mut one = one.map_err(|error| order_fault(error, &exchange.last()))?;
        let ours = |it: &instant_acme::Challenge| it.url == challenge.url;
        if !one.challenges.iter().any(ours) {
            continue;
        }
        let pending = one.status == instant_acme::AuthorizationStatus::Pending;
        let offered = one.challenge(view::kind(challenge.kind));
        let Some(mut offered) = offered.filter(|it| it.url == challenge.url) else {
            break;
        };
        if !pending || offered.status != instant_acme::ChallengeStatus::Pending {
            return Ok(());
        }
        let Err(error) = with_nonces!(offered.set_ready()) else {
            return Ok(());
        };
        let last = exchange.last();
        return match last.status {
            // It has looked at once and failed: that is seen by looking at the order.
            Some(status) if status.is_success() && matches!(error, Error::Api(_)) => Ok(()),
            _ => Err(fault(error, &last)),
        };
    }
    Err(AcmeError::Unusable {
        what: "the order has no such challenge (any more)".to_owned(),
    })
}
