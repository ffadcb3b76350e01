//! The store is away: what is in memory goes on being shown, and everybody else is told why not.

use super::{INTERNAL_ERROR, Node, host};
use crate::harness::on_both_stores;
use crate::tls::{UNRECOGNIZED_NAME, client};

on_both_stores!(
    what_is_in_memory_is_shown_while_the_store_is_away,
    nobody_waits_for_a_store_that_is_known_to_be_away,
    the_default_certificate_is_for_names_that_are_certainly_nobodys,
    customers_names_wait_for_what_they_demand_and_the_operators_own_do_not,
);

async fn what_is_in_memory_is_shown_while_the_store_is_away(url: Option<&str>) {
    let list: [(&str, &[&str]); 2] = [
        ("warm", &["warm.test", "*.warm.test"]),
        ("cold", &["cold.test", "*.cold.test"]),
    ];
    let node = Node::with_names(url, &list).await;
    let edge = node.edge().await;
    let warm = node.shown(&edge, "warm.test").await;
    node.shown(&edge, "x.warm.test").await;
    node.gate.set_away(true);
    // Before anybody has noticed, and after.
    for noticed in [false, true] {
        node.inventory.in_contact(!noticed);
        assert_eq!(node.shown(&edge, "warm.test").await, warm);
        assert_eq!(node.shown(&edge, "y.warm.test").await, warm);
        for cold in ["cold.test", "x.cold.test"] {
            assert_eq!(node.answer(&edge, cold).await, INTERNAL_ERROR, "{cold}");
        }
        assert_eq!(node.answer(&edge, "nobody.test").await, UNRECOGNIZED_NAME);
        assert!(node.inventory.covers(&host("cold.test")), "still");
    }
    assert_eq!(edge.count("unavailable"), 4);
    node.gate.set_away(false);
    node.inventory.in_contact(true);
    node.shown(&edge, "cold.test").await;
}

async fn nobody_waits_for_a_store_that_is_known_to_be_away(url: Option<&str>) {
    let node = Node::new(url).await;
    node.inventory.in_contact(false);
    let edge = node.edge().await;
    assert_eq!(node.answer(&edge, "acme.test").await, INTERNAL_ERROR);
    node.inventory.settle(&host("acme.test")).await;
    assert_eq!(node.gate.asked(), [""; 0]);
}

async fn the_default_certificate_is_for_names_that_are_certainly_nobodys(url: Option<&str>) {
    let mut node = Node::new(url).await;
    node.issuer.settings.default = Some("fallback".to_owned());
    node.issuer.issue("fallback", &["fallback.test"]);
    for ending in ["crt", "key"] {
        let file = format!("fallback.{ending}");
        let shown = node.issuer.settings.directory.join(&file);
        std::fs::copy(node.issuer.path(&file), shown).unwrap();
    }
    let node = node.again().await;
    let edge = node.edge().await;
    let mut nameless = client(&node.issuer);
    nameless.enable_sni = false;
    let nameless = std::sync::Arc::new(nameless);
    edge.visit(&nameless, "fallback.test").await.unwrap();
    // A handshake record and no alert.
    assert_eq!(node.first_byte(&edge, "nobody.test").await, 22);
    node.inventory.in_contact(false);
    node.gate.set_away(true);
    assert_eq!(node.answer(&edge, "never-asked.test").await, INTERNAL_ERROR);
    edge.visit(&nameless, "fallback.test").await.unwrap();
}

async fn customers_names_wait_for_what_they_demand_and_the_operators_own_do_not(url: Option<&str>) {
    let node = Node::new(url).await;
    node.issuer.issue("file", &["acme.test", "own.test"]);
    for ending in ["crt", "key"] {
        let file = format!("file.{ending}");
        let shown = node.issuer.settings.directory.join(&file);
        std::fs::copy(node.issuer.path(&file), shown).unwrap();
    }
    let node = node.again().await;
    let own = host("own.test");
    node.inventory.exempt(Box::new(move |name| *name == own));
    let edge = node.edge().await;
    // Nobody has read what names demand, and nobody can.
    node.gate.set_away(true);
    node.inventory.in_contact(false);
    assert_eq!(node.answer(&edge, "acme.test").await, INTERNAL_ERROR);
    node.shown(&edge, "own.test").await;
    node.gate.set_away(false);
    node.inventory.in_contact(true);
    node.shown(&edge, "acme.test").await;
    // What was read holds.
    node.gate.set_away(true);
    node.inventory.in_contact(false);
    node.shown(&edge, "acme.test").await;
}
