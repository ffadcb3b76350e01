//! An issuer whose tokens an edge believes: the tenant stands in `tenant_id`, the cookie is `session`.
#![expect(
    clippy::unwrap_used,
    reason = "what cannot be made for a test fails it"
)]

use serde_json::{Value, json};
use vestibule::clock::Clock;

use super::edge::Plan;
use super::mint::Signer;

const NAME: &str = "https://auth.example.com";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Makes tokens.
pub(crate) struct Issuer {
    signer: Signer,
}

impl Issuer {
    /// One that shares a secret with the edge.
    pub(crate) fn with_secret() -> Self {
        Self::of(Signer::hs256(SECRET))
    }

    /// One that signs with this key.
    pub(crate) fn of(signer: Signer) -> Self {
        Self { signer }
    }

    /// The plan of an edge that believes it and holds the secret.
    pub(crate) fn believed_by(&self, plan: Plan) -> Plan {
        let file = plan.folder().join("issuer.key");
        std::fs::write(&file, SECRET).unwrap();
        self.believed_with(plan, &format!("hmac_secret_file = {file:?}"))
    }

    /// The plan of an edge that believes it and finds the keys as `keys` says.
    pub(crate) fn believed_with(&self, plan: Plan, keys: &str) -> Plan {
        plan.config(&format!(
            "[[routing.token]]\nissuer = {NAME:?}\naudience = [\"app\"]\nalgorithms = [{:?}]\n{keys}\n\
             claim = \"tenant_id\"\nclaim_required = false\ncookie = \"session\"\n",
            self.signer.algorithm()
        ))
    }

    /// A good token whose claim is this.
    pub(crate) fn names(&self, claim: impl Into<Value>) -> String {
        self.says(&json!({ "tenant_id": claim.into() }))
    }

    /// A token with these claims besides the usual, or in their place.
    pub(crate) fn says(&self, claims: &Value) -> String {
        let now = Clock::system().now().seconds();
        let mut all =
            json!({ "iss": NAME, "aud": "app", "sub": "somebody", "iat": now, "exp": now + 3600 });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.signer.token(&all)
    }
}
