//! Accounts at the CAs: registered by whichever node first needs one, opened once by each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::followed::Followed;
use super::kept_account::{AccountError, KeptAccount};
use super::{Certificates, StepError};
use crate::acme::{AcmeError, CaAccount};
use crate::clock::Timestamp;
use crate::model::{Causes, Secret};
use crate::store::AccountClaim;
use crate::tasks::certificates::seams::CaFacts;

/// How long a CA that would not hear whom to write to is left alone with it.
const TELL_AGAIN: Duration = Duration::from_secs(3600);
/// Between two looks at whether another node has told it.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// An account that is open, and what is known of its CA.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) account: Arc<dyn CaAccount>,
    pub(super) facts: Arc<CaFacts>,
    /// Whether the CA says when to renew.
    pub(super) renewal_info: bool,
}

/// The accounts, in the order of the CAs.
pub(super) struct Accounts(Vec<Mutex<Place>>);

/// Of one CA.
#[derive(Default)]
struct Place {
    open: Option<Opened>,
    /// The address of the last one that its CA did not know any more.
    lost: Option<String>,
    /// When it is looked at whether the CA knows whom to write to; never again once it does.
    tell_at: Option<Timestamp>,
}

impl Accounts {
    pub(super) fn new(many: usize) -> Self {
        Self((0..many).map(|_| Mutex::default()).collect())
    }

    /// Has the account opened anew when it is next needed: the CA says that it does not know it. Its address.
    pub(super) async fn forget(&self, at: usize) -> Option<String> {
        let mut place = self.0.get(at)?.lock().await;
        if let Some(opened) = place.open.take() {
            place.lost = Some(opened.facts.account_url.clone());
        }
        place.lost.clone()
    }
}

impl Certificates {
    /// The account at the CA number `at`, opened or registered where it is not open yet.
    pub(super) async fn account(&self, at: usize) -> Result<Opened, StepError> {
        let place = self.accounts.0.get(at).ok_or(StepError::Lost)?;
        // Whoever else needs it waits: one of them is enough.
        let mut place = place.lock().await;
        let opened = match &place.open {
            Some(opened) => opened.clone(),
            None => {
                let opened = self.open_account(at).await?;
                place.open = Some(opened.clone());
                place.tell_at = Some(self.parts.clock.now());
                opened
            }
        };
        if place.tell_at.is_some_and(|at| at <= self.parts.clock.now()) {
            place.tell_at = self.tell_contact(at).await;
        }
        Ok(opened)
    }

    async fn open_account(&self, at: usize) -> Result<Opened, StepError> {
        let issuer = &self.parts.issuers[at];
        let directory = issuer.ca.directory().await?;
        let (ca, store) = (issuer.ca.id(), &self.parts.store);
        let account = self.kept_account(at);
        let (opened, kept) = match store.claim_acme_account(ca, &self.parts.holder).await? {
            AccountClaim::Busy => return Err(StepError::Busy),
            AccountClaim::Kept(kept) => account.open(kept).await?,
            AccountClaim::Register => {
                let registered = account.register().await;
                if registered.is_err() {
                    store.release_acme_account(ca, &self.parts.holder).await?;
                }
                registered?
            }
        };
        let caa_identities = match issuer.caa_identities.is_empty() {
            true => directory.caa_identities,
            false => issuer.caa_identities.clone(),
        };
        let facts = CaFacts {
            id: ca.to_owned(),
            caa_identities,
            account_url: opened.url,
        };
        Ok(Opened {
            account: Arc::new(Followed::new(account, opened.account, kept)),
            facts: Arc::new(facts),
            renewal_info: directory.renewal_info,
        })
    }

    /// The CA number `at` does not know the account. True where another node has noticed before and registered one anew; else this node
    /// does so now, before it lets go of the order: whoever gets that next would find the account lost once more.
    pub(super) async fn replace_account(&self, at: usize) -> Result<bool, StepError> {
        let lost = self.accounts.forget(at).await;
        let ca = self.parts.issuers[at].ca.id();
        let kept = self.parts.store.acme_account_url(ca).await?;
        if lost.is_some() && kept.is_some() && kept != lost {
            return Ok(true);
        }
        if let Err(error) = self.account(at).await {
            tracing::debug!(ca, error = %Causes(&error), "an account at a CA is not registered anew yet");
        }
        Ok(false)
    }

    /// Tells the CA number `at` whom to write to, where it has heard something else; when to look again. What a CA thinks of an address
    /// keeps nobody from ordering.
    async fn tell_contact(&self, at: usize) -> Option<Timestamp> {
        let told = self.kept_account(at).tell_contact(&self.parts.holder).await;
        let error = match told {
            Ok(()) => return None,
            // Whoever is at it may die over it.
            Err(AccountError::Busy) => return Some(self.parts.clock.now().plus(LOOK_AGAIN)),
            Err(error) => error,
        };
        let ca = self.parts.issuers[at].ca.id();
        tracing::warn!(ca, error = %Causes(&error), "a CA has not heard whom to write to");
        Some(self.parts.clock.now().plus(TELL_AGAIN))
    }

    fn kept_account(&self, at: usize) -> KeptAccount {
        KeptAccount {
            store: self.parts.store.clone(),
            ca: Arc::clone(&self.parts.issuers[at].ca),
            sealed_with: Arc::clone(&self.parts.sealed_with),
        }
    }

    /// Opens what the store holds sealed.
    pub(super) fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Secret, StepError> {
        let opened = self.sealer()?.unseal(purpose, sealed);
        opened.map_err(|error| {
            let what = format!("{purpose} cannot be opened: {}", Causes(&error));
            AcmeError::Unusable { what }.into()
        })
    }
}
