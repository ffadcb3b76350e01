//! What ordering certificates needs of the rest of the product.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::clock::Timestamp;
use crate::model::{ChallengeKind, Check, DomainPattern, Hostname};
use crate::seal::Sealer;
use crate::store::StoreError;

/// Looks at a name before anything is ordered for it. A seam: tests of what is ordered when decide themselves what is seen.
///
/// An implementer bounds its time (tens of seconds at most) and asks no CA.
pub trait Preflight: Send + Sync + 'static {
    /// Whether an order for a name can succeed now.
    fn may_order<'a>(&'a self, asked: &'a AskedOrder<'a>) -> BoxFuture<'a, Cleared>;
}

/// An order that is about to be placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AskedOrder<'a> {
    /// The name.
    pub pattern: &'a DomainPattern,
    /// How control of it may be shown, as the operator prefers it. Only `dns-01` for a wildcard.
    pub kinds: &'a [ChallengeKind],
    /// The CA.
    pub ca: &'a CaFacts,
    /// Whether a certificate is there that this one is to follow.
    pub renewal: bool,
}

/// What CAA records may say of a CA (RFC 8659, RFC 8657).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaFacts {
    /// Its directory's address.
    pub id: String,
    /// Names by which CAA records mean it.
    pub caa_identities: Vec<String>,
    /// The account's address there.
    pub account_url: String,
}

/// What a look at a name came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cleared {
    /// An order can succeed, with these kinds of challenges, the likeliest first. Never empty.
    Go(Vec<ChallengeKind>),
    /// It cannot, for what these checks say.
    Wait(Vec<Check>),
}

/// Where challenges are put for every node to answer them.
pub trait ChallengeBoard: Send + Sync + 'static {
    /// Puts a challenge up. When this returns every node answers it, or will ask the store for it. Putting it up again changes nothing.
    fn publish<'a>(
        &'a self,
        challenge: &'a PublishedChallenge,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Takes a name's challenges down: the one of `token`, or all of them.
    fn withdraw<'a>(
        &'a self,
        name: &'a Hostname,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// A challenge for a CA to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublishedChallenge {
    /// The name, without `*.`.
    pub name: Hostname,
    /// How control is shown.
    pub kind: ChallengeKind,
    /// Names the challenge.
    pub token: String,
    /// What is to be shown (RFC 8555 section 8.1).
    pub key_authorization: String,
    /// When nobody will look any more.
    pub expires_at: Timestamp,
}

/// Who brings a domain from `verified` to `active`.
pub trait DomainLife: Send + Sync + 'static {
    /// Visitors of the name can be served over TLS from now on. Told more than once, and also of names that wait for nothing.
    fn certificate_in_place<'a>(
        &'a self,
        pattern: &'a DomainPattern,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Until when the operator's own files cover a name well enough that none is ordered; `None` where they do not.
pub type CoveredByFiles = Box<dyn Fn(&DomainPattern) -> Option<Timestamp> + Send + Sync>;

/// The key that seals the store now; `None` where it cannot be had. Asked each time, because the store may be sealed anew.
pub type SealedWith = Arc<dyn Fn() -> Option<Sealer> + Send + Sync>;
