//! Certificate authorities: their protocol (RFC 8555, RFC 9773), each behind one small interface. What is ordered when, where challenges are
//! put and what is kept is the callers' business; nothing here waits longer than for one exchange with the CA.

mod account;
mod ca;
mod csr;
mod directory;
mod exchange;
mod fault;
mod jws;
mod registration;
mod renewal;
mod saved;
mod standing;
mod view;

pub use ca::{AcmeCa, CALL};
pub use csr::{new_key, signing_request};

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::{ChallengeKind, DomainPattern, Hostname, Secret};

/// One certificate authority. A seam: tests of what is ordered when put a scripted one in its place.
///
/// An implementer bounds each call's time (seconds, not minutes), tries a refused nonce again a bounded number of times, and hands on how long
/// the CA asked to wait.
pub trait Ca: Send + Sync + 'static {
    /// Its directory's address; what accounts, orders and budgets are kept under.
    fn id(&self) -> &str;
    /// What it says of itself.
    fn directory(&self) -> BoxFuture<'_, Result<Directory, AcmeError>>;
    /// The account whose key is in `saved` (as [`OpenedAccount::credentials`] gave it), or a new one. An account that the CA no longer
    /// knows is registered anew once, with the same key. That it is unknown comes out when it is used: whoever hears
    /// [`AcmeError::AccountUnknown`] opens it again with what was saved. Where a key is kept beside the account's own
    /// ([`Ca::with_next_key`]), the CA is asked whether it has taken that one.
    fn open_account<'a>(
        &'a self,
        saved: Option<&'a Secret>,
    ) -> BoxFuture<'a, Result<OpenedAccount, AcmeError>>;
    /// What to keep, sealed, before the account gets another key: `saved` with a new key beside its own; as it is where there is one
    /// already, whose change did not come to its end. Asks nobody.
    fn with_next_key(&self, saved: &Secret) -> Result<Secret, AcmeError>;
    /// Gives the account the key that is kept in `saved` beside its own (RFC 8555 section 7.3.5); what to keep from then on. Where that
    /// fails and it is not known whether the CA has taken the key, another call finds out and goes on.
    fn change_key<'a>(&'a self, saved: &'a Secret) -> BoxFuture<'a, Result<Secret, AcmeError>>;
    /// Whether the CA was told, as far as is known, something else than is configured of whom to write to. Asks nobody.
    fn has_news(&self, saved: &Secret) -> Result<bool, AcmeError>;
    /// Tells the CA whom to write to (RFC 8555 section 7.3.2); what to keep from then on.
    fn tell_contact<'a>(&'a self, saved: &'a Secret) -> BoxFuture<'a, Result<Secret, AcmeError>>;
}

/// What is kept of an account, but for its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountFacts {
    /// What the CA was told of whom to write to; nothing where that is not known.
    pub contact: Option<Vec<String>>,
    /// Whether a change of its key was begun and has not come to its end.
    pub changes_key: bool,
}

impl AccountFacts {
    /// Those in `saved`, as [`OpenedAccount::credentials`] gave it.
    pub fn of(saved: &Secret) -> Result<Self, AcmeError> {
        let saved = saved::Saved::read(saved)?;
        Ok(Self {
            contact: saved.contact,
            changes_key: saved.next.is_some(),
        })
    }
}

/// What a CA says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directory {
    /// Names by which CAA records mean it.
    pub caa_identities: Vec<String>,
    /// The kinds of certificates it offers, by name.
    pub profiles: Vec<String>,
    /// Whether it says when to renew (RFC 9773).
    pub renewal_info: bool,
}

/// An account, ready for orders.
pub struct OpenedAccount {
    /// What orders are placed with.
    pub account: Arc<dyn CaAccount>,
    /// Its address, as CAA records name it (`accounturi`, RFC 8657).
    pub url: String,
    /// What to keep, sealed, where the account is new or its key has changed.
    pub credentials: Option<Secret>,
}

