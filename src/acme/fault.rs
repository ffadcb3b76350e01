//! From what the library and the CA say went wrong to our own words.

use std::time::Duration;

use http::StatusCode;
use instant_acme::{Error, Problem};

use super::exchange::Last;
use super::{AcmeError, CaProblem};

/// The longest text of a CA's that is kept, in bytes; there is a line for each of up to a hundred names.
const MAX_DETAIL: usize = 4096;
const MAX_KIND: usize = 64;

/// What `error` means, which came with the answer `last` or without one.
pub(super) fn fault(error: Error, last: &Last) -> AcmeError {
    let retry_after = last.retry_after;
    match error {
        Error::Api(problem) => refused(&problem, last),
        Error::KeyRejected | Error::Crypto => AcmeError::Unusable {
            what: "the key of the account cannot be used: forget the account, another is made"
                .to_owned(),
        },
        error if last.status == Some(StatusCode::TOO_MANY_REQUESTS) => AcmeError::RateLimited {
            problem: CaProblem {
                kind: "rateLimited".to_owned(),
                detail: error.to_string(),
            },
            retry_after,
        },
        error => unavailable(error, retry_after),
    }
}

/// As [`fault`], for the request by which an order or an authorization of it is looked at.
pub(super) fn order_fault(error: Error, last: &Last) -> AcmeError {
    // Not the answer to our HEAD for a nonce.
    let asked = last.method == http::Method::POST;
    match fault(error, last) {
        lost @ AcmeError::AccountUnknown => lost,
        _ if asked && last.status == Some(StatusCode::NOT_FOUND) => AcmeError::OrderUnknown,
        // An order of another account: ours, before the CA forgot it.
        AcmeError::Refused(problem) if asked && problem.kind == "unauthorized" => {
            AcmeError::OrderUnknown
        }
        other => other,
    }
}

pub(super) fn unavailable(
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    retry_after: Option<Duration>,
) -> AcmeError {
    AcmeError::Unavailable {
        source: source.into(),
        retry_after,
    }
}

fn refused(problem: &Problem, last: &Last) -> AcmeError {
    let status = last.status.map(|status| status.as_u16());
    let status = status.or(problem.status).unwrap_or_default();
    let retry_after = last.retry_after;
    let view = view(problem);
    match view.kind.as_str() {
        "rateLimited" => AcmeError::RateLimited {
            problem: view,
            retry_after,
        },
        "accountDoesNotExist" => AcmeError::AccountUnknown,
        // A nonce that is refused again and again is the CA's trouble, too.
        "serverInternal" | "badNonce" => unavailable(problem.clone(), retry_after),
        _ if status == 429 => AcmeError::RateLimited {
            problem: view,
            retry_after,
        },
        _ if status >= 500 => unavailable(problem.clone(), retry_after),
        _ => AcmeError::Refused(view),
    }
}

/// A problem in our own words: the text is a stranger's, so it is short and has no control characters.
pub(super) fn view(problem: &Problem) -> CaProblem {
    let kind = problem.r#type.as_deref().unwrap_or("malformed");
    let mut detail = problem.detail.clone().unwrap_or_default();
    for part in &problem.subproblems {
        if !detail.is_empty() {
            detail.push_str("; ");
        }
        detail.push_str(&part.to_string());
    }
    CaProblem {
        kind: plain(last_part(kind), MAX_KIND),
        detail: plain(&detail, MAX_DETAIL),
    }
}

/// `urn:ietf:params:acme:error:dns` is `dns`.
fn last_part(kind: &str) -> &str {
    kind.rsplit([':', '/']).next().unwrap_or(kind)
}

fn plain(text: &str, longest: usize) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut plain: String = text.chars().map(clean).collect();
    plain.truncate(plain.floor_char_boundary(longest));
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, kind: &str) -> AcmeError {
        let text = format!(
            r#"{{"type": "urn:ietf:params:acme:error:{kind}", "detail": "so\nit is", "status": {status}}}"#
        );
        let problem: Problem = serde_json::from_str(&text).expect("a problem");
        let last = Last {
            method: http::Method::POST,
            status: StatusCode::from_u16(status).ok(),
            retry_after: Some(Duration::from_secs(9)),
            location: None,
        };
        order_fault(Error::Api(problem), &last)
    }

    #[test]
    fn g13_every_problem_has_its_meaning() {
        let nine = Some(Duration::from_secs(9));
        let limited = answered(403, "rateLimited");
        assert!(matches!(&limited, AcmeError::RateLimited { .. }));
        assert_eq!(limited.retry_after(), nine);
        assert_eq!(
            limited.to_string(),
            "the CA takes no more for now: so it is"
        );
        assert!(matches!(
            answered(429, "malformed"),
            AcmeError::RateLimited { .. }
        ));
        for (status, kind) in [
            (500, "serverInternal"),
            (503, "malformed"),
            (400, "badNonce"),
        ] {
            let away = answered(status, kind);
            assert!(matches!(&away, AcmeError::Unavailable { .. }), "{kind}");
            assert_eq!(away.retry_after(), nine);
        }
        assert!(matches!(
            answered(400, "accountDoesNotExist"),
            AcmeError::AccountUnknown
        ));
        assert!(matches!(
            answered(404, "malformed"),
            AcmeError::OrderUnknown
        ));
        assert!(matches!(
            answered(403, "unauthorized"),
            AcmeError::OrderUnknown
        ));
        for kind in [
            "caa",
            "dns",
            "connection",
            "rejectedIdentifier",
            "badCSR",
            "externalAccountRequired",
            "userActionRequired",
            "unsupportedIdentifier",
            "orderNotReady",
            "badPublicKey",
            "tls",
        ] {
            let refused = answered(403, kind);
            assert!(
                matches!(&refused, AcmeError::Refused(problem) if problem.kind == kind),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn an_answer_that_is_no_problem_is_the_cas_trouble() {
        let not_json = || Error::Json(serde_json::from_str::<u8>("<html>").expect_err("no JSON"));
        let last = |status| Last {
            status: StatusCode::from_u16(status).ok(),
            ..Last::default()
        };
        let meant = |status| order_fault(not_json(), &last(status));
        assert!(matches!(meant(502), AcmeError::Unavailable { .. }));
        assert!(matches!(meant(200), AcmeError::Unavailable { .. }));
        assert!(matches!(meant(429), AcmeError::RateLimited { .. }));
        // The answer to a HEAD or GET says nothing of an order.
        assert!(matches!(meant(404), AcmeError::Unavailable { .. }));
    }

    #[test]
    fn what_a_ca_says_is_cut_at_a_bound() {
        let long = "ü".repeat(MAX_DETAIL);
        let problem: Problem =
            serde_json::from_str(&format!(r#"{{"detail": "{long}"}}"#)).expect("a problem");
        let view = view(&problem);
        assert_eq!(view.detail.len(), MAX_DETAIL);
        assert_eq!(view.kind, "malformed");
    }
}
