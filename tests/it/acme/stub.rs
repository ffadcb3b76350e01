//! What Pebble cannot do: renewal windows, profiles, names that are refused.

use std::time::Duration;

use vestibule::acme::{AccountFacts, RenewalWindow};
use vestibule::config::ExternalAccount;
use vestibule::model::Secret;

use crate::harness::stub_ca::{Instead, Kind, Renewals, StubCa};
use crate::harness::upstream::{Reply, TestUpstream};

use super::*;

const HOUR: i64 = 3_600_000;

/// Lets the stub believe every challenge of an order and finishes it.
async fn finish(account: &dyn CaAccount, wanted: &NewOrder, key: CertificateKey) -> String {
    let url = account.place(wanted).await.unwrap();
    for authorization in account.look(&url).await.unwrap().authorizations {
        let challenge = offered(&authorization, ChallengeKind::Dns01);
        account.ready(&url, challenge).await.unwrap();
    }
    let csr = csr(&wanted.names, key);
    account.finalize(&url, &csr).await.unwrap();
    account.certificate(&url).await.unwrap()
}

#[tokio::test]
async fn a_whole_order_of_a_profile_with_a_contact_and_an_rsa_key() {
    let stub = StubCa::start().await;
    stub.rules(|rules| {
        rules.profiles = vec!["classic".to_owned(), "shortlived".to_owned()];
        rules.caa_identities = vec!["stub.example".to_owned()];
        rules.validity = Duration::from_secs(6 * 86_400);
    });
    let mut issuer = stub.issuer();
    issuer.contact = vec!["mailto:ops@example.com".to_owned()];
    let ca = ca(&issuer);
    let directory = ca.directory().await.unwrap();
    assert_eq!(directory.profiles, ["classic", "shortlived"]);
    assert_eq!(directory.caa_identities, ["stub.example"]);
    let account = account(&ca).await.account;
    let contact = serde_json::json!(["mailto:ops@example.com"]);
    assert_eq!(stub.contacts(), std::slice::from_ref(&contact));
    let mut wanted = order(&["*.a.example", "a.example"]);
    wanted.profile = Some("shortlived".to_owned());
    let chain = finish(&*account, &wanted, CertificateKey::Rsa2048).await;
    let [issued] = &stub.issued()[..] else {
        panic!("one certificate");
    };
    assert_eq!(chain, issued.chain);
    assert_eq!(issued.names, ["*.a.example", "a.example"]);
    assert_eq!(issued.key, "RSA");
    assert_eq!(stub.orders()[0].profile.as_deref(), Some("shortlived"));
    assert_ne!(stub.root(), issued.chain);

    wanted.profile = Some("tlsserver".to_owned());
    let refused = account.place(&wanted).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the CA offers no profile \"tlsserver\"; it offers \"classic\", \"shortlived\""
    );
    // Registered anew, the account has its contacts again.
    stub.forget_accounts();
    account.place(&order(&["a.example"])).await.unwrap_err();
}

#[tokio::test]
async fn what_a_ca_is_called_in_caa_records_can_be_configured() {
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.caa_identities = vec!["stub.example".to_owned()]);
    let mut issuer = stub.issuer();
    issuer.caa_identities = vec!["ours.example".to_owned()];
    let directory = ca(&issuer).directory().await.unwrap();
    assert_eq!(directory.caa_identities, ["ours.example"]);
}

#[tokio::test]
async fn a_directory_is_asked_for_once_an_hour() {
    let stub = StubCa::start().await;
    let clock = Clock::system();
    let ca = AcmeCa::new(&stub.issuer(), clock.clone()).unwrap();
    let account = account(&ca).await.account;
    account.place(&order(&["a.example"])).await.unwrap();
    stub.rules(|rules| rules.profiles = vec!["new".to_owned()]);
    assert!(ca.directory().await.unwrap().profiles.is_empty());
    assert_eq!(stub.requests(Kind::Directory), 1);
    clock.shift(HOUR);
    assert_eq!(ca.directory().await.unwrap().profiles, ["new"]);
    // A clock that is set back does not make it last.
    clock.shift(-2 * HOUR);
    ca.directory().await.unwrap();
    assert_eq!(stub.requests(Kind::Directory), 3);
}

