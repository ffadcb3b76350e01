//! A CA in trouble, or that makes some: limits, outages, nonces, orders that are stuck.

use std::time::Duration;

use vestibule::model::Secret;

use crate::harness::stub_ca::{Instead, Kind, Rules, StubCa};

use super::*;

const HOUR: i64 = 3_600_000;

/// Calls that must all end alike.
async fn each(account: &dyn CaAccount, known: &str) -> Vec<AcmeError> {
    vec![
        account.place(&order(&["a.example"])).await.unwrap_err(),
        account.look(known).await.unwrap_err(),
        account.finalize(known, b"whatever").await.unwrap_err(),
        account.certificate(known).await.unwrap_err(),
    ]
}

#[tokio::test]
async fn g13_how_long_a_ca_asks_to_wait_is_handed_on() {
    let stub = StubCa::start().await;
    let ca = ca(&stub.issuer());
    let account = account(&ca).await.account;
    let limit = |retry: &str| {
        stub.rules(|rules| {
            rules.behave();
            rules.refuse(Kind::NewOrder, 429, "rateLimited", Some(retry));
        });
    };
    limit("120");
    let refused = account.place(&order(&["a.example"])).await.unwrap_err();
    assert!(
        matches!(&refused, AcmeError::RateLimited { problem, .. } if problem.kind == "rateLimited"),
        "{refused:?}"
    );
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(120)));
    let later = Clock::system().now().plus(Duration::from_secs(5000));
    limit(&later.http_date());
    let refused = account.place(&order(&["a.example"])).await.unwrap_err();
    let wait = refused.retry_after().unwrap();
    assert!(wait > Duration::from_secs(4000) && wait <= Duration::from_secs(5000));

    // Of the answers to many requests, that of the one that failed counts.
    let url = {
        stub.rules(Rules::behave);
        account.place(&order(&["b.example"])).await.unwrap()
    };
    stub.rules(|rules| {
        rules.order_retry_after = Some("5".to_owned());
        rules.refuse(Kind::Authorization, 503, "serverInternal", Some("77"));
    });
    let refused = account.look(&url).await.unwrap_err();
    assert!(matches!(&refused, AcmeError::Unavailable { .. }));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(77)));
    stub.rules(Rules::behave);
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.retry_after, Some(Duration::from_secs(5)));
}

#[tokio::test]
async fn g13_a_ca_in_trouble_is_unavailable_whatever_it_says() {
    let stub = StubCa::start().await;
    let ca = ca(&stub.issuer());
    let account = account(&ca).await.account;
    let known = account.place(&order(&["a.example"])).await.unwrap();
    let page = "https://127.0.0.1:1/elsewhere".to_owned();
    for trouble in [
        Instead::Page(500),
        Instead::Page(502),
        Instead::Page(200),
        Instead::Redirect(page),
        Instead::Huge(2 << 20),
    ] {
        for kind in [Kind::NewOrder, Kind::Order] {
            stub.rules(|rules| rules.instead(kind, trouble.clone()));
        }
        for error in each(&*account, &known).await {
            assert!(
                matches!(error, AcmeError::Unavailable { .. }),
                "{trouble:?}: {error:?}"
            );
        }
        stub.rules(Rules::behave);
    }
    // For a while only.
    stub.rules(|rules| rules.instead_times(Kind::NewOrder, Instead::Page(503), 2));
    let wanted = order(&["b.example"]);
    account.place(&wanted).await.unwrap_err();
    account.place(&wanted).await.unwrap_err();
    account.place(&wanted).await.unwrap();
}

#[tokio::test]
async fn g13_a_ca_that_is_down_or_has_no_directory_is_unavailable() {
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.down(503));
    let clock = Clock::system();
    let first = AcmeCa::new(&stub.issuer(), clock.clone()).unwrap();
    let refused = first.open_account(None).await.err().unwrap();
    assert!(matches!(refused, AcmeError::Unavailable { .. }));
    assert_eq!(stub.requests(Kind::Directory), 1);
    assert_eq!(stub.requests(Kind::NewAccount), 0);
    stub.rules(Rules::behave);
    for trouble in [Instead::Huge(2 << 20), Instead::Page(200)] {
        clock.shift(10_000);
        stub.rules(|rules| rules.instead_times(Kind::Directory, trouble, 1));
        let refused = first.directory().await.unwrap_err();
        assert!(matches!(refused, AcmeError::Unavailable { .. }));
    }
    clock.shift(10_000);
    stub.rules(|rules| rules.refuse(Kind::Directory, 429, "rateLimited", Some("9")));
    // The second time it is what was remembered.
    for _ in 0..2 {
        let refused = first.directory().await.unwrap_err();
        assert!(matches!(refused, AcmeError::RateLimited { .. }));
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(9)));
    }
}

