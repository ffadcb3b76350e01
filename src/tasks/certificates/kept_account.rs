//! The account at one CA as the store keeps it, and what may become of it: each change is written down before or behind what the CA is told,
//! so that whoever comes next can go on with it, whoever dies in between.

use std::fmt;
use std::sync::Arc;

use crate::acme::{AcmeError, Ca, OpenedAccount};
use crate::model::{Causes, Secret};
use crate::seal::Sealer;
use crate::store::{AccountChange, AcmeAccount, Store, StoreError};
use crate::tasks::certificates::seams::SealedWith;

/// How often a change is begun anew because somebody else was faster with another.
const TRIES: usize = 3;

/// The account at a CA.
#[derive(Clone)]
pub struct KeptAccount {
    /// Where it is kept.
    pub store: Store,
    /// The CA.
    pub ca: Arc<dyn Ca>,
    /// Seals its keys.
    pub sealed_with: SealedWith,
}

/// Why something could not be done about an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The CA.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// Somebody else does something about it.
    #[error("somebody else is changing the account")]
    Busy,
    /// Nothing has been ordered there.
    #[error("there is no account yet: the first node that orders there makes one")]
    None,
}

impl fmt::Debug for KeptAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeptAccount").field(&self.ca.id()).finish()
    }
}

impl KeptAccount {
    /// Gives the account another key (RFC 8555 section 7.3.5); its address. The key is in the store before the CA is told of it: who is
    /// stopped on the way, or does not hear what the CA says, calls this again, and the same key is gone on with. Until then the CA is
    /// asked which of the two it takes by whoever needs the account.
    pub async fn roll(&self) -> Result<String, AccountError> {
        for _ in 0..TRIES {
            let kept = self.kept().await?;
            let saved = self.unseal(&kept)?;
            let both = self.ca.with_next_key(&saved)?;
            let begun = match both == saved {
                true => kept,
                false => {
                    let begun = self.sealed(&kept.url, &both)?;
                    if !self.change(&kept, &begun, AccountChange::NextKey).await? {
                        continue;
                    }
                    begun
                }
            };
            let rolled = self.ca.change_key(&both).await?;
            let done = self.sealed(&begun.url, &rolled)?;
            // A node whose key the CA took no more may have come first, and found out for itself.
            if self.change(&begun, &done, AccountChange::Rolled).await?
                || self.unseal(&self.kept().await?)? == rolled
            {
                return Ok(done.url);
            }
        }
        Err(AccountError::Busy)
    }

    /// Opens what is kept. What the CA says that is new of it is kept in its place, which comes back too.
    pub(super) async fn open(
        &self,
        kept: AcmeAccount,
    ) -> Result<(OpenedAccount, AcmeAccount), AccountError> {
        let saved = self.unseal(&kept)?;
        let opened = self.ca.open_account(Some(&saved)).await?;
        let Some(credentials) = &opened.credentials else {
            return Ok((opened, kept));
        };
        let now = self.sealed(&opened.url, credentials)?;
        let change = match now.url == kept.url {
            true => AccountChange::Rolled,
            false => AccountChange::Registered,
        };
        match self.change(&kept, &now, change).await? {
            true => {
                let (ca, account) = (self.ca.id(), &now.url);
                tracing::info!(
                    ca,
                    account,
                    ?change,
                    "what is kept of an account has changed"
                );
                Ok((opened, now))
            }
            // What somebody else has kept of it is what counts.
            false => Err(AccountError::Busy),
        }
    }

    /// Makes an account and keeps it.
    pub(super) async fn register(&self) -> Result<(OpenedAccount, AcmeAccount), AccountError> {
        let opened = self.ca.open_account(None).await?;
        let Some(credentials) = &opened.credentials else {
            let what = "the CA opened an account whose key nobody has".to_owned();
            return Err(AcmeError::Unusable { what }.into());
        };
        let (ca, sealer) = (self.ca.id(), self.sealer()?);
        let kept = self.sealed(&opened.url, credentials)?;
        self.store.keep_acme_account(ca, &kept, &sealer).await?;
        tracing::info!(ca, account = opened.url, "an account at a CA is ready");
        Ok((opened, kept))
    }

    /// The account as others have left it, where the CA may have refused it for the key that `known` has.
    pub(super) async fn changed_since(
        &self,
        known: &AcmeAccount,
    ) -> Result<Option<(OpenedAccount, AcmeAccount)>, AccountError> {
        for _ in 0..TRIES {
            // Of one that is as it was the CA may have taken the key that it was to get.
            match self.open(self.kept().await?).await {
                Err(AccountError::Busy) => {}
                Ok((opened, now)) => return Ok((now != *known).then_some((opened, now))),
                Err(error) => return Err(error),
            }
        }
        Err(AccountError::Busy)
    }

    /// Tells the CA whom to write to, where it has heard something else: one node for all of them. Busy where another one is at it.
    pub(super) async fn tell_contact(&self, holder: &str) -> Result<(), AccountError> {
        let ca = self.ca.id();
        if !self.ca.has_news(&self.unseal(&self.kept().await?)?)? {
            return Ok(());
        }
        if !self.store.lease_acme_account(ca, holder).await? {
            return Err(AccountError::Busy);
        }
        let told = self.tell_contact_now().await;
        self.store.release_acme_account(ca, holder).await?;
        told
    }

    async fn tell_contact_now(&self) -> Result<(), AccountError> {
        for _ in 0..TRIES {
            // Once more: somebody else may have told it a moment ago.
            let kept = self.kept().await?;
            let saved = self.unseal(&kept)?;
            if !self.ca.has_news(&saved)? {
                return Ok(());
            }
            let told = self.ca.tell_contact(&saved).await?;
            let now = self.sealed(&kept.url, &told)?;
            if self.change(&kept, &now, AccountChange::Contact).await? {
                return Ok(());
            }
        }
        Err(AccountError::Busy)
    }

    async fn kept(&self) -> Result<AcmeAccount, AccountError> {
        let kept = self.store.acme_account(self.ca.id()).await?;
        kept.ok_or(AccountError::None)
    }

    async fn change(
        &self,
        from: &AcmeAccount,
        to: &AcmeAccount,
        change: AccountChange,
    ) -> Result<bool, AccountError> {
        let (ca, sealer) = (self.ca.id(), self.sealer()?);
        let changed = self
            .store
            .change_acme_account(ca, (from, to), change, &sealer);
        Ok(changed.await?)
    }

    fn sealed(&self, url: &str, credentials: &Secret) -> Result<AcmeAccount, AccountError> {
        let purpose = AcmeAccount::purpose(self.ca.id());
        Ok(AcmeAccount {
            url: url.to_owned(),
            sealed_credentials: self.sealer()?.seal(&purpose, credentials.expose()),
        })
    }

    fn unseal(&self, kept: &AcmeAccount) -> Result<Secret, AccountError> {
        let purpose = AcmeAccount::purpose(self.ca.id());
        let opened = self.sealer()?.unseal(&purpose, &kept.sealed_credentials);
        opened.map_err(|error| {
            let what = format!("{purpose} cannot be opened: {}", Causes(&error));
            AcmeError::Unusable { what }.into()
        })
    }

    fn sealer(&self) -> Result<Sealer, AccountError> {
        (self.sealed_with)().ok_or_else(|| {
            let what = "there is no key to seal with".to_owned();
            AcmeError::Unusable { what }.into()
        })
    }
}
