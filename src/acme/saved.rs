//! An account as it is kept: in the library's own format, so that it can be taken elsewhere, with what the library does not know behind
//! it: a key that the account is to get, and what the CA was told of whom to write to.

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_key_pkcs8: Option<&'t str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contact: Option<Vec<String>>,
}

/// What was kept.
#[derive(Clone)]
pub(super) struct Saved {
    /// The account's address.
    pub(super) url: String,
    /// Its key, PKCS#8 in DER.
    pub(super) key: Secret,
    /// The directory of its CA.
    pub(super) directory: String,
    /// The key that it is to get. Whether the CA has been told of it, and has taken it, only the CA knows.
    pub(super) next: Option<Secret>,
    /// What the CA was told of whom to write to; nothing where that is not known.
    pub(super) contact: Option<Vec<String>>,
}

impl Saved {
    /// What the reader has to say could show parts of the secret: it is left out.
    pub(super) fn read(secret: &Secret) -> Result<Self, AcmeError> {
        let text: Option<Text<'_>> = serde_json::from_slice(secret.expose()).ok();
        let key = |text: &str| BASE64.decode(text).ok().map(Secret::new);
        let read = text.and_then(|text| {
            Some(Self {
                url: text.id.to_owned(),
                key: key(text.key_pkcs8)?,
                directory: text.directory.to_owned(),
                next: match text.next_key_pkcs8 {
                    Some(next) => Some(key(next)?),
                    None => None,
                },
                contact: text.contact,
            })
        });
        read.ok_or_else(|| AcmeError::Unusable {
            what: "the account kept cannot be read: forget it, another is made".to_owned(),
        })
    }

    pub(super) fn write(&self) -> Result<Secret, AcmeError> {
        let encoded = |key: &Secret| Zeroizing::new(BASE64.encode(key.expose()));
        let (key, next) = (encoded(&self.key), self.next.as_ref().map(encoded));
        let text = Text {
            id: &self.url,
            key_pkcs8: &key,
            directory: &self.directory,
            next_key_pkcs8: next.as_ref().map(|next| next.as_str()),
            contact: self.contact.clone(),
        };
        // Its final size from the start: growing would leave a copy of a key behind. What is quoted may be six times as long (RFC 8259).
        let contact = self.contact.iter().flatten().map(|it| 3 + it.len() * 6);
        let plain = (self.url.len() + self.directory.len()) * 6 + contact.sum::<usize>();
        let mut written = Vec::with_capacity(256 + key.len() * 2 + plain);
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
            next: Some(AccountKey::generate().expect("a key").secret),
            contact: Some(vec!["mailto:\"ops\"@example.com".to_owned()]),
        };
        let written = saved.write().expect("text");
        let read = Saved::read(&written).expect("what was written");
        assert_eq!(read.url, saved.url);
        assert_eq!(read.directory, saved.directory);
        assert_eq!(read.contact, saved.contact);
        assert!(read.key == key && read.next == saved.next);
        let library: AccountCredentials =
            serde_json::from_slice(written.expose()).expect("credentials");
        assert_eq!(library.private_key().secret_pkcs8_der(), key.expose());
    }

    #[test]
    fn what_was_kept_before_there_was_more_to_keep_is_read() {
        let key = AccountKey::generate().expect("a key").secret;
        let key = BASE64.encode(key.expose());
        let text = format!(r#"{{"id": "x", "key_pkcs8": "{key}", "directory": "y"}}"#);
        let read = Saved::read(&Secret::new(text.into_bytes())).expect("an account");
        assert!(read.next.is_none() && read.contact.is_none());
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
