//! Names of hosts: what may stand in a certificate, a routing row or a `Host` field.
//!
//! A [`Hostname`] is always lower case, ASCII (A-labels only), without port and without the final dot.

use std::fmt;
use std::sync::Arc;

/// Longest name in bytes, without the final dot (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
/// Longest label in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// A checked host name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hostname(Arc<str>);

/// Why a text is no [`Hostname`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum HostnameError {
    #[error("the name is empty")]
    Empty,
    #[error("the name has {0} bytes, more than {MAX_NAME}")]
    TooLong(usize),
    #[error("the name has an empty label (two dots in a row, or one at the start)")]
    EmptyLabel,
    #[error("a label has {0} bytes, more than {MAX_LABEL}")]
    LabelTooLong(usize),
    #[error("{0:?} may not stand in a host name")]
    BadCharacter(char),
    #[error("a label starts or ends with a hyphen")]
    HyphenAtEdge,
    #[error("an IP address is no host name")]
    IpLiteral,
    #[error("the name cannot be written in A-labels (UTS 46)")]
    Unicode,
}

impl Hostname {
    /// Checks and folds `text`: lower case, one final dot cut.
    ///
    /// Letters, digits, hyphen and underscore only; a name whose last label is a number is an IPv4 literal in some spelling
    /// (the URL standard's "ends in a number") and refused.
    pub fn parse(text: &str) -> Result<Self, HostnameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        check(name)?;
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Ok(Self(name.to_ascii_lowercase().into()));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before `.base`, where this name lies below `base`: `a.b` for `a.b.example` below `example`.
    pub fn below<'a>(&'a self, base: &Hostname) -> Option<&'a str> {
        let rest = self.0.strip_suffix(&*base.0)?;
        rest.strip_suffix('.').filter(|rest| !rest.is_empty())
    }

    /// The name without its first label, if anything is left: the parent a wildcard certificate or row would name.
    pub fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, parent)| parent)
    }

    /// The name as the parent of this one, ready to be looked up.
    pub fn parent_name(&self) -> Option<Hostname> {
        self.parent().map(|parent| Self(parent.into()))
    }
}

fn check(name: &str) -> Result<(), HostnameError> {
    if name.is_empty() {
        return Err(HostnameError::Empty);
    }
    if let Some(bad) = name.chars().find(|c| !is_name_char(*c)) {
        let literal = name.starts_with('[');
        return Err(if literal {
            HostnameError::IpLiteral
        } else {
            HostnameError::BadCharacter(bad)
        });
    }
    if name.len() > MAX_NAME {
        return Err(HostnameError::TooLong(name.len()));
    }
    for label in name.split('.') {
        check_label(label)?;
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return Err(HostnameError::IpLiteral);
    }
    Ok(())
}

fn check_label(label: &str) -> Result<(), HostnameError> {
    if label.is_empty() {
        return Err(HostnameError::EmptyLabel);
    }
    if label.len() > MAX_LABEL {
        return Err(HostnameError::LabelTooLong(label.len()));
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(HostnameError::HyphenAtEdge);
    }
    Ok(())
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// A last label that URL parsers read as a number (decimal or `0x…`) makes the whole name an IPv4 address to them.
fn is_number(label: &str) -> bool {
    let hex = label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => label.bytes().all(|b| b.is_ascii_digit()),
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::str::FromStr for Hostname {
    type Err = HostnameError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// A host name with the port that stood behind it, as in `Host: name:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The name.
    pub hostname: Hostname,
    /// The port, if one was written. `name:` is the same as `name` (RFC 3986 section 6.2.3).
    pub port: Option<u16>,
}

/// Why a text is no [`Authority`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The name is wrong.
    #[error(transparent)]
    Name(#[from] HostnameError),
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Authority {
    /// Reads `name[:port]`; userinfo, IP literals and anything else that is no host name are refused.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        // An IPv6 literal has colons of its own: it is refused for what it is, not for its "port".
        if text.starts_with('[') {
            return Err(HostnameError::IpLiteral.into());
        }
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, "")) => (name, None),
            Some((name, port)) => (name, Some(parse_port(port)?)),
        };
        Ok(Self {
            hostname: Hostname::parse(name)?,
            port,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, AuthorityError> {
    let digits = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits {
        text.parse::<u16>().ok()
    } else {
        None
    };
    port.filter(|port| *port != 0).ok_or(AuthorityError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn folds_case_and_one_final_dot() {
        let name = Hostname::parse("ACME.Example.").unwrap();
        assert_eq!(name.as_str(), "acme.example");
        assert_eq!(
            Hostname::parse("acme.example..").unwrap_err(),
            HostnameError::EmptyLabel
        );
    }

    #[test]
    fn refuses_what_is_no_name() {
        for bad in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a b",
            "a/b",
            "a,b",
            "a@b",
            "a%2e",
            "ä.de",
            "1.2.3.4",
            "0x7f.1",
            "[::1]",
            "127.0.0.0x1",
        ] {
            assert!(Hostname::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Hostname::parse(&"a".repeat(64)).is_err());
        assert!(Hostname::parse(&vec!["abcdefgh"; 29].join(".")).is_err());
        assert!(Hostname::parse("_dmarc.example").is_ok());
    }

    #[test]
    fn reads_ports() {
        assert_eq!(Authority::parse("a.b:8080").unwrap().port, Some(8080));
        assert_eq!(Authority::parse("a.b:").unwrap().port, None);
        for bad in [
            "a.b:abc",
            "a.b:0",
            "a.b:99999",
            "a.b:1:2",
            "a.b:+80",
            "u@a.b",
            "[::1]:80",
            "a.b:000080",
        ] {
            assert!(Authority::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn knows_what_lies_below() {
        let base = Hostname::parse("example.com").unwrap();
        let below = |name: &str| {
            Hostname::parse(name)
                .unwrap()
                .below(&base)
                .map(str::to_owned)
        };
        assert_eq!(below("a.example.com").as_deref(), Some("a"));
        assert_eq!(below("a.b.example.com").as_deref(), Some("a.b"));
        assert_eq!(below("example.com"), None);
        assert_eq!(below("badexample.com"), None);
    }

    proptest! {
        #[test]
        fn parsing_is_idempotent_and_never_panics(text in ".{0,300}") {
            if let Ok(name) = Hostname::parse(&text) {
                prop_assert_eq!(Hostname::parse(name.as_str()).unwrap(), name);
            }
            let _ = Authority::parse(&text);
        }

        #[test]
        fn any_well_formed_name_passes(text in "[a-z_]([a-z0-9-]{0,20}[a-z_])?(\\.[a-z]([a-z0-9-]{0,20}[a-z])?){0,5}") {
            prop_assert!(Hostname::parse(&text).is_ok(), "{}", text);
        }
    }
}
