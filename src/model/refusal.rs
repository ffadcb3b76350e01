//! Every answer that Vestibule makes instead of the upstream's, in one table.
//!
//! The proxy renders it, the metrics count it by code, the log names it. A refusal never carries a name that the visitor did
//! not send.

use std::fmt;
use std::time::Duration;

/// Whose doing a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// The request itself.
    Visitor,
    /// The tenant's state or limits.
    Tenant,
    /// The application servers.
    Upstream,
    /// This node or what it stands on.
    Edge,
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $fault:ident $title:literal;)+) => {
        /// The kinds of refusal.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[expect(missing_docs, reason = "the table gives each one's title")]
        pub enum Code { $($variant,)+ }

        impl Code {
            /// Every kind, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$variant,)+];

            /// The `code` member of the problem document, and the metrics' label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)+ }
            }

            /// Whose doing it is.
            pub const fn fault(self) -> Fault {
                match self { $(Code::$variant => Fault::$fault,)+ }
            }

            /// The `title` member of the problem document: the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    BadRequest           "bad_request"           400 Visitor  "The request is malformed";
    UriTooLong           "uri_too_long"          414 Visitor  "The address is too long";
    HeadersTooLarge      "headers_too_large"     431 Visitor  "The request's header fields are too large";
    TokenInvalid         "token_invalid"         401 Visitor  "The token was not accepted";
    TenantConflict       "tenant_conflict"       403 Visitor  "The address and the session belong to different workspaces";
    TenantSuspended      "tenant_suspended"      403 Tenant   "This workspace is suspended";
    UnknownTenant        "unknown_tenant"        404 Visitor  "There is no workspace at this address";
    TenantRemoved        "tenant_removed"        410 Tenant   "This workspace has been removed";
    MethodNotAllowed     "method_not_allowed"    405 Visitor  "The method is not allowed";
    RequestTimeout       "request_timeout"       408 Visitor  "The request took too long to arrive";
    BodyTooLarge         "body_too_large"        413 Visitor  "The request body is too large";
    Misdirected          "misdirected"           421 Visitor  "This connection does not serve the address";
    RateLimited          "rate_limited"          429 Tenant   "Too many requests";
    TooManyInFlight      "too_many_in_flight"    429 Tenant   "Too many requests at the same time";
    InternalError        "internal_error"        500 Edge     "Something went wrong here";
    UpstreamUnreachable  "upstream_unreachable"  502 Upstream "The application cannot be reached";
    UpstreamInvalid      "upstream_invalid"      502 Upstream "The application gave an invalid answer";
    TenantProvisioning   "tenant_provisioning"   503 Tenant   "Your workspace is being prepared";
    TenantMaintenance    "tenant_maintenance"    503 Tenant   "Your workspace is under maintenance";
    Overloaded           "overloaded"            503 Edge     "Too busy";
    StoreUnavailable     "store_unavailable"     503 Edge     "The address cannot be looked up right now";
    NoHealthyEndpoint    "no_healthy_endpoint"   503 Upstream "The application is not available";
    UnknownUpstream      "unknown_upstream"      503 Edge     "The application is not set up";
    UpstreamTimeout      "upstream_timeout"      504 Upstream "The application did not answer in time";
    LoopDetected         "loop_detected"         508 Edge     "The request goes in circles";
}

/// One refusal: its kind, what to tell the visitor, what to tell the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The kind.
    pub code: Code,
    /// For the visitor: what was wrong and what to do. Holds nothing that the visitor did not send.
    pub detail: &'static str,
    /// For the log only: what exactly happened. Never a secret.
    pub reason: Option<Box<str>>,
    /// After how long another try makes sense; rendered in whole seconds, at least 1.
    pub retry_after: Option<Duration>,
    /// What the page shows besides.
    pub extra: Extra,
}

/// What some refusals carry besides their text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Extra {
    /// Nothing.
    #[default]
    None,
    /// How far the work on the tenant has come, in percent.
    Progress(u8),
    /// The conflict involves this configured cookie, by index of the issuer: the page offers to forget it.
    Cookie(usize),
    /// The methods that are allowed, as in `Allow`.
    Allow(&'static str),
}

impl Refusal {
    /// A refusal that tells the visitor `detail`.
    pub fn new(code: Code, detail: &'static str) -> Self {
        Self {
            code,
            detail,
            reason: None,
            retry_after: default_retry(code),
            extra: Extra::None,
        }
    }

    /// The same with a reason for the log.
    pub fn because(mut self, reason: impl fmt::Display) -> Self {
        self.reason = Some(reason.to_string().into());
        self
    }

    /// The same with a time after which to try again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same with what the page shows besides.
    pub fn with(mut self, extra: Extra) -> Self {
        self.extra = extra;
        self
    }

    /// A malformed request (400).
    pub fn bad_request(detail: &'static str) -> Self {
        Self::new(Code::BadRequest, detail)
    }

    /// Nobody lives here (404): the same words whatever the reason, so that nothing can be learnt from them.
    pub fn unknown_tenant() -> Self {
        Self::new(Code::UnknownTenant, "Check the spelling of the address.")
    }
}

/// Every 429 and 503 says when to come back: a program that is not told tries again at once.
fn default_retry(code: Code) -> Option<Duration> {
    match code {
        Code::RateLimited | Code::TooManyInFlight | Code::StoreUnavailable => {
            Some(Duration::from_secs(1))
        }
        Code::Overloaded => Some(Duration::from_secs(2)),
        Code::TenantProvisioning => Some(Duration::from_secs(5)),
        Code::NoHealthyEndpoint | Code::UnknownUpstream => Some(Duration::from_secs(10)),
        Code::TenantMaintenance => Some(Duration::from_secs(30)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_errors() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(
            Code::ALL
                .iter()
                .all(|code| (400..600).contains(&code.status()))
        );
    }

    #[test]
    fn every_429_and_503_says_when_to_come_back() {
        for code in Code::ALL {
            if matches!(code.status(), 429 | 503) {
                assert!(
                    Refusal::new(*code, "").retry_after.is_some(),
                    "{}",
                    code.as_str()
                );
            }
        }
    }
}
