//! Whole orders at Pebble, which looks at challenges for real.

use x509_parser::pem::Pem;

use vestibule::acme::{new_key, signing_request};
use vestibule::config::ExternalAccount;
use vestibule::model::Secret;

use crate::harness::pebble::Pebble;

use super::*;

/// The names and the days of the first certificate of a chain.
fn facing(chain: &str) -> (Vec<String>, i64) {
    let pem = Pem::iter_from_buffer(chain.as_bytes()).next().unwrap();
    let pem = pem.unwrap();
    let parsed = pem.parse_x509().unwrap();
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    let named = |name: &x509_parser::extensions::GeneralName<'_>| match name {
        x509_parser::extensions::GeneralName::DNSName(name) => (*name).to_owned(),
        other => panic!("{other:?}"),
    };
    let mut names: Vec<_> = names.value.general_names.iter().map(named).collect();
    names.sort();
    let validity = parsed.validity();
    let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
    (names, seconds / 86_400)
}

#[tokio::test]
async fn g13_whole_orders_with_half_of_all_nonces_refused() {
    let pebble = Pebble::plan()
        .reject_nonces(50)
        .validity(10 * 86_400)
        .start()
        .await;
    let ca = ca(&pebble.issuer());
    let opened = account(&ca).await;
    for kind in ChallengeKind::ALL {
        let names = ["shop.example", "www.shop.example"];
        let chain = whole(&*opened.account, &pebble.dns, &names, kind).await;
        assert_eq!(facing(&chain).0, names);
        assert_eq!(facing(&chain).1, 9);
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    }
    let names = ["*.shop.example"];
    let dns = ChallengeKind::Dns01;
    let chain = whole(&*opened.account, &pebble.dns, &names, dns).await;
    assert_eq!(facing(&chain).0, names);
    assert_eq!(pebble.orders(), 4);
    assert!(pebble.log().contains("reject"), "half of them are refused");
}

#[tokio::test]
async fn g13_an_order_whose_validation_is_slow_is_waited_for() {
    let plan = Pebble::plan().validates_within(2).reject_nonces(50);
    let pebble = plan.start().await;
    let account = account(&ca(&pebble.issuer())).await.account;
    let names = ["a.example", "b.example", "c.example"];
    let dns = ChallengeKind::Dns01;
    let chain = whole(&*account, &pebble.dns, &names, dns).await;
    assert_eq!(facing(&chain).0, names);
    assert!(!pebble.log().contains("Disabling random VA sleeps"));
}

#[tokio::test]
async fn g16_an_order_is_finished_by_another_node() {
    let pebble = Pebble::plan().start().await;
    let one = ca(&pebble.issuer());
    let opened = account(&one).await;
    let saved = opened.credentials.unwrap();
    let names = ["shop.example"];
    let url = opened.account.place(&order(&names)).await.unwrap();
    let key = new_key(CertificateKey::EcdsaP256).unwrap();
    let view = opened.account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Dns01);
    meet(&pebble.dns, "shop.example", challenge).await;

    let other = ca(&pebble.issuer());
    let before = pebble.requests();
    let again = other.open_account(Some(&saved)).await.unwrap();
    assert_eq!(pebble.requests(), before, "nobody is asked");
    assert_eq!(again.url, opened.url);
    assert!(again.credentials.is_none());
    let seen = again.account.look(&url).await.unwrap();
    assert_eq!(seen.authorizations, view.authorizations);
    again.account.ready(&url, challenge).await.unwrap();
    let view = behind(&*again.account, &url, OrderState::Pending).await;
    let challenge = offered(&view.authorizations[0], ChallengeKind::Dns01);
    assert!(challenge.answered);
    // Once more is no failure: the first node may do so too.
    opened.account.ready(&url, challenge).await.unwrap();
    let csr = signing_request(&key, &patterns(&names)).unwrap();
    again.account.finalize(&url, &csr).await.unwrap();
    behind(&*again.account, &url, OrderState::Processing).await;
    opened.account.finalize(&url, &csr).await.unwrap();
    let chain = opened.account.certificate(&url).await.unwrap();
    assert_eq!(facing(&chain).0, names);
}