/// Each of a queue that asked for itself would wait for the one before it too, and the last of them for minutes.
#[tokio::test]
async fn g13_a_queue_for_a_directory_that_cannot_be_had_fails_at_once() {
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.down(503));
    let clock = Clock::system();
    let ca = AcmeCa::new(&stub.issuer(), clock.clone()).unwrap();
    let asked = futures_util::future::join_all((0..40).map(|_| ca.directory())).await;
    let away = |it: &Result<_, _>| matches!(it, Err(AcmeError::Unavailable { .. }));
    assert!(asked.iter().all(away));
    assert_eq!(stub.requests(Kind::Directory), 1);
    stub.rules(Rules::behave);
    assert!(ca.directory().await.is_err(), "it is believed for a moment");
    clock.shift(5_000);
    ca.directory().await.unwrap();
    assert_eq!(stub.requests(Kind::Directory), 2);
}

#[tokio::test]
async fn g13_nonces_that_are_refused_without_end_end_the_call() {
    let stub = StubCa::start().await;
    let account = account(&ca(&stub.issuer())).await.account;
    stub.rules(|rules| rules.refuses_nonces = true);
    let refused = account.place(&order(&["a.example"])).await.unwrap_err();
    assert!(
        matches!(refused, AcmeError::Unavailable { .. }),
        "{refused:?}"
    );
    assert!(stub.orders().is_empty());
    let tried = stub.requests(Kind::NewOrder);
    assert!((6..=30).contains(&tried), "{tried} requests");
    stub.rules(|rules| rules.refuses_nonces = false);
    account.place(&order(&["a.example"])).await.unwrap();
}

