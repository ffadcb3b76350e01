//! What is asked of the store, how often, and what is remembered of its answers.

use std::sync::Arc;

use futures_util::future::join_all;
use vestibule::store::{Change, Changed, Changes, RouteSource};

use super::{Node, host};
use crate::harness::{on_both_stores, until};
use crate::tls::UNRECOGNIZED_NAME;

on_both_stores!(
    nothing_is_loaded_before_somebody_asks,
    one_query_per_name_however_many_wait,
    one_query_per_wildcard_however_many_names_wait,
    g12_a_flood_of_unknown_names_asks_the_store_nothing,
    unknown_names_are_remembered_until_the_feed_says_otherwise,
    what_was_read_before_a_change_is_not_shown_after_it,
    memory_is_bounded_and_what_was_evicted_is_loaded_again,
    another_epoch_drops_what_is_in_memory,
    only_what_may_be_about_certificates_drops_them,
);

async fn nothing_is_loaded_before_somebody_asks(url: Option<&str>) {
    let names: Vec<String> = (0..50).map(|number| format!("n{number}.test")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let node = Node::with_names(url, &[("many", &names)]).await;
    assert!(node.inventory.covers(&host("n7.test")));
    assert_eq!(node.gate.asked(), [""; 0]);
    let edge = node.edge().await;
    node.shown(&edge, "n7.test").await;
    node.shown(&edge, "n7.test").await;
    assert_eq!(node.gate.asked(), ["n7.test"]);
}

async fn one_query_per_name_however_many_wait(url: Option<&str>) {
    let node = Node::with_names(url, &[("acme", &["acme.test"])]).await;
    let edge = node.edge().await;
    node.gate.set_open(false);
    let visits = join_all((0..20).map(|_| node.shown(&edge, "acme.test")));
    let opened = async {
        until(|| (node.gate.read() == 1).then_some(())).await;
        node.gate.set_open(true);
    };
    let (shown, ()) = futures_util::join!(visits, opened);
    assert!(shown.iter().all(|it| *it == shown[0]));
    assert_eq!(node.gate.asked(), ["acme.test"]);
}

async fn one_query_per_wildcard_however_many_names_wait(url: Option<&str>) {
    let node = Node::with_names(url, &[("acme", &["*.acme.test"])]).await;
    let edge = node.edge().await;
    node.gate.set_open(false);
    let names: Vec<String> = (0..20)
        .map(|number| format!("n{number}.acme.test"))
        .collect();
    let visits = join_all(names.iter().map(|name| node.shown(&edge, name)));
    let opened = async {
        until(|| (node.gate.read() == 1).then_some(())).await;
        node.gate.set_open(true);
    };
    let (shown, ()) = futures_util::join!(visits, opened);
    assert!(shown.iter().all(|it| *it == shown[0]));
    node.shown(&edge, "another.acme.test").await;
    assert_eq!(node.gate.asked(), ["*.acme.test"]);
}

async fn g12_a_flood_of_unknown_names_asks_the_store_nothing(url: Option<&str>) {
    let node = Node::with_names(url, &[("acme", &["acme.test"])]).await;
    let edge = node.edge().await;
    node.shown(&edge, "acme.test").await;
    for number in 0..50 {
        let answer = node.answer(&edge, &format!("n{number}.test")).await;
        assert_eq!(answer, UNRECOGNIZED_NAME);
    }
    node.shown(&edge, "acme.test").await;
    assert_eq!(node.gate.asked(), ["acme.test"]);
    assert_eq!(edge.count("unknown_name"), 50);
}

async fn unknown_names_are_remembered_until_the_feed_says_otherwise(url: Option<&str>) {
    // The names have not been listed: only look-ups tell.
    let mut node = Node::new(url).await;
    let edge = node.edge().await;
    for _ in 0..3 {
        assert_eq!(node.answer(&edge, "x.acme.test").await, UNRECOGNIZED_NAME);
    }
    assert_eq!(node.gate.asked(), ["x.acme.test"]);
    // The answer said as much of the wildcard; that of another name is asked for alone.
    node.import("wild", &["*.acme.test"]).await;
    let wild = node.shown(&edge, "x.acme.test").await;
    node.import("exact", &["x.acme.test"]).await;
    assert_ne!(node.shown(&edge, "x.acme.test").await, wild);
    assert_eq!(node.shown(&edge, "y.acme.test").await, wild);
    assert_eq!(node.shown(&edge, "y.acme.test").await, wild);
    let asked = ["x.acme.test", "*.acme.test", "x.acme.test", "y.acme.test"];
    assert_eq!(node.gate.asked(), asked);
}

async fn what_was_read_before_a_change_is_not_shown_after_it(url: Option<&str>) {
    let mut node = Node::with_names(url, &[("first", &["acme.test"])]).await;
    let edge = node.edge().await;
    node.gate.set_open(false);
    let inventory = Arc::clone(&node.inventory);
    let waiting = tokio::spawn(async move { inventory.find(&host("acme.test")).await });
    until(|| (node.gate.read() == 1).then_some(())).await;
    node.import("second", &["acme.test"]).await;
    node.gate.set_open(true);
    let vestibule::tls::Found::Certificate(found) = waiting.await.unwrap() else {
        panic!("nothing was found");
    };
    // Asked again: the first answer had been overtaken on its way.
    assert_eq!(node.gate.read(), 2);
    node.shown(&edge, "acme.test").await;
    assert_eq!(node.gate.read(), 2, "and only the second is remembered");
    let again = node.inventory.certificate(&host("acme.test")).unwrap();
    assert!(Arc::ptr_eq(&found, &again));
}

async fn memory_is_bounded_and_what_was_evicted_is_loaded_again(url: Option<&str>) {
    // Room for a few.
    let mut node = Node::with_memory(url, 20 * 1024).await;
    let names: Vec<String> = (0..30).map(|number| format!("n{number}.test")).collect();
    for name in &names {
        node.import(name, &[name]).await;
    }
    node.list_names().await;
    let edge = node.edge().await;
    for name in &names {
        node.shown(&edge, name).await;
    }
    node.inventory.status();
    let gauge = &node.issuer.metrics.cache_entries;
    let kept = gauge.with_label_values(&["certificates"]).get();
    assert!((1..=6).contains(&kept), "{kept} are in memory");
    for name in &names {
        node.shown(&edge, name).await;
    }
    let asked = node.gate.asked().len();
    assert!(asked >= 30 + 24, "{asked} look-ups");
}

async fn another_epoch_drops_what_is_in_memory(url: Option<&str>) {
    let mut node = Node::with_names(url, &[("acme", &["acme.test"])]).await;
    let edge = node.edge().await;
    node.shown(&edge, "acme.test").await;
    node.store.new_epoch().await.unwrap();
    let changes = node.store.changes_after(node.followed).await.unwrap();
    assert!(matches!(changes, Changes::Lost(_)));
    node.inventory.apply(&changes);
    node.followed = node.store.cursor().await.unwrap();
    assert!(node.inventory.certificate(&host("acme.test")).is_none());
    node.shown(&edge, "acme.test").await;
    assert_eq!(node.gate.asked(), ["acme.test", "acme.test"]);
}

async fn only_what_may_be_about_certificates_drops_them(url: Option<&str>) {
    let node = Node::with_names(url, &[("acme", &["acme.test"])]).await;
    let edge = node.edge().await;
    node.shown(&edge, "acme.test").await;
    let acme = host("acme.test");
    for (what, kept) in [
        (Changed::Bulk, true),
        (Changed::SigningKeys, true),
        // Of a later version: nobody here can say what it is about.
        (Changed::Unknown, false),
    ] {
        let position = node.followed.position + 1;
        let at = 0;
        let change = Change { position, at, what };
        node.inventory.apply(&Changes::Next(vec![change]));
        assert_eq!(node.inventory.certificate(&acme).is_some(), kept);
    }
}
