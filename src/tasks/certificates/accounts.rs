//! Accounts at the CAs: registered by whichever node first needs one, opened once by each.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::{Certificates, StepError};
use crate::acme::{AcmeError, CaAccount, OpenedAccount};
use crate::model::{Causes, Secret};
use crate::store::{AccountClaim, AcmeAccount};
use crate::tasks::certificates::seams::CaFacts;

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

#[derive(Default)]
struct Place {
    open: Option<Opened>,
    /// The address of the last one that its CA did not know any more.
    lost: Option<String>,
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
        if let Some(opened) = &place.open {
            return Ok(opened.clone());
        }
        let issuer = &self.parts.issuers[at];
        let directory = issuer.ca.directory().await?;
        let ca = issuer.ca.id();
        let account = match self
            .parts
            .store
            .claim_acme_account(ca, &self.parts.holder)
            .await?
        {
            AccountClaim::Busy => return Err(StepError::Busy),
            AccountClaim::Kept(kept) => self.reopen(at, &kept).await?,
            AccountClaim::Register => {
                let registered = self.register(at).await;
                if registered.is_err() {
                    self.parts
                        .store
                        .release_acme_account(ca, &self.parts.holder)
                        .await?;
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
            account_url: account.url,
        };
        let opened = Opened {
            account: account.account,
            facts: Arc::new(facts),
            renewal_info: directory.renewal_info,
        };
        place.open = Some(opened.clone());
        Ok(opened)
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

    async fn reopen(&self, at: usize, kept: &AcmeAccount) -> Result<OpenedAccount, StepError> {
        let issuer = &self.parts.issuers[at];
        let purpose = AcmeAccount::purpose(issuer.ca.id());
        let saved = self.unseal(&purpose, &kept.sealed_credentials)?;
        let account = issuer.ca.open_account(Some(&saved)).await?;
        if account.url != kept.url || account.credentials.is_some() {
            self.keep(at, &account, account.credentials.as_ref().unwrap_or(&saved))
                .await?;
        }
        Ok(account)
    }

    async fn register(&self, at: usize) -> Result<OpenedAccount, StepError> {
        let account = self.parts.issuers[at].ca.open_account(None).await?;
        let Some(credentials) = &account.credentials else {
            let what = "the CA opened an account whose key nobody has".to_owned();
            return Err(AcmeError::Unusable { what }.into());
        };
        self.keep(at, &account, credentials).await?;
        Ok(account)
    }

    async fn keep(
        &self,
        at: usize,
        account: &OpenedAccount,
        credentials: &Secret,
    ) -> Result<(), StepError> {
        let ca = self.parts.issuers[at].ca.id();
        let sealer = self.sealer()?;
        let kept = AcmeAccount {
            url: account.url.clone(),
            sealed_credentials: sealer.seal(&AcmeAccount::purpose(ca), credentials.expose()),
        };
        self.parts
            .store
            .keep_acme_account(ca, &kept, &sealer)
            .await?;
        tracing::info!(ca, account = account.url, "an account at a CA is ready");
        Ok(())
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
