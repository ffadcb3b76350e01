//! `[routing]` and `[[route]]`: how requests find their tenant and their upstream.

use super::item::Item;
use super::notes::Reason;
use super::section::Section;
use super::token::{self, Jwks, TokenIssuer};
use crate::model::{Hostname, Slug};

/// `[routing]`
#[derive(Debug, Clone)]
pub struct Routing {
    /// `<slug>.<base domain>`; longest first.
    pub base_domains: Vec<Hostname>,
    /// Hosts on which path and token name the tenant.
    pub platform_hosts: Vec<Hostname>,
    /// Where requests on platform hosts that name nobody go.
    pub platform_upstream: Option<String>,
    /// The path prefix that names a tenant.
    pub path_prefix: Option<PathPrefix>,
    /// Whether the prefix is cut before forwarding.
    pub strip_path_prefix: bool,
    /// Slugs that are nobody's.
    pub reserved_slugs: Vec<Slug>,
    /// Origins whose refusals and preflights carry CORS fields, as in the `Origin` field.
    pub cors_origins: Vec<String>,
    /// What becomes of a bearer JWT of an issuer that is not ours.
    pub foreign_tokens: ForeignTokens,
    /// Issuers of tokens.
    pub tokens: Vec<TokenIssuer>,
    /// Times around the key sets that issuers publish.
    pub jwks: Jwks,
}

/// A path prefix with the tenant's place in it, such as `/t/{tenant}`: `before` the slug, nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix {
    /// What stands before the slug, with the final slash: `/t/`.
    pub before: String,
}

/// What becomes of a bearer JWT of an issuer that is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignTokens {
    /// It is the application's business.
    Pass,
    /// 401
    Refuse,
}

/// `[[route]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRoute {
    /// A path that matches on segment borders, without a final slash (but for `/` itself).
    pub path: String,
    /// The upstream's name.
    pub upstream: String,
}

/// Where the slug stands in a path prefix.
const PLACEHOLDER: &str = "{tenant}";
const RESERVED_SLUGS: [&str; 6] = ["www", "api", "admin", "app", "static", "mail"];
impl Routing {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let default_bases = || Hostname::parse("localhost").into_iter().collect();
        let mut base_domains = section
            .get("base_domains", hostnames)
            .unwrap_or_else(default_bases);
        base_domains.sort_by_key(|name| std::cmp::Reverse(name.as_str().len()));
        let reserved = || {
            RESERVED_SLUGS
                .iter()
                .flat_map(|slug| Slug::parse(slug))
                .collect()
        };
        Self {
            base_domains,
            platform_hosts: section.get("platform_hosts", hostnames).unwrap_or_default(),
            platform_upstream: section.get("platform_upstream", upstream_name).flatten(),
            path_prefix: match section.has("path_prefix") {
                true => section.text("path_prefix", path_prefix),
                false => Some(PathPrefix {
                    before: "/t/".to_owned(),
                }),
            },
            strip_path_prefix: section.flag("strip_path_prefix", true),
            reserved_slugs: section
                .get("reserved_slugs", |item| item.texts(slug))
                .unwrap_or_else(reserved),
            cors_origins: section
                .get("cors_origins", |item| item.texts(origin))
                .unwrap_or_default(),
            foreign_tokens: section.one_of(
                "foreign_tokens",
                ForeignTokens::Pass,
                &[
                    ("pass", ForeignTokens::Pass),
                    ("refuse", ForeignTokens::Refuse),
                ],
            ),
            tokens: token::issuers(section),
            jwks: section.sub("jwks", Jwks::read),
        }
    }
}

impl PathRoute {
    pub(super) fn read(section: &Section<'_>) -> Option<Self> {
        let path = section.need("path", |item| item.checked(route_path(item.text()?)));
        let upstream = section.need("upstream", upstream_name).flatten();
        Some(Self {
            path: path?,
            upstream: upstream?,
        })
    }
}

