//! What `domain show` says of a name besides its claims, and what `domain move` takes along.

use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::model::{Check, CheckCode, DomainPattern};
use vestibule::store::{Access, AtCa, Hold, OrderClass, Store};

use crate::command::{Folder, with_store};

const NAME: &str = "shop.example";

/// A trusted name of `acme`.
fn with_a_name() -> Folder {
    let folder = with_store("");
    for line in [
        "tenant create acme",
        "tenant create globex",
        "domain add acme shop.example --trusted",
    ] {
        folder.typed(line).succeeds();
    }
    folder
}

/// The name's order has found that CAA forbids it.
async fn blocked(folder: &Folder) {
    let database = folder.path("var/vestibule.db");
    let toml = format!("[store]\nurl = \"sqlite:{}\"", database.display());
    let config = Config::parse(&toml, "test", std::iter::empty()).unwrap();
    let store = Store::open(&config.store, Access::Command, Clock::system(), None).await;
    let store = store.unwrap();
    let name = DomainPattern::parse(NAME).unwrap();
    store.sweep_names(&[name]).await.unwrap();
    let at = AtCa {
        ca: "https://ca.test/directory",
        first: true,
    };
    let leased = store.lease_orders(OrderClass::New(at), "test", 1).await;
    let mut order = leased.unwrap().remove(0);
    order.last_error = Some("caa: another CA's".into());
    order.checks = vec![Check {
        code: CheckCode::Caa,
        ok: false,
        expected: "a CAA record for ours".into(),
        observed: "another CA's".into(),
        hint: Some("take it away".into()),
        seen_by: vec!["192.0.2.1".into()],
        at: 7,
    }]
    .into();
    assert!(
        store
            .save_order(&order, "test", Hold::Release, &[])
            .await
            .unwrap()
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn show_says_what_keeps_the_certificate_away_and_what_the_name_demands() {
    let folder = with_a_name();
    folder
        .typed("domain set shop.example --minimum-tls 1.3")
        .succeeds();
    blocked(&folder).await;
    let shown = folder
        .typed("domain show shop.example --output json")
        .json();
    assert_eq!(shown["minimum_tls"], "1.3");
    assert_eq!(shown["client_ca"], serde_json::Value::Null);
    let checks = shown["checks"].as_array().unwrap();
    let codes: Vec<_> = checks
        .iter()
        .map(|it| it["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["caa", "certificate"]);
    for check in checks {
        for field in [
            "code", "ok", "expected", "observed", "hint", "seen_by", "at",
        ] {
            assert!(check.get(field).is_some(), "{field}: {check}");
        }
    }
    assert_eq!(checks[0]["seen_by"], serde_json::json!(["192.0.2.1"]));
    assert_eq!(checks[1]["seen_by"], serde_json::json!([]));
    let people = folder.typed("domain show shop.example").succeeds();
    for words in [
        "minimum TLS",
        "1.3",
        "FIX caa: another CA's",
        "hint: take it away",
        "cert renew",
    ] {
        assert!(people.contains(words), "{words}\n{people}");
    }
}

#[test]
fn a_name_that_moves_says_what_it_demands_no_more() {
    let folder = with_a_name();
    folder
        .typed("domain set shop.example --minimum-tls 1.3")
        .succeeds();
    let kept = folder.typed("domain move shop.example globex --keep-tls --output json");
    assert!(!kept.err.contains("domain set"), "{kept:?}");
    assert_eq!(kept.json()["minimum_tls"], "1.3");
    let went = folder.typed("domain move shop.example acme --output json");
    assert!(went.err.contains("the former tenant's wish"), "{went:?}");
    assert_eq!(went.json()["minimum_tls"], serde_json::Value::Null);
    let again = folder.typed("domain move shop.example globex");
    assert!(!again.err.contains("wish"), "{again:?}");
}