#[tokio::test]
async fn g18_the_ca_says_when_to_renew() {
    let stub = StubCa::start().await;
    let now = Clock::system().now().0;
    let renewals = Renewals {
        window: Some((now + HOUR, now + 2 * HOUR)),
        retry_after: Some("7200".to_owned()),
        explanation: Some("https://stub.example/why".to_owned()),
        ..Renewals::default()
    };
    stub.rules(|rules| rules.renewals = Some(renewals));
    let ca = ca(&stub.issuer());
    assert!(ca.directory().await.unwrap().renewal_info);
    let account = account(&ca).await.account;
    let wanted = order(&["a.example"]);
    finish(&*account, &wanted, CertificateKey::EcdsaP256).await;
    let der = stub.issued()[0].der.clone();
    let window = account.renewal(&der).await.unwrap();
    assert_eq!(
        window,
        Some(RenewalWindow {
            start: now + HOUR,
            end: now + 2 * HOUR,
            ask_again: Duration::from_secs(7200),
            explanation: Some("https://stub.example/why".to_owned()),
        })
    );
    let change = |change: fn(&mut Renewals, i64)| {
        stub.rules(|rules| change(rules.renewals.as_mut().unwrap(), now));
    };
    // Of one certificate, at once: as in a mass revocation.
    change(|renewals, now| {
        let window = (now - 2 * HOUR, now - HOUR);
        renewals.windows.insert("a.example".to_owned(), window);
        renewals.retry_after = None;
    });
    let window = account.renewal(&der).await.unwrap().unwrap();
    assert_eq!(window.start, now - 2 * HOUR);
    assert_eq!(window.ask_again, Duration::from_secs(6 * 3600));
    change(|renewals, now| {
        let turned = (now + HOUR, now - HOUR);
        renewals.windows.insert("a.example".to_owned(), turned);
    });
    assert_eq!(account.renewal(&der).await.unwrap(), None);
    change(|renewals, _| *renewals = Renewals::default());
    assert_eq!(account.renewal(&der).await.unwrap(), None);
    stub.rules(|rules| rules.instead(Kind::RenewalInfo, Instead::Page(503)));
    let away = account.renewal(&der).await;
    assert!(matches!(away, Err(AcmeError::Unavailable { .. })));
}

#[tokio::test]
async fn a_renewal_says_what_it_takes_the_place_of() {
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.renewals = Some(Renewals::default()));
    let account = account(&ca(&stub.issuer())).await.account;
    let mut wanted = order(&["a.example"]);
    finish(&*account, &wanted, CertificateKey::EcdsaP256).await;
    let first = stub.issued().remove(0);
    wanted.replaces = Some(first.der.clone());
    account.place(&wanted).await.unwrap();
    assert_eq!(stub.orders()[1].replaces, Some(first.id()));
    // It was replaced already: that there may be another order, at another price, is for others to say.
    let refused = account.place(&wanted).await.unwrap_err();
    assert!(matches!(&refused, AcmeError::NotReplaced(it) if it.kind == "alreadyReplaced"));
    assert_eq!(stub.orders().len(), 2);
    // What is no certificate replaces none.
    wanted.replaces = Some(b"nonsense".to_vec());
    account.place(&wanted).await.unwrap();
    assert_eq!(stub.orders()[2].replaces, None);
    assert_eq!(stub.requests(Kind::NewOrder), 4);
}

#[tokio::test]
async fn a_ca_that_does_not_repeat_what_is_replaced_gets_one_order() {
    let stub = StubCa::start().await;
    stub.rules(|rules| {
        rules.renewals = Some(Renewals::default());
        rules.forgets_replaced = true;
    });
    let account = account(&ca(&stub.issuer())).await.account;
    let mut wanted = order(&["a.example"]);
    finish(&*account, &wanted, CertificateKey::EcdsaP256).await;
    wanted.replaces = Some(stub.issued().remove(0).der);
    let url = account.place(&wanted).await.unwrap();
    assert_eq!(stub.orders().len(), 2);
    assert_eq!(account.look(&url).await.unwrap().state, OrderState::Pending);
}

