//! Words: values that are always valid. No I/O, no async, no clock.

pub mod address;
pub mod ahead;
mod causes;
pub mod certificate;
pub mod challenge;
pub mod check;
pub mod domain;
pub mod domain_life;
pub(crate) mod eights;
pub mod event;
pub mod hostname;
pub mod identity;
pub mod limits;
mod prehashed;
pub mod problem;
pub mod refusal;
pub mod route;
pub mod secret;
pub mod signing_key;
pub mod tenant;
pub mod webhook;

pub use causes::{Causes, causes};
pub use challenge::{ChallengeKind, delegation_label};
pub use check::{Check, CheckCode, Checks};
pub use domain::{DomainPattern, DomainState};
pub use event::EventKind;
pub use hostname::{Authority, AuthorityError, Hostname, HostnameError};
pub use limits::{LimitOverrides, Limits};
pub use prehashed::Prehashed;
pub use problem::{PROBLEM_JSON, Problem};
pub use refusal::{Code, Fault, Refusal};
pub use route::{LookupKey, Match, Route, Source, Sources};
pub use secret::Secret;
pub use signing_key::{KeyState, SigningKeyRecord};
pub use tenant::{Isolation, Placement, Slug, SlugError, Tenant, TenantId, TenantState};
pub use webhook::{WebhookUrl, WebhookUrlError};
