//! Who is shown which certificate.

use std::time::Duration;

use vestibule::clock::Clock;
use vestibule::seal::Sealer;
use vestibule::tls::{Brought, Found};

use super::{INTERNAL_ERROR, Node, host};
use crate::harness::on_both_stores;
use crate::tls::UNRECOGNIZED_NAME;
use crate::tls::resumption::{C19_EXPECTED, c19_handshakes};

on_both_stores!(
    c16_what_is_in_the_store_is_shown_and_nothing_else,
    c21_a_name_of_its_own_comes_before_the_wildcard,
    a_file_of_the_folder_comes_before_the_store,
    the_store_steps_in_when_a_file_of_the_folder_expires,
    a_change_is_in_force_once_it_is_applied,
    an_import_of_many_is_in_force_once_it_is_applied,
    c19_a_session_is_resumed_for_the_same_name_only,
    a_row_that_cannot_be_opened_costs_its_own_name_only,
    the_gauges_count_the_folder_and_the_store,
);

async fn c16_what_is_in_the_store_is_shown_and_nothing_else(url: Option<&str>) {
    let node = Node::with_names(url, &[("acme", &["acme.test", "*.acme.test"])]).await;
    let mut edge = node.edge().await;
    let exact = node.shown(&edge, "acme.test").await;
    let facts = edge.outcome().await.unwrap();
    assert_eq!(facts.sni, Some(host("acme.test")));
    // C14: what the certificate says of itself is what a request is measured by.
    assert!(facts.names.covers(&host("x.acme.test")));
    assert!(!facts.names.covers(&host("globex.test")));
    assert_eq!(node.shown(&edge, "x.acme.test").await, exact);
    for nobody in ["globex.test", "a.b.acme.test", "test"] {
        assert_eq!(node.answer(&edge, nobody).await, UNRECOGNIZED_NAME);
    }
    assert_eq!(edge.count("unknown_name"), 3);
    assert_eq!(edge.count("ok"), 2);
}

async fn c21_a_name_of_its_own_comes_before_the_wildcard(url: Option<&str>) {
    let mut node = Node::with_names(url, &[("wild", &["*.acme.test"])]).await;
    let edge = node.edge().await;
    let wild = node.shown(&edge, "x.acme.test").await;
    assert_eq!(node.shown(&edge, "y.acme.test").await, wild);
    node.import("exact", &["x.acme.test"]).await;
    let exact = node.shown(&edge, "x.acme.test").await;
    assert_ne!(exact, wild);
    assert_eq!(node.shown(&edge, "y.acme.test").await, wild);
    node.remove("x.acme.test").await;
    assert_eq!(node.shown(&edge, "x.acme.test").await, wild);
}

async fn a_file_of_the_folder_comes_before_the_store(url: Option<&str>) {
    let node = Node::with_names(url, &[("stored", &["x.acme.test", "y.acme.test"])]).await;
    let edge = node.edge().await;
    let stored = node.shown(&edge, "x.acme.test").await;
    node.issuer.issue("file", &["*.acme.test"]);
    for ending in ["crt", "key"] {
        let file = format!("file.{ending}");
        let shown = node.issuer.settings.directory.join(&file);
        std::fs::copy(node.issuer.path(&file), shown).unwrap();
    }
    node.inventory.reload(Clock::system().now());
    let file = node.shown(&edge, "x.acme.test").await;
    assert_ne!(file, stored, "even a wildcard of the folder");
    assert_eq!(node.shown(&edge, "y.acme.test").await, file);
}

async fn the_store_steps_in_when_a_file_of_the_folder_expires(url: Option<&str>) {
    let node = Node::with_names(url, &[("stored", &["x.acme.test"])]).await;
    let name = host("x.acme.test");
    let shown = async || match node.inventory.find(&name).await {
        Found::Certificate(certificate) => certificate.name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shown().await, "x.acme.test", "the stored one, by its name");
    let names = ["x.acme.test", "y.acme.test"];
    node.issuer.issue_valid("file", &names, 2020, 2040);
    for ending in ["crt", "key"] {
        let file = format!("file.{ending}");
        let shown = node.issuer.settings.directory.join(&file);
        std::fs::copy(node.issuer.path(&file), shown).unwrap();
    }
    let now = Clock::system().now();
    assert!(node.inventory.look(now).is_some());
    assert_eq!(shown().await, "file", "own before stored");
    // Without any change of the files.
    let later = now.plus(Duration::from_secs(20 * 366 * 86_400));
    assert!(node.inventory.look(later).is_none());
    assert_eq!(shown().await, "x.acme.test");
    // Where there is no other, the outdated one is better than none.
    let only = node.inventory.find(&host("y.acme.test")).await;
    assert!(matches!(only, Found::Certificate(certificate) if certificate.name == "file"));
    assert!(node.inventory.covers(&host("y.acme.test")));
}

