//! One CA as configured, and accounts there.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, Error, ExternalAccountKey, Key, NewAccount,
};
use serde::Deserialize;

use super::account::AcmeAccount;
use super::directory::Directories;
use super::exchange::{Exchange, with_nonces};
use super::fault::{fault, unavailable};
use super::standing::{Advice, Standing};
use super::{AcmeError, Ca, Directory, OpenedAccount};
use crate::clock::Clock;
use crate::config::AcmeIssuer;
use crate::model::{Causes, Secret};
use crate::outgoing::{Outgoing, trusting};

/// For one request, and the largest answer: a chain of certificates has a few kibibytes.
const REQUEST: (Duration, usize) = (Duration::from_secs(10), 1024 * 1024);
/// For one call with all its requests: an order of a hundred names has as many authorizations.
const CALL: Duration = Duration::from_secs(60);

/// A CA that speaks ACME.
#[derive(Clone)]
pub struct AcmeCa(pub(super) Arc<Inner>);

pub(super) struct Inner {
    issuer: AcmeIssuer,
    outgoing: Outgoing,
    clock: Clock,
    directories: Directories,
    pub(super) standing: Standing,
}

/// Of saved credentials what the library does not show.
#[derive(Deserialize)]
struct Saved {
    id: String,
    directory: String,
}

impl AcmeCa {
    /// As configured; nothing is asked yet. By ordering there its terms of service are agreed to.
    ///
    /// # Errors
    /// [`AcmeError::Unusable`] where its `ca_file` is of no use.
    pub fn new(issuer: &AcmeIssuer, clock: Clock) -> Result<Self, AcmeError> {
        let tls = trusting(issuer.ca_file.as_deref());
        let tls = tls.map_err(|error| AcmeError::Unusable {
            what: Causes(&error).to_string(),
        })?;
        Ok(Self(Arc::new(Inner {
            issuer: issuer.clone(),
            outgoing: Outgoing::new(tls, REQUEST.0, REQUEST.1),
            clock,
            directories: Directories::default(),
            standing: Standing::default(),
        })))
    }
}

impl fmt::Debug for AcmeCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AcmeCa")
            .field(&self.0.issuer.directory_url)
            .finish()
    }
}

impl Ca for AcmeCa {
    fn id(&self) -> &str {
        &self.0.issuer.directory_url
    }

    fn directory(&self) -> BoxFuture<'_, Result<Directory, AcmeError>> {
        Box::pin(bounded(async {
            let exchange = self.0.begin().await?;
            let mut view = exchange.directory.read.view();
            if !self.0.issuer.caa_identities.is_empty() {
                view.caa_identities
                    .clone_from(&self.0.issuer.caa_identities);
            }
            Ok(view)
        }))
    }

    fn open_account<'a>(
        &'a self,
        saved: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<OpenedAccount, AcmeError>> {
        Box::pin(bounded(async move {
            match saved {
                None => self.register().await,
                Some(saved) => self.reopen(saved).await,
            }
        }))
    }
}

impl AcmeCa {
    async fn register(&self) -> Result<OpenedAccount, AcmeError> {
        let exchange = self.0.begin().await?;
        let url = &self.0.issuer.directory_url;
        let contact: Vec<_> = self.0.issuer.contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let bound = self.0.issuer.external_account.as_ref();
        let bound = bound.map(|it| ExternalAccountKey::new(it.kid.clone(), it.hmac_key.expose()));
        let created =
            with_nonces!(builder(&exchange).create(&account, url.clone(), bound.as_ref()));
        let (account, credentials) = created.map_err(|error| fault(error, &exchange.last()))?;
        self.opened(&account, &credentials)
    }

    /// Asks nobody, unless the CA has said that it does not know the account.
    async fn reopen(&self, secret: &Secret) -> Result<OpenedAccount, AcmeError> {
        let saved: Saved = read(secret)?;
        if saved.directory != self.0.issuer.directory_url {
            let what = format!("the account kept is one at {}", saved.directory);
            return Err(AcmeError::Unusable { what });
        }
        match self.0.standing.of(&saved.id, self.0.clock.now()) {
            Advice::Use => {
                // What cannot be used is better known now.
                let _: AccountCredentials = read(secret)?;
                Ok(OpenedAccount {
                    account: self.account(saved.id.clone(), secret.clone()),
                    url: saved.id,
                    credentials: None,
                })
            }
            Advice::GiveUp => Err(AcmeError::AccountUnknown),
            Advice::Register => self.register_again(secret).await,
        }
    }

