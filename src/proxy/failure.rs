//! What went wrong between sending a request on and the head of its answer, as a refusal.

use super::upload::{BodyWatch, Fate};
use super::worker::Shared;
use crate::decide;
use crate::model::{Causes, Code, LookupKey, Match, Refusal, TenantId};
use crate::upstream::SendError;

/// Whose doing a failed exchange was. The visitor's own body comes first: what it broke shows as a failure of the upstream too.
pub(super) fn of_sending(error: &SendError, watch: &BodyWatch) -> Refusal {
    match watch.fate.get() {
        Fate::TooLarge => return Refusal::new(Code::BodyTooLarge, "Send less at once."),
        Fate::Stalled => {
            return Refusal::new(Code::RequestTimeout, "The request body arrived too slowly.");
        }
        Fate::Broken => return Refusal::bad_request("The request body is malformed or broke off."),
        Fate::TrailersTooLarge => {
            let detail = "The request's trailers are too large.";
            return Refusal::new(Code::HeadersTooLarge, detail);
        }
        Fate::Open | Fate::Complete => {}
    }
    let detail = match error.code() {
        Code::LoopDetected => "The service is set up in a circle.",
        Code::UpstreamInvalid => {
            "Try again; if it happens again, tell the operator the request id."
        }
        _ => "Try again in a moment.",
    };
    Refusal::new(error.code(), detail).because(Causes(error))
}

/// Why a request that waited for its upstream was cut: its tenant is no longer served, or no longer under this name.
pub(super) async fn cut(shared: &Shared, tenant: Option<TenantId>) -> Refusal {
    let found = match tenant {
        Some(tenant) => shared.resolver.find(&LookupKey::Id(tenant)).await,
        None => Match::Absent,
    };
    let state = match found {
        Match::Found(route) => decide::check_state(&route, shared.clock.now()).err(),
        Match::Absent | Match::Unavailable => None,
    };
    state.unwrap_or_else(Refusal::unknown_tenant)
}
