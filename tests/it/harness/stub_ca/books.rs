//! Accounts, orders and authorizations, and how they are shown (RFC 8555 section 7.1).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::issue::Issued;
use super::jws::{Fault, Jwk};

/// All that the CA knows. Numbers are never given twice.
#[derive(Default)]
pub(super) struct Books {
    /// Where it is: `https://host:port`.
    pub(super) base: String,
    last: u64,
    pub(super) accounts: BTreeMap<u64, Account>,
    pub(super) orders: BTreeMap<u64, Placed>,
    pub(super) proofs: BTreeMap<u64, Proof>,
    pub(super) nonces: Vec<String>,
    /// How often an account got another key.
    pub(super) key_changes: usize,
    /// Certificate ids that an order has taken the place of.
    pub(super) replaced: Vec<String>,
}

pub(super) struct Account {
    pub(super) key: Jwk,
    pub(super) contact: Value,
}

/// An order as it was placed.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) account: u64,
    /// As in the order, `*.` in front of wildcards.
    pub(crate) names: Vec<String>,
    pub(crate) profile: Option<String>,
    /// The id of the certificate that it takes the place of (RFC 9773 section 4.1).
    pub(crate) replaces: Option<String>,
    pub(super) repeats: bool,
    pub(super) proofs: Vec<u64>,
    pub(super) certificate: Option<Issued>,
    /// The certificate is there and not shown: the order is `processing`.
    pub(super) held: bool,
}

impl Placed {
    /// The certificate that it got.
    pub(crate) fn issued(&self) -> Option<&Issued> {
        self.certificate.as_ref().filter(|_| !self.held)
    }
}

/// An authorization.
pub(super) struct Proof {
    pub(super) name: String,
    pub(super) wildcard: bool,
    pub(super) token: String,
    /// `pending`, `valid` or `invalid`
    pub(super) status: &'static str,
    /// The kind of challenge that was answered, and what was wrong with it.
    pub(super) answered: Option<(String, Option<Value>)>,
}

impl Books {
    pub(super) fn at(base: String) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn nonce(&mut self) -> String {
        let nonce = format!("nonce-{}", self.number());
        self.nonces.push(nonce.clone());
        nonce
    }

    /// A new authorization for `name`.
    pub(super) fn prove(&mut self, name: &str) -> u64 {
        let number = self.number();
        let proof = Proof {
            name: name.trim_start_matches("*.").to_owned(),
            wildcard: name.starts_with("*."),
            token: format!("token-{number:0>22}"),
            status: "pending",
            answered: None,
        };
        self.proofs.insert(number, proof);
        number
    }

    pub(super) fn account(&self, url: &str) -> Result<(u64, &Account), Fault> {
        let known = url
            .strip_prefix(&format!("{}/account/", self.base))
            .and_then(|number| number.parse().ok())
            .and_then(|number| Some((number, self.accounts.get(&number)?)));
        known.ok_or_else(|| Fault(400, "accountDoesNotExist", url.to_owned()))
    }

    /// An order of this account's.
    pub(super) fn order(&mut self, number: u64, account: u64) -> Result<&mut Placed, Fault> {
        let missing = || Fault(404, "malformed", "no such order".to_owned());
        let order = self.orders.get_mut(&number).ok_or_else(missing)?;
        match order.account == account {
            true => Ok(order),
            false => Err(Fault(403, "unauthorized", "another's order".to_owned())),
        }
    }

    pub(super) fn status(&self, order: &Placed) -> &'static str {
        let is = |status: &str| {
            let mut proofs = order.proofs.iter();
            proofs.any(|number| self.proofs[number].status == status)
        };
        match () {
            () if is("invalid") => "invalid",
            () if is("pending") => "pending",
            () if order.held => "processing",
            () if order.certificate.is_some() => "valid",
            () => "ready",
        }
    }

    pub(super) fn show_order(&self, number: u64) -> Value {
        let order = &self.orders[&number];
        let base = &self.base;
        let status = self.status(order);
        let named = |name: &String| json!({ "type": "dns", "value": name });
        let at = |proof: &u64| format!("{base}/authz/{proof}");
        let mut shown = json!({
            "status": status,
            "expires": "2100-01-01T00:00:00Z",
            "identifiers": order.names.iter().map(named).collect::<Vec<_>>(),
            "authorizations": order.proofs.iter().map(at).collect::<Vec<_>>(),
            "finalize": format!("{base}/finalize/{number}"),
        });
        if status == "valid" {
            shown["certificate"] = format!("{base}/certificate/{number}").into();
        }
        if let Some(profile) = &order.profile {
            shown["profile"] = profile.as_str().into();
        }
        if let Some(replaces) = order.replaces.as_ref().filter(|_| order.repeats) {
            shown["replaces"] = replaces.as_str().into();
        }
        shown
    }

    pub(super) fn show_proof(&self, number: u64) -> Value {
        let proof = &self.proofs[&number];
        let kinds: &[&str] = match proof.wildcard {
            true => &["dns-01"],
            false => &["http-01", "tls-alpn-01", "dns-01"],
        };
        let challenges = kinds.iter().map(|kind| self.show_challenge(number, kind));
        let mut shown = json!({
            "identifier": { "type": "dns", "value": proof.name },
            "status": proof.status,
            "expires": "2100-01-01T00:00:00Z",
            "challenges": challenges.collect::<Vec<_>>(),
        });
        if proof.wildcard {
            shown["wildcard"] = true.into();
        }
        shown
    }

    pub(super) fn show_challenge(&self, number: u64, kind: &str) -> Value {
        let proof = &self.proofs[&number];
        let answered = proof.answered.as_ref().filter(|(of, _)| of == kind);
        let mut shown = json!({
            "type": kind,
            "url": format!("{}/challenge/{number}/{kind}", self.base),
            "token": proof.token,
            "status": answered.map_or("pending", |_| proof.status),
        });
        if let Some((_, Some(problem))) = answered {
            shown["error"] = problem.clone();
        }
        shown
    }
}