#[tokio::test]
async fn an_account_whose_contact_has_changed_says_so_once() {
    let stub = StubCa::start().await;
    let mut issuer = stub.issuer();
    issuer.contact = vec!["mailto:ops@example.com".to_owned()];
    let before = ca(&issuer);
    let saved = account(&before).await.credentials.unwrap();
    assert!(!before.has_news(&saved).unwrap(), "told when it was made");
    for contact in [vec!["mailto:other@example.com".to_owned()], Vec::new()] {
        issuer.contact.clone_from(&contact);
        let after = ca(&issuer);
        assert!(after.has_news(&saved).unwrap());
        let told = after.tell_contact(&saved).await.unwrap();
        assert!(!after.has_news(&told).unwrap());
        assert_eq!(stub.contacts(), [serde_json::json!(contact)]);
        let facts = AccountFacts::of(&told).unwrap();
        assert_eq!(facts.contact, Some(contact));
    }
    assert_eq!(stub.requests(Kind::Account), 2);
}

#[tokio::test]
async fn without_renewal_information_nothing_is_said_to_be_replaced() {
    let stub = StubCa::start().await;
    let account = account(&ca(&stub.issuer())).await.account;
    let mut wanted = order(&["a.example"]);
    finish(&*account, &wanted, CertificateKey::EcdsaP256).await;
    wanted.replaces = Some(stub.issued().remove(0).der);
    account.place(&wanted).await.unwrap();
    assert_eq!(stub.orders()[1].replaces, None);
    assert_eq!(stub.requests(Kind::NewOrder), 2);
}

#[tokio::test]
async fn what_was_kept_of_an_account_must_fit() {
    let stub = StubCa::start().await;
    let other = StubCa::start().await;
    let ours = ca(&stub.issuer());
    let strange = account(&ca(&other.issuer())).await.credentials.unwrap();
    let broken = Secret::new(b"{\"id\": 1}".to_vec());
    for saved in [&strange, &broken] {
        let refused = ours.open_account(Some(saved)).await.err();
        assert!(matches!(refused, Some(AcmeError::Unusable { .. })));
    }
    assert_eq!(stub.requests(Kind::NewAccount), 0);
}

#[tokio::test]
async fn an_external_account_is_named_and_proven() {
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.external_account = Some(("kid-7".to_owned(), vec![9; 32])));
    let mut issuer = stub.issuer();
    let bind = |key: u8| ExternalAccount {
        kid: "kid-7".to_owned(),
        hmac_key: Secret::new(vec![key; 32]),
    };
    issuer.external_account = Some(bind(8));
    let refused = ca(&issuer).open_account(None).await.err();
    assert!(
        matches!(&refused, Some(AcmeError::Refused(it)) if it.kind == "unauthorized"),
        "{refused:?}"
    );
    issuer.external_account = Some(bind(9));
    account(&ca(&issuer)).await;
}

#[tokio::test]
async fn what_a_ca_refuses_is_told_in_its_words() {
    let stub = StubCa::start().await;
    stub.rules(|rules| {
        rules.rejected.insert("bank.example".to_owned());
        rules.fails.insert("a.example".to_owned(), "caa".to_owned());
    });
    let account = account(&ca(&stub.issuer())).await.account;
    let refused = account.place(&order(&["bank.example"])).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the CA refused (rejectedIdentifier): bank.example"
    );
    let url = account.place(&order(&["a.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Http01);
    // The stub looks at once, and says so in its answer.
    account.ready(&url, challenge).await.unwrap();
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.state, OrderState::Invalid);
    let challenge = offered(&view.authorizations[0], ChallengeKind::Http01);
    let problem = challenge.problem.as_ref().unwrap();
    assert_eq!(problem.kind, "caa");
    assert_eq!(problem.detail, "looked at a.example");
    let names = patterns(&["b.example"]);
    let csr = csr(&names, CertificateKey::EcdsaP256);
    let wrong = account.place(&order(&["c.example"])).await.unwrap();
    let view = account.look(&wrong).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Dns01);
    account.ready(&wrong, challenge).await.unwrap();
    let refused = account.finalize(&wrong, &csr).await.unwrap_err();
    assert!(matches!(&refused, AcmeError::Refused(it) if it.kind == "badCSR"));
}

#[tokio::test]
async fn the_stub_looks_at_http_challenges_where_it_is_told_to() {
    let web = TestUpstream::answering(|_| Reply::text("nothing like it"));
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.looks_at = Some(web.address.port()));
    let account = account(&ca(&stub.issuer())).await.account;
    let url = account.place(&order(&["a.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Http01);
    account.ready(&url, challenge).await.unwrap();
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.state, OrderState::Invalid);
    let seen = web.seen().await;
    assert_eq!(seen.header("host"), Some("a.example"));
    assert!(stub.config().contains(&stub.directory()));
}
