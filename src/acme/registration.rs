//! Accounts: made, opened again, made once more where the CA has lost them, and given another key (RFC 8555 section 7.3).

use std::sync::Arc;

use serde_json::{Value, json};

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
        let Some(url) = exchange.last().location else {
            return Err(unavailable(
                "the CA does not say where the account is",
                None,
            ));
        };
        let saved = Saved {
            url: url.clone(),
            key: key.secret,
            directory: issuer.directory_url.clone(),
        };
        let credentials = saved.write()?;
        Ok(OpenedAccount {
            account: Arc::new(AcmeAccount::new(Arc::clone(&self.0), saved)),
            url,
            credentials: Some(credentials),
        })
    }

    /// Asks nobody, unless the CA has said that it does not know the account.
    pub(super) async fn reopen(&self, secret: &Secret) -> Result<OpenedAccount, AcmeError> {
        let saved = Saved::read(secret)?;
        if saved.directory != self.0.issuer.directory_url {
            let what = format!("the account kept is one at {}", saved.directory);
            return Err(AcmeError::Unusable { what });
        }
        let key = AccountKey::read(saved.key.clone())?;
        match self.0.standing.of(&saved.url, self.0.clock.now()) {
            Advice::Use => Ok(OpenedAccount {
                url: saved.url.clone(),
                account: Arc::new(AcmeAccount::new(Arc::clone(&self.0), saved)),
                credentials: None,
            }),
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
}

/// Gives `account` the key `new` instead of `old`. Where the answer is lost, it is found out which of them the CA knows: an account is
/// not to be locked out of for that.
pub(super) async fn change_key(
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
    let Err(error) = changed else {
        return Ok(());
    };
    let failure = fault(error, &exchange.last());
    if matches!(failure, AcmeError::Unavailable { .. }) && knows(exchange, new).await {
        return Ok(());
    }
    Err(failure)
}

/// Whether the CA has an account of this key's.
pub(super) async fn knows(exchange: &Exchange, key: &AccountKey) -> bool {
    let asked: Value = json!({ "onlyReturnExisting": true });
    let url = &exchange.directory.read.new_account;
    let found = with_nonces!(exchange.post(&Signer::Key(key), url, &asked));
    found.is_ok()
}
