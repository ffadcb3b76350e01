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
pub(super) struct Accounts(Vec<Mutex<Option<Opened>>>);

impl Accounts {
    pub(super) fn new(many: usize) -> Self {
        Self((0..many).map(|_| Mutex::default()).collect())
    }

    /// Has the account opened anew when it is next needed: the CA says that it does not know it.
    pub(super) async fn forget(&self, at: usize) {
        if let Some(place) = self.0.get(at) {
            *place.lock().await = None;
        }
    }
}

impl Certificates {
    /// The account at the CA number `at`, opened or registered where it is not open yet.
    pub(super) async fn account(&self, at: usize) -> Result<Opened, StepError> {
        let place = self.accounts.0.get(at).ok_or(StepError::Lost)?;
        // Whoever else needs it waits: one of them is enough.
        let mut open = place.lock().await;
        if let Some(opened) = &*open {
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
        *open = Some(opened.clone());
        Ok(opened)
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
