//! Accounts: made, opened again, made once more where the CA has lost them, told whom to write to, and given another key (RFC 8555
//! section 7.3).

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;

use super::account::AcmeAccount;
use super::ca::AcmeCa;
use super::exchange::{Exchange, with_nonces};
use super::fault::{fault, unavailable};
use super::jws::{AccountKey, Signer, binding};
use super::saved::Saved;
use super::standing::Advice;
use super::{AcmeError, OpenedAccount};
use crate::model::Secret;

impl AcmeCa {
    /// An account of this key's. One that there is already is as good as a new one.
    pub(super) async fn register(&self, key: AccountKey) -> Result<OpenedAccount, AcmeError> {
        let exchange = self.0.begin().await?;
        let issuer = &self.0.issuer;
        let url = &exchange.directory.read.new_account;
        let mut asked = json!({ "termsOfServiceAgreed": true });
        if !issuer.contact.is_empty() {
            asked["contact"] = json!(issuer.contact);
        }
        if let Some(external) = &issuer.external_account {
            asked["externalAccountBinding"] = binding(external, url, &key);
        }
        let made = with_nonces!(exchange.post(&Signer::Key(&key), url, &asked));
        made.map_err(|error| fault(error, &exchange.last()))?;
        let last = exchange.last();
        let Some(url) = last.location else {
            return Err(unavailable(
                "the CA does not say where the account is",
                None,
            ));
        };
        let saved = Saved {
            url,
            key: key.secret,
            directory: issuer.directory_url.clone(),
            next: None,
            // Of an account that was there before the CA has heard no more than that we want it (section 7.3.1).
            contact: (last.status == Some(StatusCode::CREATED)).then(|| issuer.contact.clone()),
        };
        let credentials = saved.write()?;
        Ok(self.opened(saved, Some(credentials)))
    }

    /// Asks nobody, unless the CA has said that it does not know the account, or the account was to get another key.
    pub(super) async fn reopen(&self, secret: &Secret) -> Result<OpenedAccount, AcmeError> {
        let saved = self.read(secret)?;
        let key = AccountKey::read(saved.key.clone())?;
        if let Some(taken) = self.taken(&saved).await? {
            let credentials = taken.write()?;
            return Ok(self.opened(taken, Some(credentials)));
        }
        match self.0.standing.of(&saved.url, self.0.clock.now()) {
            Advice::Use => Ok(self.opened(saved, None)),
            Advice::GiveUp => Err(AcmeError::AccountUnknown),
            Advice::Register => {
                // With the same key: several nodes that find the account lost get one new one.
                let opened = self.register(key).await?;
                tracing::warn!(
                    ca = self.0.issuer.directory_url,
                    account = opened.url,
                    "the CA did not know our account any more; it is registered anew"
                );
                let now = self.0.clock.now();
                self.0.standing.registered(&opened.url, now);
                Ok(opened)
            }
        }
    }

    /// What to keep before the CA is told of another key: with that of a change that was begun and not ended, or a new one.
    pub(super) fn with_next_key(&self, secret: &Secret) -> Result<Secret, AcmeError> {
        let mut saved = self.read(secret)?;
        if saved.next.is_none() {
            saved.next = Some(AccountKey::generate()?.secret);
        }
        saved.write()
    }

    /// Gives the account the key that is kept beside its own; what to keep from then on.
    pub(super) async fn change_key(&self, secret: &Secret) -> Result<Secret, AcmeError> {
        let saved = self.read(secret)?;
        let Some(next) = saved.next.clone() else {
            return Err(AcmeError::Unusable {
                what: "there is no key that the account could get".to_owned(),
            });
        };
        let exchange = self.0.begin().await?;
        let old = AccountKey::read(saved.key.clone())?;
        let new = AccountKey::read(next)?;
        if let Err(failure) = send_key(&exchange, &saved.url, &old, &new).await {
            // The answer may be lost, now or when it was sent before, and somebody else may have been faster.
            return match self.taken(&saved).await {
                Ok(Some(taken)) => taken.write(),
                _ => Err(failure),
            };
        }
        saved.with_its_next_key()?.write()
    }