async fn a_change_is_in_force_once_it_is_applied(url: Option<&str>) {
    let mut node = Node::with_names(url, &[("first", &["acme.test"])]).await;
    let edge = node.edge().await;
    let first = node.shown(&edge, "acme.test").await;
    assert_eq!(node.answer(&edge, "globex.test").await, UNRECOGNIZED_NAME);
    assert!(!node.inventory.covers(&host("globex.test")));
    node.import("second", &["acme.test", "globex.test"]).await;
    assert!(node.inventory.covers(&host("globex.test")));
    let second = node.shown(&edge, "acme.test").await;
    assert_ne!(second, first);
    assert_eq!(node.shown(&edge, "globex.test").await, second);
    node.remove("acme.test").await;
    assert!(!node.inventory.covers(&host("acme.test")));
    assert_eq!(node.answer(&edge, "acme.test").await, UNRECOGNIZED_NAME);
    assert_eq!(node.shown(&edge, "globex.test").await, second);
}

async fn an_import_of_many_is_in_force_once_it_is_applied(url: Option<&str>) {
    let mut node = Node::with_names(url, &[("first", &["acme.test"])]).await;
    let edge = node.edge().await;
    let first = node.shown(&edge, "acme.test").await;
    node.issuer.issue("second", &["acme.test"]);
    let many: Vec<String> = (0..300).map(|number| format!("n{number}.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    node.issuer.issue("many", &many);
    let now = Clock::system().now();
    let new = ["second", "many"].map(|name| {
        let path = |ending| node.issuer.path(&format!("{name}.{ending}"));
        let (chain, key) = (path("crt"), path("key"));
        let hostname = None;
        Brought {
            chain,
            key,
            hostname,
        }
        .check(now)
        .unwrap()
    });
    let imported = node.store.import_certificates(&new, &node.sealer).await;
    assert_eq!(imported.unwrap().names, 301);
    node.follow().await;
    assert_ne!(node.shown(&edge, "acme.test").await, first);
    // The set of names has yet to be loaded anew, which nobody notices.
    node.shown(&edge, "n299.test").await;
    node.inventory.settle(&host("n298.test")).await;
    assert!(node.inventory.covers(&host("n298.test")));
    node.list_names().await;
    assert!(node.inventory.covers(&host("n297.test")));
    assert!(!node.inventory.covers(&host("n300.test")));
}

async fn c19_a_session_is_resumed_for_the_same_name_only(url: Option<&str>) {
    let list: [(&str, &[&str]); 2] = [("acme", &["acme.test"]), ("globex", &["globex.test"])];
    let node = Node::with_names(url, &list).await;
    let edge = node.edge().await;
    let kinds = c19_handshakes(&edge, &node.issuer, ("acme.test", "globex.test")).await;
    assert_eq!(kinds, [C19_EXPECTED; 3]);
    // One certificate for both is no reason either.
    let both: (&str, &[&str]) = ("both", &["acme.test", "globex.test"]);
    let node = Node::with_names(None, &[both]).await;
    let edge = node.edge().await;
    let kinds = c19_handshakes(&edge, &node.issuer, ("acme.test", "globex.test")).await;
    assert_eq!(kinds, [C19_EXPECTED; 3]);
}

async fn a_row_that_cannot_be_opened_costs_its_own_name_only(url: Option<&str>) {
    let list: [(&str, &[&str]); 2] = [("good", &["good.test"]), ("bad", &["bad.test"])];
    let mut node = Node::with_names(url, &list).await;
    let other = Sealer::create(&node.issuer.path("other.key")).unwrap();
    let keys = |keys: &[_]| Ok(keys.to_vec());
    let spoil = |purpose: &str, sealed: &[u8]| {
        let plain = node.sealer.unseal(purpose, sealed)?;
        let is_bad = plain.expose() == std::fs::read(node.issuer.path("bad.key")).unwrap();
        let sealer = if is_bad { &other } else { &node.sealer };
        Ok::<_, vestibule::store::StoreError>(sealer.seal(purpose, plain.expose()))
    };
    node.store.reseal(keys, spoil).await.unwrap();
    let edge = node.edge().await;
    for _ in 0..3 {
        assert_eq!(node.answer(&edge, "bad.test").await, INTERNAL_ERROR);
    }
    node.shown(&edge, "good.test").await;
    assert_eq!(edge.count("unavailable"), 3);
    // Whoever asks for it over and over keeps nobody busy; another certificate for the name is shown at once.
    assert_eq!(node.gate.asked(), ["bad.test", "good.test"]);
    node.import("better", &["bad.test"]).await;
    node.shown(&edge, "bad.test").await;
}

async fn the_gauges_count_the_folder_and_the_store(url: Option<&str>) {
    let mut node = Node::new(url).await;
    let metrics = node.issuer.metrics.clone();
    let valid = || metrics.certificates.with_label_values(&["valid"]).get();
    node.list_names().await;
    assert_eq!(valid(), 0);
    assert!(metrics.certificate_not_after.get().is_infinite());
    node.import("stored", &["acme.test"]).await;
    node.list_names().await;
    assert_eq!(valid(), 1);
    let soonest = metrics.certificate_not_after.get();
    assert!(soonest.is_finite() && soonest > 0.0);
    for ending in ["crt", "key"] {
        let file = format!("stored.{ending}");
        let shown = node.issuer.settings.directory.join(&file);
        std::fs::copy(node.issuer.path(&file), shown).unwrap();
    }
    node.inventory.reload(Clock::system().now());
    assert_eq!(valid(), 2);
    node.remove("acme.test").await;
    node.list_names().await;
    assert_eq!(valid(), 1);
}
