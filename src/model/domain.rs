//! Custom domains: the names customers bring, and where each stands.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hostname, HostnameError};

/// What a custom domain row or a certificate names: one host, or every host one label below a parent.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum DomainPattern {
    /// `app.example.com`
    Exact(Hostname),
    /// `*.example.com`; the value is `example.com`.
    Wildcard(Hostname),
}

impl DomainPattern {
    /// Reads `name` or `*.name`.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        match text.strip_prefix("*.") {
            Some(parent) => Hostname::parse(parent).map(Self::Wildcard),
            None => Hostname::parse(text).map(Self::Exact),
        }
    }

    /// Reads what a person typed: as [`Self::parse`], and names in other scripts become A-labels (UTS 46, strict; RFC 5891), which
    /// is the only form on the wire. `xn--` labels that do not decode, or not to what they must, are refused.
    pub fn parse_typed(text: &str) -> Result<Self, HostnameError> {
        let (star, name) = match text.strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", text),
        };
        let plain = name.is_ascii() && !name.to_ascii_lowercase().contains("xn--");
        if plain {
            return Self::parse(text);
        }
        let dotless = name.strip_suffix('.').unwrap_or(name);
        let ascii = idna::domain_to_ascii_strict(dotless).map_err(|_| HostnameError::Unicode)?;
        Self::parse(&format!("{star}{ascii}"))
    }

    /// Why nobody can own this name: it is, or a wildcard stands directly below, a single label or a public suffix
    /// (publicsuffix.org, its private part too: `*.github.io` are other people's names).
    pub fn unownable(&self) -> Option<&'static str> {
        let (Self::Exact(name) | Self::Wildcard(name)) = self;
        let name = name.as_str();
        if !name.contains('.') {
            return Some(match self {
                Self::Exact(_) => "it is a single label",
                Self::Wildcard(_) => "it stands for every name of a top-level label",
            });
        }
        if let Some(zone) = SPECIAL.iter().find(|zone| is_at_or_below(name, zone.0)) {
            return Some(zone.1);
        }
        self.is_suffix().then_some(match self {
            Self::Exact(_) => "it is a public suffix, below which others have their names",
            Self::Wildcard(_) => "it stands for every name directly below a public suffix",
        })
    }

    /// Why nobody can prove control of this name, though an operator may vouch for it where it is looked up privately: it is kept for
    /// tests or documents (RFC 6761 sections 6.2 and 6.5).
    pub fn unprovable(&self) -> Option<&'static str> {
        let (Self::Exact(name) | Self::Wildcard(name)) = self;
        let name = name.as_str();
        let kept = KEPT.iter().any(|zone| is_at_or_below(name, zone));
        kept.then_some("it is kept for tests and documents (RFC 6761)")
    }

    /// Whether others register names directly below the name, or below a wildcard's parent: a public suffix, or one that could be.
    pub fn is_suffix(&self) -> bool {
        let (Self::Exact(name) | Self::Wildcard(name)) = self;
        let name = name.as_str().as_bytes();
        psl::suffix(name).is_some_and(|suffix| suffix.as_bytes() == name)
    }

    /// Whether `hostname` is this name, or lies exactly one label below a wildcard's parent.
    pub fn matches(&self, hostname: &Hostname) -> bool {
        match self {
            Self::Exact(name) => name == hostname,
            Self::Wildcard(parent) => hostname.parent() == Some(parent.as_str()),
        }
    }
}

/// Names that lead to nobody but the machines that use them, and not to a zone that anybody has.
const KEPT: [&str; 5] = [
    "test",
    "example",
    "example.com",
    "example.net",
    "example.org",
];

/// Names that software must treat apart (IANA's registry of special-use names).
const SPECIAL: [(&str, &str); 8] = [
    ("localhost", "it is this machine's own (RFC 6761)"),
    ("invalid", "it is invalid by definition (RFC 6761)"),
    ("local", "it is of the local network (RFC 6762)"),
    ("internal", "it is for private networks"),
    ("home.arpa", "it is of home networks (RFC 8375)"),
    (
        "arpa",
        "it is of the Internet's own infrastructure (RFC 3172)",
    ),
    ("onion", "it is of another network (RFC 7686)"),
    ("alt", "it is of another name space (RFC 9476)"),
];

