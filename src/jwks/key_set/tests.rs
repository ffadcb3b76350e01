use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use TokenAlgorithm::{ES256, EdDSA, HS256, RS256, RS384};

/// RFC 7515 appendix A.2 and A.3, RFC 8037 appendix A.
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const ED_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn rsa() -> Value {
    json!({ "kty": "RSA", "kid": "k", "n": RSA_N, "e": "AQAB" })
}

fn ec() -> Value {
    json!({ "kty": "EC", "kid": "k", "crv": "P-256", "x": EC_X, "y": EC_Y })
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

fn read(jwk: &Value) -> (KeySet, Vec<RefusedKey>) {
    KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap()
}

#[track_caller]
fn refused(jwk: &Value, fault: KeyFault) {
    let (set, refused) = read(jwk);
    assert!(set.is_empty(), "{jwk}");
    assert_eq!(refused, [RefusedKey { index: 0, fault }], "{jwk}");
}

#[test]
fn f10_keys_that_prove_nothing_are_refused() {
    let short = &RSA_N[..340];
    refused(&with(rsa(), "n", json!(short)), KeyFault::RsaSize);
    refused(&with(rsa(), "n", json!("AQAB")), KeyFault::RsaSize);
    refused(&with(rsa(), "n", json!("")), KeyFault::RsaSize);
    refused(
        &with(rsa(), "n", json!(RSA_N.repeat(4) + RSA_N)),
        KeyFault::RsaSize,
    );
    for exponent in ["AQ", "Ag", "AQAA", "", "AAAA", "____________"] {
        refused(&with(rsa(), "e", json!(exponent)), KeyFault::RsaNumbers);
    }
    let even = format!("{}g", &RSA_N[..RSA_N.len() - 1]);
    refused(&with(rsa(), "n", json!(even)), KeyFault::RsaNumbers);
    refused(&with(ec(), "y", json!(EC_X)), KeyFault::OffCurve);
    refused(&with(ec(), "x", json!("AAAA")), KeyFault::OffCurve);
    let zero = "A".repeat(43);
    refused(
        &with(with(ec(), "x", json!(zero)), "y", json!(zero)),
        KeyFault::OffCurve,
    );
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AAAA" });
    refused(&okp, KeyFault::Ed25519);
    refused(
        &json!({ "kty": "oct", "k": "AAAA", "alg": "HS256" }),
        KeyFault::Symmetric,
    );
    refused(&with(rsa(), "d", json!("AQAB")), KeyFault::Private);
    for broken in [
        json!({}),
        json!(1),
        json!([]),
        with(rsa(), "kid", json!(1)),
        json!({ "kty": "RSA" }),
    ] {
        refused(&broken, KeyFault::Malformed);
    }
    refused(
        &with(rsa(), "n", json!(format!("{RSA_N}="))),
        KeyFault::Malformed,
    );
}

#[test]
fn a_doubled_member_spoils_its_key_and_no_other() {
    let text = format!(r#"{{"keys":[{{"kty":"OKP","kty":"EC"}},{}]}}"#, ec());
    let (set, refused) = KeySet::parse(text.as_bytes()).unwrap();
    assert_eq!(
        refused,
        [RefusedKey {
            index: 0,
            fault: KeyFault::Malformed
        }]
    );
    assert!(set.knows("k"));
}

#[test]
fn keys_that_are_none_of_our_business_are_left_out() {
    for jwk in [
        with(rsa(), "use", json!("enc")),
        with(rsa(), "key_ops", json!(["encrypt"])),
        with(rsa(), "alg", json!("RSA-OAEP")),
        with(ec(), "crv", json!("secp256k1")),
        with(rsa(), "kty", json!("AKP")),
        json!({ "kty": "OKP", "crv": "X25519", "x": ED_X }),
    ] {
        let (set, refused) = read(&jwk);
        assert!(set.is_empty() && refused.is_empty(), "{jwk}");
    }
}

#[test]
fn a_key_serves_its_own_kind_of_algorithm_only() {
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": ED_X });
    let all = [HS256, RS256, RS384, ES256, EdDSA];
    for (jwk, algorithms) in [
        (rsa(), &[RS256, RS384][..]),
        (with(rsa(), "alg", json!("RS384")), &[RS384]),
        (with(rsa(), "alg", json!("ES256")), &[]),
        (
            with(rsa(), "n", json!(format!("AAAA{RSA_N}"))),
            &[RS256, RS384],
        ),
        (ec(), &[ES256]),
        (okp, &[EdDSA]),
    ] {
        let set = read(&jwk).0;
        let serves = |kid| {
            all.into_iter()
                .filter(move |a| set.clone().candidates(kid, *a).count() == 1)
        };
        assert_eq!(
            serves.clone()(Some("k")).collect::<Vec<_>>(),
            algorithms,
            "{jwk}"
        );
        assert_eq!(
            serves.clone()(None).collect::<Vec<_>>(),
            algorithms,
            "{jwk}"
        );
        assert_eq!(serves(Some("K")).count(), 0);
    }
}

#[test]
fn the_signature_of_rfc_7515_a_2_is_right_and_no_changed_one_is() {
    use base64::Engine;
    let message = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let signature = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(signature)
        .unwrap();
    let set = read(&rsa()).0;
    let key = set.candidates(Some("k"), RS256).next().unwrap();
    assert!(key.verifies(RS256, message.as_bytes(), &signature));
    for algorithm in [RS384, HS256, ES256, EdDSA] {
        assert!(!key.verifies(algorithm, message.as_bytes(), &signature));
    }
    for bit in 0..signature.len() * 8 {
        let mut changed = signature.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.verifies(RS256, message.as_bytes(), &changed));
    }
}

#[test]
fn a_secret_shows_nothing() {
    let set = KeySet::hmac(Secret::new(b"canary-canary-canary".to_vec()));
    let shown = format!("{set:?}");
    assert!(
        !shown.contains("canary") && !shown.contains("99, 97"),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = KeySet::parse(&bytes);
    }

    #[test]
    fn no_jwk_panics(kty in "RSA|EC|OKP|oct", crv in "P-256|P-384|Ed25519", x in "[A-Za-z0-9_=-]{0,70}", y in "[A-Za-z0-9_-]{0,64}") {
        let jwk = json!({ "kty": kty, "crv": crv, "x": x, "y": y, "n": x, "e": y });
        let (set, refused) = read(&jwk);
        prop_assert!(set.is_empty() || refused.is_empty());
    }
}
