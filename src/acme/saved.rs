//! An account as it is kept: in the library's own format, so that it can be taken elsewhere.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::AcmeError;
use crate::model::Secret;

#[derive(Serialize, Deserialize)]
struct Text<'t> {
    id: &'t str,
    key_pkcs8: &'t str,
    directory: &'t str,
}

/// What was kept.
pub(super) struct Saved {
    /// The account's address.
    pub(super) url: String,
    /// Its key, PKCS#8 in DER.
    pub(super) key: Secret,
    /// The directory of its CA.
    pub(super) directory: String,
}

impl Saved {
    /// What the reader has to say could show parts of the secret: it is left out.
    pub(super) fn read(secret: &Secret) -> Result<Self, AcmeError> {
        let text: Option<Text<'_>> = serde_json::from_slice(secret.expose()).ok();
        let read = text.and_then(|text| {
            Some(Self {
                url: text.id.to_owned(),
                key: Secret::new(BASE64.decode(text.key_pkcs8).ok()?),
                directory: text.directory.to_owned(),
            })
        });
        read.ok_or_else(|| AcmeError::Unusable {
            what: "the account kept cannot be read: forget it, another is made".to_owned(),
        })
    }

    pub(super) fn write(&self) -> Result<Secret, AcmeError> {
        let key = Zeroizing::new(BASE64.encode(self.key.expose()));
        let text = Text {
            id: &self.url,
            key_pkcs8: &key,
            directory: &self.directory,
        };
        // Its final size from the start: growing would leave a copy of the key behind.
        let mut written = Vec::with_capacity(256 + key.len() + self.url.len() * 2);
        let done = serde_json::to_writer(&mut written, &text);
        done.map_err(|_| AcmeError::Unusable {
            what: "the account cannot be kept".to_owned(),
        })?;
        Ok(Secret::new(written))
    }
}

#[cfg(test)]
mod tests {
    use instant_acme::AccountCredentials;

    use super::super::jws::AccountKey;
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_by_us_and_by_the_library() {
        let key = AccountKey::generate().expect("a key").secret;
        let saved = Saved {
            url: "https://ca.example/acct/1".to_owned(),
            key: key.clone(),
            directory: "https://ca.example/dir".to_owned(),
        };
        let written = saved.write().expect("text");
        let read = Saved::read(&written).expect("what was written");
        assert_eq!(read.url, saved.url);
        assert_eq!(read.directory, saved.directory);
        assert!(read.key == key);
        let library: AccountCredentials =
            serde_json::from_slice(written.expose()).expect("credentials");
        assert_eq!(library.private_key().secret_pkcs8_der(), key.expose());
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        let text = br#"{"id": "x", "key_pkcs8": "c2VjcmV0$", "directory": "y"}"#;
        let refused = Saved::read(&Secret::new(text.to_vec()))
            .err()
            .expect("no key");
        assert!(!format!("{refused:?}").contains("c2Vj"));
    }
}
