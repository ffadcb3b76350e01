//! A tenant: whom requests belong to, its names, its state and where its data lives.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::limits::LimitOverrides;

/// Characters of a UUID without its hyphens.
const LEAST_UUID: usize = 32;
/// Longest slug in bytes.
const MAX_SLUG: usize = 40;
/// Longest `meta` document in bytes, as compact JSON: it rides in the assertion.
pub const MAX_META: usize = 1024;

/// A tenant's permanent number, a UUIDv7. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A tenant's short name, as in `<slug>.<base domain>` and `/t/<slug>`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Slug(Arc<str>);

/// Why a text is no [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says it")]
pub enum SlugError {
    #[error("a slug has 1 to {MAX_SLUG} characters, this one has {0}")]
    Length(usize),
    #[error(
        "a slug has only the letters a-z, digits, and single hyphens between them; {0:?} is none of these"
    )]
    BadCharacter(char),
    #[error("a slug neither starts nor ends with a hyphen, nor has two in a row")]
    Hyphen,
    #[error("a slug may not look like a UUID: that is what ids look like")]
    UuidShaped,
}

impl Slug {
    /// Checks `text` against `[a-z0-9](-?[a-z0-9])*`, 1 to 40 characters, not UUID-shaped. Case is not folded here: a host is
    /// folded before it gets here, a path segment and a claim match exactly.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        if text.is_empty() || text.len() > MAX_SLUG {
            return Err(SlugError::Length(text.chars().count()));
        }
        // By bytes: a million of them are read when a node starts.
        let is_bad = |byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if text.bytes().any(is_bad) {
            let bad = text.chars().find(|c| !c.is_ascii() || is_bad(*c as u8));
            return Err(SlugError::BadCharacter(bad.unwrap_or_default()));
        }
        if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
            return Err(SlugError::Hyphen);
        }
        if text.len() >= LEAST_UUID && Uuid::try_parse(text).is_ok() {
            return Err(SlugError::UuidShaped);
        }
        Ok(Self(text.into()))
    }

    /// The slug as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::str::FromStr for Slug {
    type Err = SlugError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Where a tenant stands in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// Its schema or database is being built.
    Provisioning,
    /// Served.
    Active,
    /// Stopped by the operator.
    Suspended,
    /// Paused for work on its data.
    Maintenance,
    /// Building it failed; an operator must act.
    Failed,
    /// Gone; its names stay reserved for a while.
    Removed,
}

impl TenantState {
    /// Every state, in the order of a tenant's life.
    pub const ALL: [Self; 6] = [
        Self::Provisioning,
        Self::Active,
        Self::Suspended,
        Self::Maintenance,
        Self::Failed,
        Self::Removed,
    ];

    /// The state's name in the store, the CLI and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Maintenance => "maintenance",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }

    /// The state called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// How a tenant's data is kept apart from the others'.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Rows with a tenant id in common tables.
    #[default]
    Shared,
    /// A PostgreSQL schema of its own.
    Schema,
    /// A database and role of its own.
    Database,
}

impl Isolation {
    /// The model's name in the store, the CLI and the assertion.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Schema => "schema",
            Self::Database => "database",
        }
    }

    /// The model called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Shared, Self::Schema, Self::Database]
            .into_iter()
            .find(|model| model.as_str() == name)
    }
}

/// Where a tenant's data lives; told to the upstream in the assertion.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Placement {
    /// The isolation model.
    pub isolation: Isolation,
    /// The schema, where it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The database, where it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The newest migration that has run for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A tenant as the store holds it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tenant {
    /// Its permanent number.
    pub id: TenantId,
    /// Its current slug.
    pub slug: Slug,
    /// What people call it.
    pub name: String,
    /// Where it stands in its life.
    pub state: TenantState,
    /// How far provisioning has come, in percent; only while provisioning.
    pub progress: u8,
    /// The plan it is on.
    pub plan: Option<String>,
    /// The upstream it is served by, where not the default.
    pub upstream: Option<String>,
    /// Its own limits, where not the default.
    pub limits: LimitOverrides,
    /// Where its data lives.
    pub placement: Placement,
    /// A JSON object for the application, at most [`MAX_META`] bytes.
    pub meta: serde_json::Map<String, serde_json::Value>,
    /// Old slugs that still lead to it.
    pub aliases: Vec<Slug>,
    /// Grows by one with every change of the row.
    pub version: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// When it last changed, in milliseconds since 1970.
    pub updated_at: i64,
    /// When it was removed, in milliseconds since 1970.
    pub removed_at: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slugs_follow_the_grammar() {
        for good in ["a", "0", "acme", "acme-2", "a-b-c", &"a".repeat(40)] {
            assert!(Slug::parse(good).is_ok(), "{good}");
        }
        let uuid = "0190163d-8694-739b-aea5-966c26f8ad90";
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "a.b",
            "ä",
            &"a".repeat(41),
            uuid,
            &uuid.replace('-', ""),
        ] {
            assert!(Slug::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn state_names_lead_back() {
        for state in TenantState::ALL {
            assert_eq!(TenantState::from_name(state.as_str()), Some(state));
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_fits_in_a_host_label(text in "[a-z0-9-]{0,45}") {
            if let Ok(slug) = Slug::parse(&text) {
                let fits = crate::model::Hostname::parse(&format!("{slug}.example")).is_ok();
                prop_assert!(fits);
            }
        }
    }
}