#[tokio::test]
async fn g13_an_order_that_is_stuck_is_seen_to_be() {
    let stub = StubCa::start().await;
    stub.rules(|rules| rules.stuck = true);
    let account = account(&ca(&stub.issuer())).await.account;
    let url = account.place(&order(&["a.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Http01);
    account.ready(&url, challenge).await.unwrap();
    let names = patterns(&["a.example"]);
    let csr = csr(&names, CertificateKey::EcdsaP256);
    account.finalize(&url, &csr).await.unwrap();
    stub.rules(|rules| rules.order_retry_after = Some("30".to_owned()));
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.state, OrderState::Processing);
    assert_eq!(view.retry_after, Some(Duration::from_secs(30)));
    let early = account.certificate(&url).await.unwrap_err();
    assert!(matches!(early, AcmeError::Unavailable { .. }));
    assert_eq!(early.retry_after(), Some(Duration::from_secs(30)));
    // Handing it in once more asks for nothing.
    account.finalize(&url, &csr).await.unwrap();
    assert_eq!(stub.requests(Kind::Finalize), 1);
    assert!(stub.issued().is_empty());
    stub.rules(|rules| rules.stuck = false);
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.state, OrderState::Valid);
    account.certificate(&url).await.unwrap();
}

#[tokio::test]
async fn g19_a_ca_that_forgets_at_once_is_not_registered_with_in_a_loop() {
    let stub = StubCa::start().await;
    let mut issuer = stub.issuer();
    issuer.contact = vec!["mailto:ops@example.com".to_owned()];
    let clock = Clock::system();
    let ca = AcmeCa::new(&issuer, clock.clone()).unwrap();
    let opened = account(&ca).await;
    let saved = opened.credentials.unwrap();
    let place = async |account: &dyn CaAccount| {
        let placed = account.place(&order(&["a.example"])).await;
        assert!(matches!(placed, Err(AcmeError::AccountUnknown)));
    };
    stub.forget_accounts();
    place(&*opened.account).await;
    let anew = ca.open_account(Some(&saved)).await.unwrap();
    assert_eq!(stub.contacts()[0][0], "mailto:ops@example.com");
    stub.forget_accounts();
    place(&*anew.account).await;
    let before = stub.requests(Kind::NewAccount);
    for saved in [&saved, &anew.credentials.unwrap()] {
        let refused = ca.open_account(Some(saved)).await.err();
        assert!(matches!(refused, Some(AcmeError::AccountUnknown)));
    }
    assert_eq!(stub.requests(Kind::NewAccount), before);
    clock.shift(HOUR);
    let later = ca.open_account(Some(&saved)).await.unwrap();
    later.account.place(&order(&["a.example"])).await.unwrap();
}

#[tokio::test]
async fn a_ca_that_says_nothing_does_not_hold_a_call() {
    let stub = StubCa::start().await;
    let account = account(&ca(&stub.issuer())).await.account;
    stub.rules(|rules| rules.instead(Kind::NewOrder, Instead::Silence));
    let refused = account.place(&order(&["a.example"])).await.unwrap_err();
    let AcmeError::Unavailable { source, .. } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(source.to_string(), "no whole answer within 10 s");
}

#[tokio::test]
async fn a_change_of_key_whose_answer_is_lost_locks_nobody_out() {
    let stub = StubCa::start().await;
    let ca = ca(&stub.issuer());
    let first = account(&ca).await.credentials.unwrap();
    let works = async |saved: &Secret| {
        let account = ca.open_account(Some(saved)).await.unwrap().account;
        account.place(&order(&["a.example"])).await.is_ok()
    };
    // It is found out that it was done.
    stub.rules(|rules| rules.instead(Kind::KeyChange, Instead::Lost));
    let kept = ca.with_next_key(&first).unwrap();
    let second = ca.change_key(&kept).await.unwrap();
    assert!(works(&second).await && !works(&first).await);
    // That cannot be found out either: the next call does.
    let kept = ca.with_next_key(&second).unwrap();
    stub.rules(|rules| rules.instead(Kind::NewAccount, Instead::Page(503)));
    let refused = ca.change_key(&kept).await.unwrap_err();
    assert!(matches!(refused, AcmeError::Unavailable { .. }));
    stub.rules(Rules::behave);
    assert_eq!(stub.key_changes(), 2);
    let third = ca.change_key(&kept).await.unwrap();
    assert_eq!(stub.key_changes(), 2);
    assert!(second != third && works(&third).await);
    // What was kept before is as good: the CA is asked which of the two it takes.
    assert!(works(&kept).await);
    // It was not done.
    let kept = ca.with_next_key(&third).unwrap();
    stub.rules(|rules| rules.instead(Kind::KeyChange, Instead::Page(503)));
    ca.change_key(&kept).await.unwrap_err();
    assert!(works(&kept).await && works(&third).await);
    stub.rules(Rules::behave);
    // The one that was begun is gone on with, and no third key drawn.
    assert!(ca.with_next_key(&kept).unwrap() == kept);
    let fourth = ca.change_key(&kept).await.unwrap();
    assert!(works(&fourth).await && !works(&third).await);
    assert_eq!(stub.contacts().len(), 1, "it is one account all the while");
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_looked_at_and_gone_on_with() {
    let stub = StubCa::start().await;
    let account = account(&ca(&stub.issuer())).await.account;
    let url = account.place(&order(&["a.example"])).await.unwrap();
    let view = account.look(&url).await.unwrap();
    let challenge = offered(&view.authorizations[0], ChallengeKind::Dns01);
    stub.rules(|rules| {
        rules.instead(Kind::Challenge, Instead::Lost);
        rules.instead(Kind::Finalize, Instead::Lost);
    });
    let lost = account.ready(&url, challenge).await.unwrap_err();
    assert!(matches!(lost, AcmeError::Unavailable { .. }));
    account.ready(&url, challenge).await.unwrap();
    assert_eq!(stub.requests(Kind::Challenge), 1);
    let names = patterns(&["a.example"]);
    let csr = csr(&names, CertificateKey::EcdsaP256);
    let lost = account.finalize(&url, &csr).await.unwrap_err();
    assert!(matches!(lost, AcmeError::Unavailable { .. }));
    let view = account.look(&url).await.unwrap();
    assert_eq!(view.state, OrderState::Valid);
    account.certificate(&url).await.unwrap();
}
