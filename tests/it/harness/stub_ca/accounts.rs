//! Accounts: made, bound, changed (RFC 8555 section 7.3).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::Shared;
use super::answer::{Answer, located, shown};
use super::books::Account;
use super::jws::{Fault, Jwk, Signed, malformed};

impl Shared {
    pub(super) fn spend_nonce(&self, signed: &Signed) -> Result<(), Fault> {
        let refused = self.told().refuses_nonces;
        let nonce = signed.header["nonce"].as_str().unwrap_or_default();
        let mut books = self.books.lock().unwrap();
        let known = books.nonces.iter().position(|it| it == nonce);
        match known {
            Some(at) if !refused => {
                books.nonces.swap_remove(at);
                Ok(())
            }
            _ => Err(Fault(400, "badNonce", nonce.to_owned())),
        }
    }

    pub(super) fn new_account(&self, signed: &Signed, url: &str) -> Answer {
        let key = Jwk::read(&signed.header["jwk"])?;
        signed.verify(&key)?;
        let asked = signed.json()?;
        let rules = self.told();
        let mut books = self.books.lock().unwrap();
        let known = books.accounts.iter().find(|(_, it)| it.key == key);
        if let Some((number, _)) = known {
            let url = format!("{}/account/{number}", books.base);
            return Ok(located(shown(200, &json!({ "status": "valid" })), &url));
        }
        if asked["onlyReturnExisting"] == true {
            return Err(Fault(400, "accountDoesNotExist", String::new()));
        }
        if asked["termsOfServiceAgreed"] != true {
            return Err(Fault(403, "userActionRequired", String::new()));
        }
        if let Some((kid, shared)) = &rules.external_account {
            let binding = &asked["externalAccountBinding"];
            if binding.is_null() {
                return Err(Fault(403, "externalAccountRequired", String::new()));
            }
            let binding = Signed::from(binding)?;
            binding.expect("kid", kid)?;
            binding.expect("url", url)?;
            binding.verify_shared(shared)?;
            if Jwk::read(&binding.json()?)? != key {
                return Err(malformed("the binding is for another key"));
            }
        }
        let number = books.number();
        let contact = asked["contact"].clone();
        books.accounts.insert(number, Account { key, contact });
        let url = format!("{}/account/{number}", books.base);
        Ok(located(shown(201, &json!({ "status": "valid" })), &url))
    }

    pub(super) fn change_account(&self, account: u64, signed: &Signed) -> Answer {
        let mut books = self.books.lock().unwrap();
        let known = books.accounts.get_mut(&account).unwrap();
        if !signed.payload.is_empty() {
            known.contact = signed.json()?["contact"].clone();
        }
        Ok(shown(200, &json!({ "status": "valid" })))
    }

    pub(super) fn change_key(&self, account: u64, signed: &Signed, url: &str) -> Answer {
        let inner = Signed::from(&signed.json()?)?;
        let new = Jwk::read(&inner.header["jwk"])?;
        inner.expect("url", url)?;
        inner.verify(&new)?;
        let asked = inner.json()?;
        let mut books = self.books.lock().unwrap();
        let named = asked["account"].as_str().unwrap_or_default();
        let (number, known) = books.account(named)?;
        if number != account || Jwk::read(&asked["oldKey"])? != known.key {
            return Err(malformed("it is about another account"));
        }
        books.accounts.get_mut(&account).unwrap().key = new;
        books.key_changes += 1;
        Ok(shown(200, &json!({ "status": "valid" })))
    }
}
