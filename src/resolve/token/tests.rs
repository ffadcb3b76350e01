use std::sync::OnceLock;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::config::TokenKeys;
use crate::model::Secret;

const HEADER: &str = r#"{"alg":"HS256"}"#;
const SECRET: &[u8] = b"a secret of thirty-two bytes or more";

/// One issuer with a shared secret: nothing is ever fetched.
fn tokens() -> &'static Tokens {
    static TOKENS: OnceLock<(Runtime, Arc<Tokens>)> = OnceLock::new();
    &TOKENS
        .get_or_init(|| {
            let control = crate::runtime::control_plane().unwrap();
            let issuer = TokenIssuer {
                issuer: "us".to_owned(),
                audience: vec!["app".to_owned()],
                algorithms: vec![TokenAlgorithm::HS256],
                keys: TokenKeys::Hmac(Secret::new(SECRET.to_vec())),
                claim: vec!["t".to_owned()],
                claim_required: true,
                cookie: None,
            };
            let (handle, clock) = (control.handle().clone(), Clock::system());
            let metrics = Metrics::new(1).unwrap();
            let made = Tokens::new(&[issuer], JwksTimings::default(), handle, clock, metrics);
            (control, made.unwrap())
        })
        .1
}

fn sign(header: &str, payload: &str) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn good() -> String {
    sign(HEADER, r#"{"iss":"us","aud":"app","exp":9e9,"t":"acme"}"#)
}

fn is_valid(raw: &str) -> bool {
    matches!(tokens().peek(raw), Some(TokenVerdict::Valid { .. }))
}

fn is_invalid(raw: &str) -> bool {
    matches!(tokens().peek(raw), Some(TokenVerdict::Invalid(_)))
}

#[test]
fn the_token_that_the_others_here_are_made_from_is_valid() {
    assert!(is_valid(&good()));
}

#[test]
fn any_changed_bit_is_refused() {
    let good = good();
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone().into_bytes();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = String::from_utf8(changed) {
            assert!(!is_valid(&changed), "{changed}");
        }
    }
}

#[test]
fn whatever_stands_where_the_signature_was_the_token_stays_ours() {
    let good = good();
    let (message, signature) = good.rsplit_once('.').unwrap();
    for cut in 0..signature.len() {
        assert!(is_invalid(&format!("{message}.{}", &signature[..cut])));
    }
}

#[test]
fn nesting_is_read_to_its_bound_and_no_deeper() {
    // The claim's own object is one level; a value inside the payload begins at the second.
    let nested =
        |levels: usize| format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels));
    assert!(json::Object::parse(nested(31).as_bytes()).is_ok());
    assert!(json::Object::parse(nested(32).as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_text_panics_or_is_valid(raw in any::<String>()) {
        prop_assert!(!is_valid(&raw));
    }

    #[test]
    fn no_text_shaped_like_a_token_is_valid(raw in "eyJ[A-Za-z0-9_=%. -]{0,60}\\.eyJ[A-Za-z0-9_=%. -]{0,60}\\.[A-Za-z0-9_=%. -]{0,60}") {
        prop_assert!(!is_valid(&raw));
    }

    #[test]
    fn no_payload_panics_however_it_is_signed(header in any::<String>(), payload in any::<String>()) {
        for token in [sign(&header, &payload), sign(HEADER, &payload)] {
            prop_assert!(!is_valid(&token));
        }
    }

    #[test]
    fn only_the_right_signature_is_valid(signature in prop::collection::vec(any::<u8>(), 0..64)) {
        let good = good();
        let message = good.rsplit_once('.').unwrap().0;
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        prop_assert!(is_invalid(&forged));
    }

    #[test]
    fn whatever_is_put_behind_a_token_it_stays_ours(tail in "[^A-Za-z0-9]?[ -~]{0,20}") {
        let raw = format!("{}.{tail}", good().rsplit_once('.').unwrap().0);
        prop_assert!(is_invalid(&raw) || raw == good(), "{raw}");
    }

    #[test]
    fn claims_of_any_kind_are_valid_only_with_every_rule_kept(
        exp in prop_oneof![Just("9e9"), Just("\"9e9\""), Just("1"), Just("null"), Just("1e999"), Just("{}")],
        aud in prop_oneof![Just("\"app\""), Just("[\"x\",\"app\"]"), Just("[]"), Just("\"x\""), Just("null")],
        nbf in prop_oneof![Just("0"), Just("9e9"), Just("\"0\""), Just("null")],
        name in prop_oneof![Just("\"acme\""), Just("[]"), Just("{}"), Just("null"), Just("7")],
    ) {
        let payload = format!(r#"{{"iss":"us","aud":{aud},"exp":{exp},"nbf":{nbf},"t":{name}}}"#);
        let keeps = exp == "9e9" && aud.contains("app") && nbf == "0" && name != "{}" && name != "null";
        let valid = is_valid(&sign(HEADER, &payload));
        prop_assert_eq!(valid, keeps, "{}", payload);
    }
}