    /// Whether the CA is to hear whom to write to: it has heard something else, or it is not known what.
    pub(super) fn has_news(&self, secret: &Secret) -> Result<bool, AcmeError> {
        let wanted = &self.0.issuer.contact;
        Ok(match self.read(secret)?.contact {
            Some(told) => told != *wanted,
            None => !wanted.is_empty(),
        })
    }

    /// Tells the CA whom to write to (section 7.3.2); what to keep from then on.
    pub(super) async fn tell_contact(&self, secret: &Secret) -> Result<Secret, AcmeError> {
        let mut saved = self.read(secret)?;
        let exchange = self.0.begin().await?;
        let key = AccountKey::read(saved.key.clone())?;
        let contact = &self.0.issuer.contact;
        let asked = json!({ "contact": contact });
        let signer = Signer::Account(&key, &saved.url);
        let told = with_nonces!(exchange.post(&signer, &saved.url, &asked));
        told.map_err(|error| fault(error, &exchange.last()))?;
        saved.contact = Some(contact.clone());
        saved.write()
    }

    fn read(&self, secret: &Secret) -> Result<Saved, AcmeError> {
        let saved = Saved::read(secret)?;
        if saved.directory != self.0.issuer.directory_url {
            let what = format!("the account kept is one at {}", saved.directory);
            return Err(AcmeError::Unusable { what });
        }
        Ok(saved)
    }

    fn opened(&self, saved: Saved, credentials: Option<Secret>) -> OpenedAccount {
        OpenedAccount {
            url: saved.url.clone(),
            account: Arc::new(AcmeAccount::new(Arc::clone(&self.0), saved)),
            credentials,
        }
    }

    /// The account with the key that it was to get, where the CA has taken that.
    async fn taken(&self, saved: &Saved) -> Result<Option<Saved>, AcmeError> {
        let Some(next) = &saved.next else {
            return Ok(None);
        };
        let exchange = self.0.begin().await?;
        let known = account_of(&exchange, &AccountKey::read(next.clone())?).await?;
        match known {
            Some(url) if url == saved.url => saved.clone().with_its_next_key().map(Some),
            _ => Ok(None),
        }
    }
}

impl Saved {
    fn with_its_next_key(mut self) -> Result<Self, AcmeError> {
        let next = self.next.take();
        self.key = next.ok_or_else(|| AcmeError::Unusable {
            what: "there is no key that the account could get".to_owned(),
        })?;
        Ok(self)
    }
}

/// Asks for `account` to have the key `new` instead of `old` (section 7.3.5).
async fn send_key(
    exchange: &Exchange,
    account: &str,
    old: &AccountKey,
    new: &AccountKey,
) -> Result<(), AcmeError> {
    let Some(url) = &exchange.directory.read.key_change else {
        return Err(AcmeError::Unusable {
            what: "the CA offers no change of an account's key".to_owned(),
        });
    };
    let asked = json!({ "account": account, "oldKey": old.jwk() });
    let asked = Signer::Key(new).sign(url, None, &asked);
    let asked = asked.map_err(|error| fault(error, &exchange.last()))?;
    let changed = with_nonces!(exchange.post(&Signer::Account(old, account), url, &asked));
    changed.map_err(|error| fault(error, &exchange.last()))?;
    Ok(())
}

/// The address of the account that has this key, if there is one (section 7.3.1).
async fn account_of(exchange: &Exchange, key: &AccountKey) -> Result<Option<String>, AcmeError> {
    let asked = json!({ "onlyReturnExisting": true });
    let url = &exchange.directory.read.new_account;
    let found = with_nonces!(exchange.post(&Signer::Key(key), url, &asked));
    match found.map_err(|error| fault(error, &exchange.last())) {
        Ok(_) => Ok(exchange.last().location),
        Err(AcmeError::AccountUnknown) => Ok(None),
        Err(error) => Err(error),
    }
}
