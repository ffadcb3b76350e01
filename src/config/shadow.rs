//! What the configuration takes from the store: a host's class is decided here first, so a row may be there and never be asked.

use std::fmt;

use super::Config;
use crate::model::{DomainPattern, Hostname, Slug};

/// A name in the store that no request reaches, or not on every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The name.
    pub what: Shadowed,
    /// The tenant it belongs to.
    pub tenant: Slug,
    /// What of the configuration stands before it.
    pub reason: String,
}

/// What is shadowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shadowed {
    /// A tenant's current slug.
    Tenant(Slug),
    /// An old slug.
    Alias(Slug),
    /// A custom domain.
    Domain(DomainPattern),
}

impl Shadowed {
    /// The kind of name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "tenant",
            Self::Alias(_) => "alias",
            Self::Domain(_) => "domain",
        }
    }
}

impl fmt::Display for Shadowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant(slug) | Self::Alias(slug) => slug.fmt(f),
            Self::Domain(pattern) => pattern.fmt(f),
        }
    }
}

impl Config {
    /// The reason why `name`, a row of the store, is never asked for, or not everywhere; `None` where nothing stands before it.
    pub fn shadow(&self, name: &Shadowed) -> Option<String> {
        match name {
            Shadowed::Tenant(slug) | Shadowed::Alias(slug) => self.slug_shadow(slug),
            Shadowed::Domain(pattern) => self.domain_shadow(pattern),
        }
    }

    /// Why no tenant can be given `pattern`, on whosever word. The configuration's own names are shadowed instead.
    pub fn unownable(&self, pattern: &DomainPattern) -> Option<&'static str> {
        let routing = &self.routing;
        let own = match pattern {
            DomainPattern::Exact(name) => {
                routing.base_domains.contains(name) || routing.platform_hosts.contains(name)
            }
            DomainPattern::Wildcard(name) => routing.base_domains.contains(name),
        };
        pattern.unownable().filter(|_| !own)
    }

    /// Those of `names` (each with its tenant) that are shadowed, in their order.
    pub fn shadows(&self, names: impl IntoIterator<Item = (Shadowed, Slug)>) -> Vec<Shadow> {
        let shadow = |(what, tenant)| {
            let reason = self.shadow(&what)?;
            Some(Shadow {
                what,
                tenant,
                reason,
            })
        };
        names.into_iter().filter_map(shadow).collect()
    }

    fn slug_shadow(&self, slug: &Slug) -> Option<String> {
        let routing = &self.routing;
        if routing.reserved_slugs.contains(slug) {
            return Some("the slug is in routing.reserved_slugs".to_owned());
        }
        let taken = |base: &Hostname| {
            let host = Hostname::parse(&format!("{slug}.{base}")).ok()?;
            if routing.platform_hosts.contains(&host) {
                return Some(format!("{host} is a platform host"));
            }
            let nested = routing.base_domains.contains(&host);
            nested.then(|| format!("{host} is a base domain itself"))
        };
        routing.base_domains.iter().find_map(taken)
    }

    fn domain_shadow(&self, pattern: &DomainPattern) -> Option<String> {
        let routing = &self.routing;
        let name = match pattern {
            DomainPattern::Exact(name) | DomainPattern::Wildcard(name) => name,
        };
        let at_or_below = |base: &&Hostname| *base == name || name.below(base).is_some();
        if let Some(base) = routing.base_domains.iter().find(at_or_below) {
            return Some(format!(
                "it is {base} or below it, and that is a base domain"
            ));
        }
        if let Some(host) = routing
            .platform_hosts
            .iter()
            .find(|host| pattern.matches(host))
        {
            return Some(match pattern {
                DomainPattern::Exact(_) => format!("{host} is a platform host"),
                DomainPattern::Wildcard(_) => format!("not for {host}, which is a platform host"),
            });
        }
        let covered = routing
            .base_domains
            .iter()
            .find(|base| pattern.matches(base));
        covered.map(|base| format!("not for {base}, which is a base domain"))
    }
}
