//! The key of the cache, and its borrowed form: looking a host name up costs no allocation.

use std::hash::{Hash, Hasher};

use moka::Equivalent;

use crate::model::{Hostname, LookupKey, Slug, TenantId};

/// A [`LookupKey`] as the cache keeps it: it hashes as its borrowed form does.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key(pub(super) LookupKey);

/// A [`LookupKey`] whose text is somebody else's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyRef<'a> {
    Slug(&'a str),
    Domain(&'a str),
    Wildcard(&'a str),
    Id(TenantId),
}

impl<'a> KeyRef<'a> {
    pub(super) fn domain(hostname: &'a Hostname) -> Self {
        Self::Domain(hostname.as_str())
    }

    /// The key of the wildcard that would cover `hostname`, one label up and no further (RFC 6125 section 6.4.3).
    pub(super) fn wildcard_over(hostname: &'a Hostname) -> Option<Self> {
        hostname.parent().map(Self::Wildcard)
    }

    /// The key with text of its own. Always there: the text came from a checked name.
    pub(super) fn to_key(self) -> Option<LookupKey> {
        match self {
            Self::Slug(slug) => Slug::parse(slug).ok().map(LookupKey::Slug),
            Self::Domain(name) => Hostname::parse(name).ok().map(LookupKey::Domain),
            Self::Wildcard(parent) => Hostname::parse(parent).ok().map(LookupKey::Wildcard),
            Self::Id(id) => Some(LookupKey::Id(id)),
        }
    }
}

impl<'a> From<&'a LookupKey> for KeyRef<'a> {
    fn from(key: &'a LookupKey) -> Self {
        match key {
            LookupKey::Slug(slug) => Self::Slug(slug.as_str()),
            LookupKey::Domain(hostname) => Self::Domain(hostname.as_str()),
            LookupKey::Wildcard(parent) => Self::Wildcard(parent.as_str()),
            LookupKey::Id(id) => Self::Id(*id),
        }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        KeyRef::from(&self.0).hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self == KeyRef::from(&key.0)
    }
}
