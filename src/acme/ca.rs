//! One CA as configured.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::directory::Directories;
use super::exchange::Exchange;
use super::fault::unavailable;
use super::jws::AccountKey;
use super::standing::Standing;
use super::{AcmeError, Ca, Directory, OpenedAccount};
use crate::clock::Clock;
use crate::config::AcmeIssuer;
use crate::model::{Causes, Secret};
use crate::outgoing::{Outgoing, trusting};

/// For one request, and the largest answer: a chain of certificates has a few kibibytes.
const REQUEST: (Duration, usize) = (Duration::from_secs(10), 1024 * 1024);
/// For one call with all its requests: an order of a hundred names has as many authorizations. Callers who bound more than one call
/// leave room for it.
pub const CALL: Duration = Duration::from_secs(40);

/// A CA that speaks ACME.
#[derive(Clone)]
pub struct AcmeCa(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) issuer: AcmeIssuer,
    outgoing: Outgoing,
    pub(super) clock: Clock,
    directories: Directories,
    pub(super) standing: Standing,
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
                None => self.register(AccountKey::generate()?).await,
                Some(saved) => self.reopen(saved).await,
            }
        }))
    }

    fn with_next_key(&self, saved: &Secret) -> Result<Secret, AcmeError> {
        Self::with_next_key(self, saved)
    }

    fn change_key<'a>(&'a self, saved: &'a Secret) -> BoxFuture<'a, Result<Secret, AcmeError>> {
        Box::pin(bounded(Self::change_key(self, saved)))
    }

    fn has_news(&self, saved: &Secret) -> Result<bool, AcmeError> {
        Self::has_news(self, saved)
    }

    fn tell_contact<'a>(&'a self, saved: &'a Secret) -> BoxFuture<'a, Result<Secret, AcmeError>> {
        Box::pin(bounded(Self::tell_contact(self, saved)))
    }
}

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