    /// With the same key, so that several nodes that find the account lost get one new one.
    async fn register_again(&self, secret: &Secret) -> Result<OpenedAccount, AcmeError> {
        let exchange = self.0.begin().await?;
        let url = &self.0.issuer.directory_url;
        let made = with_nonces!(async {
            let saved: AccountCredentials = read(secret).map_err(|e| Error::Other(Box::new(e)))?;
            let der = saved.private_key().clone_key();
            let key = Key::from_pkcs8_der(saved.private_key().clone_key())?;
            builder(&exchange)
                .create_from_key((key, der.into()), url.clone())
                .await
        });
        let opened = match made {
            Ok((account, credentials)) => {
                self.renew_contacts(&account).await;
                self.opened(&account, &credentials)?
            }
            // The library cannot bind a key that there is already to an external account.
            Err(Error::Api(problem)) if super::fault::view(&problem).kind == BINDING => {
                self.register().await?
            }
            Err(error) => return Err(fault(error, &exchange.last())),
        };
        tracing::warn!(
            ca = url,
            account = opened.url,
            "the CA did not know our account any more; it is registered anew"
        );
        self.0.standing.registered(&opened.url, self.0.clock.now());
        Ok(opened)
    }

    /// An account is of use without them: that they are missing is logged and no failure.
    async fn renew_contacts(&self, account: &Account) {
        let contact: Vec<_> = self.0.issuer.contact.iter().map(String::as_str).collect();
        if contact.is_empty() {
            return;
        }
        if let Err(error) = with_nonces!(account.update_contacts(&contact)) {
            tracing::warn!(error = %Causes(&error), "the CA does not take the contacts of our account");
        }
    }

    fn opened(
        &self,
        account: &Account,
        credentials: &AccountCredentials,
    ) -> Result<OpenedAccount, AcmeError> {
        let url = account.id().to_owned();
        let secret = saved(credentials)?;
        Ok(OpenedAccount {
            account: self.account(url.clone(), secret.clone()),
            url,
            credentials: Some(secret),
        })
    }

    fn account(&self, url: String, credentials: Secret) -> Arc<AcmeAccount> {
        Arc::new(AcmeAccount::new(Arc::clone(&self.0), url, credentials))
    }
}

/// The problem of a CA that wants a binding to an external account.
const BINDING: &str = "externalAccountRequired";

impl Inner {
    /// A way to the CA for one call.
    pub(super) async fn begin(&self) -> Result<Arc<Exchange>, AcmeError> {
        let url = &self.issuer.directory_url;
        let directory = self
            .directories
            .get(url, &self.outgoing, &self.clock)
            .await?;
        Ok(Exchange::new(
            self.outgoing.clone(),
            self.clock.clone(),
            url.clone(),
            directory,
        ))
    }
}

pub(super) fn builder(exchange: &Arc<Exchange>) -> AccountBuilder {
    Account::builder_with_http(exchange.wire())
}

/// Credentials as they are kept.
pub(super) fn saved(credentials: &AccountCredentials) -> Result<Secret, AcmeError> {
    let text = serde_json::to_vec(credentials);
    text.map(Secret::new).map_err(|_| AcmeError::Unusable {
        what: "the account cannot be kept".to_owned(),
    })
}

/// What the error of the reader says could show parts of the secret: it is left out.
pub(super) fn read<'s, T: Deserialize<'s>>(secret: &'s Secret) -> Result<T, AcmeError> {
    serde_json::from_slice(secret.expose()).map_err(|_| AcmeError::Unusable {
        what: "the account kept cannot be read: forget it, another is made".to_owned(),
    })
}

/// Ends every call after a while, however many requests it takes.
pub(super) async fn bounded<T>(
    call: impl Future<Output = Result<T, AcmeError>>,
) -> Result<T, AcmeError> {
    let ended = tokio::time::timeout(CALL, call).await;
    ended.unwrap_or_else(|_| {
        let seconds = CALL.as_secs();
        Err(unavailable(format!("not done within {seconds} s"), None))
    })
}
