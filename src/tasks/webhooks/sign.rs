//! What makes a receiver believe an event: the Standard Webhooks scheme (github.com/standard-webhooks/standard-webhooks, specification
//! 1.0.0, "Symmetric signatures"), so that its libraries can check it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::model::Secret;
use crate::seal::SealError;

/// Bytes of a secret; the scheme takes 24 to 64.
const SECRET_LEN: usize = 32;

/// Draws a secret.
pub fn draw_secret() -> Result<Secret, SealError> {
    let mut bytes = vec![0; SECRET_LEN];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(Secret::new(bytes))
}

/// The secret as receivers' libraries take it: `whsec_` and base64.
pub fn secret_text(secret: &Secret) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(secret.expose()));
    Zeroizing::new(format!("whsec_{}", *encoded))
}

/// The value of `webhook-signature`: one signature for each of `secrets`, over the id, the time of the attempt in seconds since 1970
/// and the body. Who has the old secret or the new one finds his own among them.
pub(super) fn signatures(secrets: &[Secret], id: &str, seconds: i64, body: &str) -> String {
    let signed = format!("{id}.{seconds}.{body}");
    let each = secrets.iter().map(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(tag))
    });
    each.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn signatures_are_those_of_the_scheme() {
        let secret = BASE64_STANDARD
            .decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .unwrap();
        let body = r#"{"test": 2432232314}"#;
        let (id, seconds) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let one = signatures(&[Secret::new(secret.clone())], id, seconds, body);
        assert_eq!(one, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let other = Secret::new(vec![1; 32]);
        let both = signatures(&[other, Secret::new(secret)], id, seconds, body);
        assert!(both.ends_with(&format!(" {one}")), "{both}");
    }

    #[test]
    fn a_secret_is_256_bits_and_none_is_drawn_twice() {
        let (one, other) = (draw_secret().unwrap(), draw_secret().unwrap());
        assert!(one != other);
        let text = secret_text(&one);
        let encoded = text.strip_prefix("whsec_").unwrap();
        assert_eq!(BASE64_STANDARD.decode(encoded).unwrap(), one.expose());
        assert_eq!(one.expose().len(), 32);
    }
}
