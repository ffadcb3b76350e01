//! What the configuration takes from the store: a host's class is decided here first, so a row may be there and never be asked.

use std::fmt;

use super::Config;
use crate::model::{ChallengeKind, DomainPattern, Hostname, Slug};

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

    /// Why `pattern` is not taken as a claim, on an operator's word (`trusted`) or to be proved.
    pub fn refuses_claim(&self, pattern: &DomainPattern, trusted: bool) -> Option<String> {
        let to_be_proved = || {
            let kept = pattern.unprovable().map(str::to_owned);
            kept.or_else(|| self.lacks_dns01(pattern))
        };
        let refused = self.unclaimable(pattern);
        refused.or_else(|| to_be_proved().filter(|_| !trusted))
    }

    /// Why no tenant can be given `pattern`, on whosever word: it is the operator's own, stands for names that are, or is nobody's.
    pub fn unclaimable(&self, pattern: &DomainPattern) -> Option<String> {
        let shadow = self.domain_shadow(pattern);
        shadow
            .or_else(|| self.own_zone(pattern))
            .or_else(|| pattern.unownable().map(str::to_owned))
    }

    /// Why no certificate could be ordered for a wildcard: only dns-01 shows control of one (RFC 8555 section 7.1.3). One that an operator
    /// brings is another matter, and so is TLS elsewhere.
    pub fn lacks_dns01(&self, pattern: &DomainPattern) -> Option<String> {
        let wildcard = matches!(pattern, DomainPattern::Wildcard(_));
        let orders = self.orders_certificates();
        let dns01 = self.acme_dns.is_some()
            && (self.acme.iter()).any(|ca| ca.challenges.contains(&ChallengeKind::Dns01));
        (wildcard && orders && !dns01).then(|| {
            "certificates for wildcards need dns-01, which is off: set [acme_dns] and have \"dns-01\" among acme.challenges, \
             claim each name by itself, or bring the certificate and claim the wildcard with --trusted"
                .to_owned()
        })
    }

    /// Why `pattern` is a name with which customers' names are pointed, proved or certified, or stands for one.
    fn own_zone(&self, pattern: &DomainPattern) -> Option<String> {
        let (DomainPattern::Exact(name) | DomainPattern::Wildcard(name)) = pattern;
        let zones = [
            (&self.domains.proof_zone, "domains.proof_zone"),
            (
                &self.acme_dns.as_ref().map(|it| it.zone.clone()),
                "acme_dns.zone",
            ),
        ];
        for (zone, setting) in zones {
            let Some(zone) = zone else { continue };
            if name == zone || name.below(zone).is_some() || pattern.matches(zone) {
                return Some(format!(
                    "it is {zone}, below it or stands for it, and that is {setting}"
                ));
            }
        }
        let target = self.domains.cname_target.as_ref()?;
        (pattern.matches(target) || name == target).then(|| {
            format!("{target}, to which names are pointed, is it or would be covered by it")
        })
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
