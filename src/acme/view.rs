//! Orders and authorizations of the library in the words of the seam.

use instant_acme::{
    AuthorizationStatus, Challenge, ChallengeStatus, ChallengeType, Identifier, OrderState as Told,
    OrderStatus,
};

use super::fault;
use super::{AuthorizationState, AuthorizationView, OfferedChallenge, OrderState, OrderView};
use crate::model::challenge::is_token;
use crate::model::{ChallengeKind, Hostname};

/// An order without what its authorizations say.
pub(super) fn order(told: &Told) -> OrderView {
    OrderView {
        state: match told.status {
            OrderStatus::Pending => OrderState::Pending,
            OrderStatus::Ready => OrderState::Ready,
            OrderStatus::Processing => OrderState::Processing,
            OrderStatus::Valid => OrderState::Valid,
            OrderStatus::Invalid => OrderState::Invalid,
        },
        authorizations: Vec::with_capacity(told.authorizations.len()),
        problem: told.error.as_ref().map(fault::view),
        retry_after: None,
    }
}

/// `None` for what is no DNS name.
pub(super) fn authorization(
    told: &instant_acme::AuthorizationState,
    thumbprint: &str,
) -> Option<AuthorizationView> {
    let identifier = told.identifier();
    let Identifier::Dns(name) = identifier.identifier else {
        return None;
    };
    let (bare, starred) = match name.strip_prefix("*.") {
        Some(parent) => (parent, true),
        None => (name.as_str(), false),
    };
    let offered = |challenge| offered(challenge, thumbprint);
    let mut challenges: Vec<_> = told.challenges.iter().filter_map(offered).collect();
    // CAs shuffle them, so that nobody relies on their order; each look shows the same all the same.
    challenges.sort_by_key(|challenge| challenge.kind);
    Some(AuthorizationView {
        name: Hostname::parse(bare).ok()?,
        wildcard: identifier.wildcard || starred,
        state: match told.status {
            AuthorizationStatus::Pending => AuthorizationState::Pending,
            AuthorizationStatus::Valid => AuthorizationState::Valid,
            AuthorizationStatus::Invalid
            | AuthorizationStatus::Revoked
            | AuthorizationStatus::Expired
            | AuthorizationStatus::Deactivated => AuthorizationState::Invalid,
        },
        challenges,
    })
}

/// `None` for kinds that we do not know, and for tokens that nobody may put into a path.
fn offered(told: &Challenge, thumbprint: &str) -> Option<OfferedChallenge> {
    if !is_token(&told.token) {
        return None;
    }
    Some(OfferedChallenge {
        kind: known(&told.r#type)?,
        url: told.url.clone(),
        key_authorization: format!("{}.{thumbprint}", told.token),
        token: told.token.clone(),
        answered: told.status != ChallengeStatus::Pending,
        problem: told.error.as_ref().map(fault::view),
    })
}

fn known(told: &ChallengeType) -> Option<ChallengeKind> {
    match told {
        ChallengeType::Http01 => Some(ChallengeKind::Http01),
        ChallengeType::TlsAlpn01 => Some(ChallengeKind::TlsAlpn01),
        ChallengeType::Dns01 => Some(ChallengeKind::Dns01),
        _ => None,
    }
}

/// The library's name for a kind.
pub(super) fn kind(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<AuthorizationView> {
        authorization(
            &serde_json::from_str(text).expect("an authorization"),
            "print",
        )
    }

    #[test]
    fn g15_kinds_that_nobody_knows_and_tokens_that_are_paths_are_left_out() {
        let view = read(
            r#"{"identifier": {"type": "dns", "value": "shop.example"}, "status": "pending",
                "challenges": [
                {"type": "http-01", "url": "https://ca/1", "status": "pending", "token": "../../../../../../etc/passwd"},
                {"type": "http-01", "url": "https://ca/2", "status": "pending", "token": "short"},
                {"type": "dns-account-01", "url": "https://ca/3", "status": "pending", "token": "abcdefghijklmnopqrstuv"},
                {"type": "dns-01", "url": "https://ca/4", "status": "invalid", "token": "abcdefghijklmnopqrstuv",
                 "error": {"type": "urn:ietf:params:acme:error:dns", "detail": "no answer"}}]}"#,
        )
        .expect("a name");
        let [challenge] = &view.challenges[..] else {
            panic!("{view:?}");
        };
        assert_eq!(challenge.kind, ChallengeKind::Dns01);
        assert_eq!(challenge.key_authorization, "abcdefghijklmnopqrstuv.print");
        assert!(challenge.answered);
        let problem = challenge.problem.as_ref().expect("a problem");
        assert_eq!(problem.kind, "dns");
        assert!(!view.wildcard);
    }

    #[test]
    fn g15_a_token_that_is_published_is_one_that_is_answered() {
        for length in [1, 15, 16, 21, 22, 43, 128, 256, 257, 1024] {
            let token = "a".repeat(length);
            let view = read(&format!(
                r#"{{"identifier": {{"type": "dns", "value": "shop.example"}}, "status": "pending", "challenges": [
                {{"type": "http-01", "url": "https://ca/1", "status": "pending", "token": "{token}"}}]}}"#
            ));
            let offered = !view.expect("a name").challenges.is_empty();
            assert_eq!(offered, is_token(&token), "{length}");
            assert_eq!(offered, (16..=256).contains(&length), "{length}");
        }
    }

    #[test]
    fn addresses_are_no_names() {
        let ip = r#"{"identifier": {"type": "ip", "value": "192.0.2.1"}, "status": "pending", "challenges": []}"#;
        assert_eq!(read(ip), None);
        let star = r#"{"identifier": {"type": "dns", "value": "a.example"}, "wildcard": true, "status": "revoked", "challenges": []}"#;
        let star = read(star).expect("a name");
        assert!(star.wildcard);
        assert_eq!(star.state, AuthorizationState::Invalid);
    }
}
