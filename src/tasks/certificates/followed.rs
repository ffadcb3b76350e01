//! An open account whose key somebody else may change: what the CA refuses, as it would with a key that it takes no more, is asked again with
//! the key of now, if that is another one. Whoever has the account notices nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;

use super::kept_account::{AccountError, KeptAccount};
use crate::acme::{AcmeError, CaAccount, NewOrder, OfferedChallenge, OrderView, RenewalWindow};
use crate::model::Causes;
use crate::store::AcmeAccount;

pub(super) struct Followed {
    account: KeptAccount,
    open: Mutex<Open>,
}

#[derive(Clone)]
struct Open {
    account: Arc<dyn CaAccount>,
    /// What it was opened with.
    kept: AcmeAccount,
}

impl Followed {
    pub(super) fn new(account: KeptAccount, open: Arc<dyn CaAccount>, kept: AcmeAccount) -> Self {
        let account_now = Open {
            account: open,
            kept,
        };
        Self {
            account,
            open: Mutex::new(account_now),
        }
    }

    fn now(&self) -> Open {
        self.lock().clone()
    }

    /// The account with the key of now, where `refused` may be for that of `then`, and there is another.
    async fn newer(&self, refused: &AcmeError, then: &Open) -> Option<Arc<dyn CaAccount>> {
        if !may_be_for_the_key(refused) {
            return None;
        }
        let now = self.now();
        if now.kept != then.kept {
            // Another call has found out meanwhile.
            return Some(now.account);
        }
        match self.account.changed_since(&then.kept).await {
            // Another account altogether: whoever asked begins again with all that is known of that one.
            Ok(Some((_, kept))) if kept.url != then.kept.url => None,
            Ok(Some((opened, kept))) => {
                let ca = self.account.ca.id();
                tracing::info!(ca, account = kept.url, "the account has another key");
                let account = opened.account;
                *self.lock() = Open {
                    account: Arc::clone(&account),
                    kept,
                };
                Some(account)
            }
            Ok(None) => None,
            Err(error) => {
                // What the CA refused stays refused for now, and is tried again by whoever wants it.
                let busy = matches!(error, AccountError::Busy);
                tracing::debug!(error = %Causes(&error), busy, "whether the account has another key is not known");
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// CAs say of a signature by a key that they take no more that it is malformed, or unauthorized; the latter is also how they speak of
/// orders of other accounts.
fn may_be_for_the_key(refused: &AcmeError) -> bool {
    match refused {
        AcmeError::Refused(problem) | AcmeError::NotReplaced(problem) => {
            matches!(problem.kind.as_str(), "malformed" | "unauthorized")
        }
        AcmeError::OrderUnknown => true,
        _ => false,
    }
}

/// Makes a call, and once more with the key of now where there is another.
macro_rules! followed {
    ($self:ident, $call:ident($($given:expr),*)) => {
        Box::pin(async move {
            let then = $self.now();
            let done = then.account.$call($($given),*).await;
            let Err(refused) = done else {
                return done;
            };
            match $self.newer(&refused, &then).await {
                Some(account) => account.$call($($given),*).await,
                None => Err(refused),
            }
        })
    };
}

impl CaAccount for Followed {
    fn place<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<String, AcmeError>> {
        followed!(self, place(order))
    }

    fn look<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<OrderView, AcmeError>> {
        followed!(self, look(order))
    }

    fn ready<'a>(
        &'a self,
        order: &'a str,
        challenge: &'a OfferedChallenge,
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        followed!(self, ready(order, challenge))
    }

    fn finalize<'a>(
        &'a self,
        order: &'a str,
        csr: &'a [u8],
    ) -> BoxFuture<'a, Result<(), AcmeError>> {
        followed!(self, finalize(order, csr))
    }

    fn certificate<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<String, AcmeError>> {
        followed!(self, certificate(order))
    }

    fn renewal<'a>(
        &'a self,
        certificate: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, AcmeError>> {
        followed!(self, renewal(certificate))
    }
}