fn is_at_or_below(name: &str, zone: &str) -> bool {
    let above = name.strip_suffix(zone);
    above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

impl fmt::Display for DomainPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => name.fmt(f),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// Where a custom domain stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainState {
    /// Claimed; proof not seen yet.
    Pending,
    /// Proof seen; certificate not in place yet.
    Verified,
    /// Routed.
    Active,
    /// Routed, but proof and pointing are gone or the certificate cannot be renewed.
    Degraded,
    /// No longer routed; fresh proof brings it back.
    Lapsed,
    /// Gone; the row is its tombstone.
    Removed,
}

impl DomainState {
    /// Every state, in the order of a domain's life.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Verified,
        Self::Active,
        Self::Degraded,
        Self::Lapsed,
        Self::Removed,
    ];

    /// The state's name in the store, the CLI and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Verified => "verified",
            Self::Active => "active",
            Self::Degraded => "degraded",
            Self::Lapsed => "lapsed",
            Self::Removed => "removed",
        }
    }

    /// The state called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether requests for the name reach its tenant.
    pub fn is_routed(self) -> bool {
        matches!(self, Self::Active | Self::Degraded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c8_typed_names_become_a_labels_or_are_refused() {
        let typed =
            |text: &str| DomainPattern::parse_typed(text).map(|pattern| pattern.to_string());
        assert_eq!(typed("App.Example.com."), Ok("app.example.com".into()));
        assert_eq!(typed("bücher.example"), Ok("xn--bcher-kva.example".into()));
        assert_eq!(
            typed("*.BÜCHER.example"),
            Ok("*.xn--bcher-kva.example".into())
        );
        assert_eq!(
            typed("xn--bcher-kva.example"),
            Ok("xn--bcher-kva.example".into())
        );
        // A look-alike in another script is another name.
        assert_ne!(typed("аpple.example"), typed("apple.example"));
        for bad in [
            "xn--example-.example",
            "xn--a.example",
            "*.*.example",
            "127.0.0.1",
        ] {
            assert!(typed(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn single_labels_and_public_suffixes_are_nobodys() {
        let unownable = |text: &str| DomainPattern::parse(text).unwrap().unownable().is_some();
        for name in [
            "com",
            "*.com",
            "intranet",
            "*.unheard-of",
            "co.uk",
            "*.co.uk",
            "*.github.io",
            "app.localhost",
            "printer.local",
            "*.corp.internal",
            "x.invalid",
            "hidden.onion",
            "1.168.192.in-addr.arpa",
        ] {
            assert!(unownable(name), "{name}");
        }
        for name in [
            "example.com",
            "*.example.com",
            "*.example.co.uk",
            "me.github.io",
            "shop.test",
        ] {
            assert!(!unownable(name), "{name}");
        }
    }

    #[test]
    fn what_is_kept_for_tests_and_documents_nobody_proves() {
        let unprovable = |text: &str| DomainPattern::parse(text).unwrap().unprovable().is_some();
        for name in [
            "shop.test",
            "*.acme.example",
            "example.com",
            "www.example.org",
        ] {
            assert!(unprovable(name), "{name}");
        }
        for name in ["latest.com", "myexample.com", "example.com.au", "test.dev"] {
            assert!(!unprovable(name), "{name}");
        }
    }

    #[test]
    fn c21_a_wildcard_matches_one_label_only() {
        let wildcard = DomainPattern::parse("*.acme.app").unwrap();
        let matches = |name: &str| wildcard.matches(&Hostname::parse(name).unwrap());
        assert!(matches("x.acme.app"));
        assert!(!matches("a.b.acme.app") && !matches("acme.app") && !matches("xacme.app"));
    }
}