fn hostnames(item: &Item<'_>) -> Option<Vec<Hostname>> {
    item.list(|item| {
        let name = item.checked(hostname(item.text()?))?;
        item.notes
            .hosts
            .borrow_mut()
            .push((name.clone(), item.place()));
        Some(name)
    })
}

/// A host's name as it is written in a setting.
pub(super) fn hostname(text: &str) -> Result<Hostname, Reason> {
    Hostname::parse(text).map_err(|error| {
        let what = format!("is no host name: {error}");
        match text {
            _ if text.starts_with("*.") => Reason::with_hint(what, "leave out the `*.`"),
            _ if text.contains(':') => {
                Reason::with_hint(what, "the name only, without scheme and port")
            }
            _ if !text.is_ascii() => {
                Reason::with_hint(what, "write an international name in its ASCII form, xn--…")
            }
            _ => what.into(),
        }
    })
}

/// The name of an upstream; whether there is one is seen when all have been read.
fn upstream_name(item: &Item<'_>) -> Option<Option<String>> {
    let text = item.text()?;
    if text.is_empty() {
        return Some(None);
    }
    let used = (text.to_owned(), item.place());
    item.notes.upstream_uses.borrow_mut().push(used);
    Some(Some(text.to_owned()))
}

fn path_prefix(text: &str) -> Result<PathPrefix, Reason> {
    let hint = "such as \"/t/{tenant}\"; \"\" switches path routing off";
    let before = text
        .strip_suffix(PLACEHOLDER)
        .ok_or_else(|| Reason::with_hint("must end in the segment {tenant}", hint))?;
    if before.contains(PLACEHOLDER) {
        return Err(Reason::with_hint("has {tenant} more than once", hint));
    }
    if !before.ends_with('/') {
        return Err(Reason::with_hint(
            "must have {tenant} as a whole segment",
            hint,
        ));
    }
    if before != "/" {
        plain_path(before.trim_end_matches('/'))?;
    }
    if before.ends_with("//") {
        return Err("has an empty segment".into());
    }
    Ok(PathPrefix {
        before: before.to_owned(),
    })
}

fn route_path(text: &str) -> Result<String, Reason> {
    if text != "/" {
        plain_path(text)?;
    }
    Ok(text.to_owned())
}

/// A path that is compared byte by byte: so it is written as it arrives, with nothing that could be spelt in two ways.
fn plain_path(text: &str) -> Result<(), Reason> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err("must start with `/`".into());
    };
    if rest.ends_with('/') {
        let hint = format!(
            "write {:?}: it matches everything below it too",
            text.trim_end_matches('/')
        );
        return Err(Reason::with_hint("ends in `/`", hint));
    }
    if rest
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err("has an empty segment or one of dots".into());
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
    match rest.bytes().all(plain) {
        true => Ok(()),
        false => Err("has a character that no path has unescaped".into()),
    }
}

fn slug(text: &str) -> Result<Slug, Reason> {
    Slug::parse(text).map_err(|error| format!("is no slug: {error}").into())
}

/// An origin as browsers write it in the `Origin` field (RFC 6454 section 6.2): lower case, no default port.
fn origin(text: &str) -> Result<String, Reason> {
    let hint = "such as \"https://app.example.com\" or \"http://localhost:3000\"";
    let wrong = |what: &str| Reason::with_hint(what, hint);
    let (scheme, authority) = text
        .split_once("://")
        .filter(|(scheme, _)| matches!(*scheme, "http" | "https"))
        .ok_or_else(|| wrong("is no origin"))?;
    let uri: http::uri::Authority = authority.parse().map_err(|_| wrong("is no origin"))?;
    if authority.contains(['@', '/']) || uri.port_u16().is_none() != uri.port().is_none() {
        return Err(wrong("is no origin"));
    }
    let host = uri.host();
    let literal = host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok();
    if !literal {
        Hostname::parse(host).map_err(|error| wrong(&format!("is no origin: {error}")))?;
    }
    let default_port = if scheme == "https" { 443 } else { 80 };
    if uri.port_u16() == Some(default_port) {
        return Err(wrong("has the port that browsers leave out"));
    }
    Ok(text.to_ascii_lowercase())
}
