//! What a request resolves to, and how it was found.

use std::fmt;

use super::{Hostname, LimitOverrides, Placement, Slug, TenantId, TenantState};

/// A name the routing database can be asked for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum LookupKey {
    /// A slug or one of the aliases that old slugs are.
    Slug(Slug),
    /// A custom domain, exactly.
    Domain(Hostname),
    /// A wildcard custom domain; the value is the parent, `example.com` for `*.example.com`.
    Wildcard(Hostname),
    /// A tenant's number.
    Id(TenantId),
}

impl fmt::Display for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slug(slug) => write!(f, "slug:{slug}"),
            Self::Domain(name) => write!(f, "domain:{name}"),
            Self::Wildcard(parent) => write!(f, "domain:*.{parent}"),
            Self::Id(id) => write!(f, "id:{id}"),
        }
    }
}

/// A tenant as the request path needs it.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Route {
    /// The tenant's number.
    pub tenant: TenantId,
    /// Its current slug: where a look-up by slug asked for another, that one was an alias.
    pub slug: Slug,
    /// Where it stands in its life.
    pub state: TenantState,
    /// Provisioning progress in percent.
    pub progress: u8,
    /// When it was removed, in milliseconds since 1970.
    pub removed_at: Option<i64>,
    /// Its plan.
    pub plan: Option<Box<str>>,
    /// The upstream of its own, by name.
    pub upstream: Option<Box<str>>,
    /// Its own limits.
    pub limits: LimitOverrides,
    /// Where its data lives.
    pub placement: Placement,
    /// The `meta` object as compact JSON, `None` where it is empty.
    pub meta: Option<Box<str>>,
    /// The tenant row's version: two routes with equal tenant and version say the same.
    pub version: u64,
}

#[cfg(test)]
impl Route {
    /// An active tenant with this number and slug, and nothing of its own.
    pub(crate) fn plain(tenant: u128, slug: &str) -> Self {
        Self {
            tenant: TenantId(uuid::Uuid::from_u128(tenant)),
            slug: Slug::parse(slug).unwrap(),
            state: TenantState::Active,
            progress: 0,
            removed_at: None,
            plan: None,
            upstream: None,
            limits: LimitOverrides::default(),
            placement: Placement::default(),
            meta: None,
            version: 1,
        }
    }
}

/// What a look-up of one key found.
#[derive(Clone, PartialEq, Debug)]
pub enum Match {
    /// The key leads to this tenant.
    Found(std::sync::Arc<Route>),
    /// No row has the key, as of the last contact with the store.
    Absent,
    /// The store could not be asked and nothing young enough is remembered.
    Unavailable,
}

/// How a tenant was named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Source {
    /// `<slug>.<base domain>`
    Subdomain,
    /// A custom domain.
    Domain,
    /// The path prefix on a platform host.
    Path,
    /// A claim of a verified token.
    Token,
}

impl Source {
    /// Every source, in the order in which one is named as `via` when several agree.
    pub const ALL: [Self; 4] = [Self::Subdomain, Self::Domain, Self::Path, Self::Token];

    /// The source's name in assertions, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subdomain => "subdomain",
            Self::Domain => "domain",
            Self::Path => "path",
            Self::Token => "token",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The set of sources that named the tenant; empty where nobody was named.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sources(u8);

impl Sources {
    /// Adds `source`.
    pub fn insert(&mut self, source: Source) {
        self.0 |= source.bit();
    }

    /// Whether `source` is in the set.
    pub fn contains(self, source: Source) -> bool {
        self.0 & source.bit() != 0
    }

    /// The members, in the order of [`Source::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Source> {
        Source::ALL
            .into_iter()
            .filter(move |source| self.contains(*source))
    }

    /// The first member: what the assertion calls `via`.
    pub fn via(self) -> Option<Source> {
        self.iter().next()
    }

    /// The first member's name, or `none`.
    pub fn via_str(self) -> &'static str {
        self.via().map_or("none", Source::as_str)
    }
}

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        let mut set = Self::default();
        sources.into_iter().for_each(|source| set.insert(source));
        set
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
