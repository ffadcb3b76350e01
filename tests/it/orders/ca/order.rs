//! An order, and what the CA shows of it.

use vestibule::acme::{AuthorizationState, AuthorizationView, OfferedChallenge, OrderState};
use vestibule::model::{ChallengeKind, DomainPattern, Hostname};

use super::problem;

/// One order.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) name: DomainPattern,
    pub(crate) at: i64,
    pub(crate) replaces: bool,
    pub(crate) told: Option<ChallengeKind>,
    pub(crate) state: OrderState,
    pub(super) chain: String,
    /// Forgotten by a restart.
    pub(super) lost: bool,
}

impl Order {
    /// Whether the CA still works on it.
    pub(super) fn is_open(&self) -> bool {
        !self.lost && !matches!(self.state, OrderState::Valid | OrderState::Invalid)
    }
}

pub(super) fn plain(pattern: &DomainPattern) -> Hostname {
    let (DomainPattern::Exact(name) | DomainPattern::Wildcard(name)) = pattern;
    name.clone()
}

pub(super) fn authorization(order: &Order, url: &str) -> AuthorizationView {
    let wildcard = matches!(order.name, DomainPattern::Wildcard(_));
    let state = match order.state {
        OrderState::Pending => AuthorizationState::Pending,
        OrderState::Invalid => AuthorizationState::Invalid,
        _ => AuthorizationState::Valid,
    };
    let offered = |kind: ChallengeKind| OfferedChallenge {
        kind,
        url: format!("{url}/{}", kind.as_str()),
        token: format!("token-{url}"),
        key_authorization: format!("token-{url}.print"),
        answered: order.told == Some(kind),
        problem: (state == AuthorizationState::Invalid)
            .then(|| problem("unauthorized", "not shown")),
    };
    let kinds = ChallengeKind::ALL.into_iter();
    AuthorizationView {
        name: plain(&order.name),
        wildcard,
        state,
        challenges: kinds
            .filter(|kind| !wildcard || *kind == ChallengeKind::Dns01)
            .map(offered)
            .collect(),
    }
}