/// The private key in saved credentials.
fn key_of(saved: &Secret) -> String {
    let saved: serde_json::Value = serde_json::from_slice(saved.expose()).unwrap();
    saved["key_pkcs8"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn g19_an_account_that_the_ca_forgot_is_registered_anew_with_its_key() {
    let mut pebble = Pebble::plan().start().await;
    let mut issuer = pebble.issuer();
    issuer.contact = vec!["mailto:ops@example.com".to_owned()];
    let ca = ca(&issuer);
    let opened = account(&ca).await;
    let mut saved = opened.credentials.unwrap();
    let old_order = opened.account.place(&order(&["shop.example"])).await;
    let old_order = old_order.unwrap();
    // More than once: what has worked may be forgotten again.
    for _ in 0..2 {
        pebble.restart().await;
        let forgotten = ca.open_account(Some(&saved)).await.unwrap();
        assert!(forgotten.credentials.is_none());
        let placed = forgotten.account.place(&order(&["shop.example"])).await;
        assert!(
            matches!(placed, Err(AcmeError::AccountUnknown)),
            "{placed:?}"
        );
        let anew = ca.open_account(Some(&saved)).await.unwrap();
        let kept = anew.credentials.unwrap();
        assert_eq!(key_of(&kept), key_of(&saved));
        anew.account.place(&order(&["shop.example"])).await.unwrap();
        let lost = anew.account.look(&old_order).await;
        assert!(matches!(lost, Err(AcmeError::OrderUnknown)), "{lost:?}");
        // Another node, which has the old ones still, gets the same account.
        let other = super::ca(&issuer);
        let late = other.open_account(Some(&saved)).await.unwrap();
        let placed = late.account.place(&order(&["shop.example"])).await;
        assert!(matches!(placed, Err(AcmeError::AccountUnknown)));
        let late = other.open_account(Some(&saved)).await.unwrap();
        assert_eq!(late.url, anew.url);
        saved = kept;
    }
    assert_eq!(pebble.log().matches("POST /sign-me-up").count(), 2);
}

#[tokio::test]
async fn an_external_account_is_bound_to() {
    let (kid, key) = ("kid-1", [7; 48]);
    let plan = Pebble::plan().external_account(kid, &key);
    let mut pebble = plan.start().await;
    let unbound = ca(&pebble.issuer()).open_account(None).await;
    assert!(
        matches!(&unbound, Err(AcmeError::Refused(it)) if it.kind == "externalAccountRequired"),
        "{:?}",
        unbound.err()
    );
    let mut issuer = pebble.issuer();
    issuer.external_account = Some(ExternalAccount {
        kid: kid.to_owned(),
        hmac_key: Secret::new(key.to_vec()),
    });
    let ca = ca(&issuer);
    let opened = account(&ca).await;
    let saved = opened.credentials.unwrap();
    opened.account.place(&order(&["a.example"])).await.unwrap();
    pebble.restart().await;
    let placed = opened.account.place(&order(&["a.example"])).await;
    assert!(matches!(placed, Err(AcmeError::AccountUnknown)));
    let anew = ca.open_account(Some(&saved)).await.unwrap();
    assert_eq!(key_of(&anew.credentials.unwrap()), key_of(&saved));
    anew.account.place(&order(&["a.example"])).await.unwrap();
}

#[tokio::test]
async fn g17_what_the_ca_saw_instead_is_told() {
    let pebble = Pebble::plan().blocked("blocked.example").start().await;
    let ca = ca(&pebble.issuer());
    let account = account(&ca).await.account;
    let url = account.place(&order(&["shop.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Http01);
    pebble.dns.set_servfail("shop.example").await;
    account.ready(&url, challenge).await.unwrap();
    let view = behind(&*account, &url, OrderState::Pending).await;
    assert_eq!(view.state, OrderState::Invalid);
    let authorization = &view.authorizations[0];
    assert_eq!(authorization.state, AuthorizationState::Invalid);
    let challenge = offered(authorization, ChallengeKind::Http01);
    let problem = challenge.problem.as_ref().unwrap();
    assert!(problem.detail.contains("shop.example"), "{problem:?}");
    let certificate = account.certificate(&url).await;
    assert!(certificate.is_err(), "{certificate:?}");
    let late = account.ready(&url, challenge).await;
    assert!(late.is_ok(), "it was answered: {late:?}");

    let placed = account.place(&order(&["blocked.example"])).await;
    assert!(
        matches!(&placed, Err(AcmeError::Refused(it)) if it.kind == "rejectedIdentifier"),
        "{placed:?}"
    );
}

#[tokio::test]
async fn an_order_is_finalized_no_sooner_than_it_is_ready() {
    let pebble = Pebble::plan().start().await;
    let ca = ca(&pebble.issuer());
    let account = account(&ca).await.account;
    let url = account.place(&order(&["shop.example"])).await.unwrap();
    let csr = csr(&patterns(&["shop.example"]), CertificateKey::EcdsaP256);
    let early = account.finalize(&url, &csr).await;
    assert!(
        matches!(&early, Err(AcmeError::Refused(it)) if it.kind == "orderNotReady"),
        "{early:?}"
    );
    let early = account.certificate(&url).await;
    assert!(matches!(early, Err(AcmeError::Unavailable { .. })));
    let nobody = account.look(&format!("{url}x")).await;
    assert!(matches!(nobody, Err(AcmeError::OrderUnknown)), "{nobody:?}");
}

#[tokio::test]
async fn authorizations_of_earlier_orders_need_nothing_more() {
    let plan = Pebble::plan().always_valid().reuse_authorizations(100);
    let pebble = plan.start().await;
    let ca = ca(&pebble.issuer());
    let account = account(&ca).await.account;
    let dns = ChallengeKind::Dns01;
    whole(&*account, &pebble.dns, &["shop.example"], dns).await;
    let url = account.place(&order(&["shop.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.state, OrderState::Ready);
    assert_eq!(view.authorizations[0].state, AuthorizationState::Valid);
}

#[tokio::test]
async fn an_account_gets_another_key() {
    let pebble = Pebble::plan().reject_nonces(50).start().await;
    let ca = ca(&pebble.issuer());
    let opened = account(&ca).await;
    let old = opened.credentials.unwrap();
    let kept = ca.with_next_key(&old).unwrap();
    assert_eq!(key_of(&kept), key_of(&old), "nobody has been told yet");
    let new = ca.change_key(&kept).await.unwrap();
    assert_ne!(key_of(&old), key_of(&new));
    for saved in [&new, &kept] {
        let reopened = ca.open_account(Some(saved)).await.unwrap();
        assert_eq!(reopened.url, opened.url);
        let account = reopened.account;
        account.place(&order(&["a.example"])).await.unwrap();
    }
    let stale = ca.open_account(Some(&old)).await.unwrap();
    let placed = stale.account.place(&order(&["a.example"])).await;
    assert!(matches!(placed, Err(AcmeError::Refused(_))), "{placed:?}");
    // Done once more it is done.
    let again = ca.change_key(&kept).await.unwrap();
    assert_eq!(key_of(&again), key_of(&new));
}

#[tokio::test]
async fn a_ca_without_profiles_and_renewal_information_says_so() {
    let pebble = Pebble::plan().start().await;
    let ca = ca(&pebble.issuer());
    assert_eq!(ca.id(), pebble.directory());
    let directory = ca.directory().await.unwrap();
    assert!(directory.profiles.is_empty() && !directory.renewal_info);
    let account = account(&ca).await.account;
    let mut wanted = order(&["shop.example"]);
    wanted.profile = Some("shortlived".to_owned());
    let refused = account.place(&wanted).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        "the CA offers no profile \"shortlived\"; it offers none: leave `profile` out"
    );
    assert_eq!(pebble.orders(), 0);
    assert_eq!(account.renewal(b"whatever").await.unwrap(), None);
}

#[tokio::test]
async fn a_ca_that_cannot_be_reached_or_believed_is_unavailable() {
    let mut pebble = Pebble::plan().start().await;
    let stranger = Pebble::plan().start().await;
    let mut issuer = pebble.issuer();
    issuer.ca_file = Some(stranger.ca_file().to_owned());
    let refused = ca(&issuer).directory().await;
    assert!(matches!(refused, Err(AcmeError::Unavailable { .. })));
    issuer.ca_file = None;
    let refused = ca(&issuer).directory().await;
    assert!(matches!(refused, Err(AcmeError::Unavailable { .. })));
    assert_eq!(pebble.requests(), 0);

    let ca = ca(&pebble.issuer());
    let account = account(&ca).await.account;
    pebble.stop();
    let placed = account.place(&order(&["a.example"])).await;
    assert!(matches!(placed, Err(AcmeError::Unavailable { .. })));
    issuer.ca_file = Some("/nonexistent/ca.pem".into());
    let none = AcmeCa::new(&issuer, Clock::system()).unwrap_err();
    assert!(matches!(none, AcmeError::Unusable { .. }));
    assert!(none.to_string().contains("/nonexistent/ca.pem"), "{none}");
}