/// Orders of one account at one CA.
pub trait CaAccount: Send + Sync + 'static {
    /// Places an order; its address. [`AcmeError::NotReplaced`] where the CA would perhaps take it without [`NewOrder::replaces`].
    fn place<'a>(&'a self, order: &'a NewOrder) -> BoxFuture<'a, Result<String, AcmeError>>;
    /// Where an order stands, with what is still to be shown.
    fn look<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<OrderView, AcmeError>>;
    /// Tells the CA that a challenge of an order can be looked at.
    fn ready<'a>(
        &'a self,
        order: &'a str,
        challenge: &'a OfferedChallenge,
    ) -> BoxFuture<'a, Result<(), AcmeError>>;
    /// Hands in the request for the certificate, DER. For an order that has one this does nothing.
    fn finalize<'a>(
        &'a self,
        order: &'a str,
        csr: &'a [u8],
    ) -> BoxFuture<'a, Result<(), AcmeError>>;
    /// The certificate of a valid order, PEM, the visitor-facing one first; [`AcmeError::Unavailable`] where there is none yet.
    fn certificate<'a>(&'a self, order: &'a str) -> BoxFuture<'a, Result<String, AcmeError>>;
    /// When the CA wants a certificate (DER) to be renewed; `None` where it has no opinion.
    fn renewal<'a>(
        &'a self,
        certificate: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<RenewalWindow>, AcmeError>>;
}

/// What to order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewOrder {
    /// The names.
    pub names: Vec<DomainPattern>,
    /// The kind of certificate, one of [`Directory::profiles`].
    pub profile: Option<String>,
    /// The certificate (DER) that it takes the place of: with RFC 9773, such an order counts against no limit.
    pub replaces: Option<Vec<u8>>,
}

/// Where an order stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderView {
    /// Its state.
    pub state: OrderState,
    /// What is to be shown, name by name; those that are settled too.
    pub authorizations: Vec<AuthorizationView>,
    /// Why it is invalid, where the CA says so.
    pub problem: Option<CaProblem>,
    /// When to look again, where the CA says so.
    pub retry_after: Option<Duration>,
}

/// The states of RFC 8555 section 7.1.6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of RFC 8555")]
pub enum OrderState {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// What is to be shown for one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorizationView {
    /// The name, without `*.`.
    pub name: Hostname,
    /// Whether it is for `*.name`.
    pub wildcard: bool,
    /// Where it stands.
    pub state: AuthorizationState,
    /// The ways to show control; one of them is enough.
    pub challenges: Vec<OfferedChallenge>,
}

/// Where the proof of one name stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuthorizationState {
    /// A challenge is to be met.
    Pending,
    /// Nothing more to do.
    Valid,
    /// Failed, expired, revoked or given up.
    Invalid,
}

/// One way to show control.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedChallenge {
    /// The kind.
    pub kind: ChallengeKind,
    /// Its address at the CA.
    pub url: String,
    /// Names it.
    pub token: String,
    /// What is to be shown (RFC 8555 section 8.1); the kind says how.
    pub key_authorization: String,
    /// Whether the CA has been told that it can look.
    pub answered: bool,
    /// What the CA saw instead, where it failed.
    pub problem: Option<CaProblem>,
}

/// When a certificate should be renewed (RFC 9773 section 4.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RenewalWindow {
    /// Its begin, in milliseconds since 1970.
    pub start: i64,
    /// Its end, in milliseconds since 1970.
    pub end: i64,
    /// When to ask again.
    pub ask_again: Duration,
    /// Where people can read why, if the CA says so.
    pub explanation: Option<String>,
}

/// What a CA found wrong (RFC 7807, RFC 8555 section 6.7).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaProblem {
    /// The last part of its type, as `rateLimited` or `dns`.
    pub kind: String,
    /// In words.
    pub detail: String,
}

/// Why an exchange with a CA did not work.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// The CA's limits.
    #[error("the CA takes no more for now: {}", problem.detail)]
    RateLimited {
        /// What it said.
        problem: CaProblem,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The CA does not know the account (any more).
    #[error("the CA does not know the account")]
    AccountUnknown,
    /// The CA does not know the order (any more).
    #[error("the CA does not know the order")]
    OrderUnknown,
    /// The CA refused: what was asked for is at fault, and asking again changes nothing soon.
    #[error("the CA refused ({}): {}", .0.kind, .0.detail)]
    Refused(CaProblem),
    /// The CA does not take the order as one in the place of the certificate named: it was replaced already, or is none that the CA or
    /// the account knows. An ordinary order may do (RFC 9773 section 5).
    #[error("the CA does not take the order as a renewal ({}): {}", .0.kind, .0.detail)]
    NotReplaced(CaProblem),
    /// The CA is in trouble (5xx, nonces without end) or cannot be reached.
    #[error("the CA cannot be asked")]
    Unavailable {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// What is configured for the CA or was kept of it cannot be used.
    #[error("{what}")]
    Unusable {
        /// What, and what to do.
        what: String,
    },
}

impl AcmeError {
    /// How long the CA asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Unavailable { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }
}
