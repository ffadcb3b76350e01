//! Certificate authorities: what we say to them, and what we make of their answers.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use vestibule::acme::{
    AcmeCa, AcmeError, AuthorizationState, AuthorizationView, Ca, CaAccount, NewOrder,
    OfferedChallenge, OpenedAccount, OrderState, OrderView, new_key, signing_request,
};
use vestibule::clock::Clock;
use vestibule::config::{AcmeIssuer, CertificateKey};
use vestibule::model::{ChallengeKind, DomainPattern};

use crate::harness::challtestsrv::MockDns;

mod harness;
mod pebble;
mod stub;
mod trouble;

fn ca(issuer: &AcmeIssuer) -> AcmeCa {
    AcmeCa::new(issuer, Clock::system()).unwrap()
}

async fn account(ca: &AcmeCa) -> OpenedAccount {
    ca.open_account(None).await.unwrap()
}

fn patterns(names: &[&str]) -> Vec<DomainPattern> {
    let parse = |name: &&str| DomainPattern::parse(name).unwrap();
    names.iter().map(parse).collect()
}

fn order(names: &[&str]) -> NewOrder {
    NewOrder {
        names: patterns(names),
        profile: None,
        replaces: None,
    }
}

/// Looks at an order until it has left a state.
async fn behind(account: &dyn CaAccount, url: &str, state: OrderState) -> OrderView {
    crate::harness::eventually("the order to go on", async || {
        let view = account.look(url).await.unwrap();
        (view.state != state).then_some(view)
    })
    .await
}

fn offered(authorization: &AuthorizationView, kind: ChallengeKind) -> &OfferedChallenge {
    let mut all = authorization.challenges.iter();
    all.find(|challenge| challenge.kind == kind).unwrap()
}

/// Puts where the CA's DNS and server have it what `challenge` asks for.
async fn meet(dns: &MockDns, name: &str, challenge: &OfferedChallenge) {
    let shown = &challenge.key_authorization;
    match challenge.kind {
        ChallengeKind::Http01 => {
            dns.leads_here(name).await;
            dns.answer_http(&challenge.token, shown).await;
        }
        ChallengeKind::TlsAlpn01 => {
            dns.leads_here(name).await;
            dns.answer_tls(name, shown).await;
        }
        ChallengeKind::Dns01 => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, shown.as_bytes());
            let value = BASE64_URL_SAFE_NO_PAD.encode(digest);
            dns.set_txt(&format!("_acme-challenge.{name}"), &value)
                .await;
        }
    }
}

/// An order from its placing to its certificate, with every name shown by `kind`.
async fn whole(
    account: &dyn CaAccount,
    dns: &MockDns,
    names: &[&str],
    kind: ChallengeKind,
) -> String {
    let url = account.place(&order(names)).await.unwrap();
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.authorizations.len(), names.len());
    for authorization in &view.authorizations {
        let challenge = offered(authorization, kind);
        meet(dns, authorization.name.as_str(), challenge).await;
        account.ready(&url, challenge).await.unwrap();
    }
    let view = behind(account, &url, OrderState::Pending).await;
    assert_eq!(view.state, OrderState::Ready, "{view:?}");
    let csr = csr(&patterns(names), CertificateKey::EcdsaP256);
    account.finalize(&url, &csr).await.unwrap();
    let view = behind(account, &url, OrderState::Processing).await;
    assert_eq!(view.state, OrderState::Valid, "{view:?}");
    account.certificate(&url).await.unwrap()
}

/// A request for a certificate for `names`, with a key of its own.
fn csr(names: &[DomainPattern], key: CertificateKey) -> Vec<u8> {
    signing_request(&new_key(key).unwrap(), names).unwrap()
}
