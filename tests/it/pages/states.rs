//! A tenant's states, each in force for the next request of a connection that is open already.

use vestibule::model::TenantState;
use vestibule::store::TenantRef;

use crate::harness::client::{Answer, Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::eventually;
use crate::harness::upstream::TestUpstream;

const DAY: i64 = 24 * 3600 * 1000;
const HTML: &[&str] = &["Accept: text/html"];

/// Asks on this connection until the answer has this status.
async fn until(visitor: &mut Visitor, host: &str, status: u16) -> Answer {
    eventually(host, async || {
        let answer = visitor.ask(get(host, "/", &[])).await;
        (answer.status == status).then_some(answer)
    })
    .await
}

fn tenant(slug: &str) -> TenantRef {
    slug.parse().unwrap()
}

#[tokio::test]
async fn a_tenants_life_shows_on_one_connection() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .domain("acme", "shop.example")
        .start()
        .await;
    let (store, acme) = (&edge.store, tenant("acme"));
    let mut visitor = edge.visit().await;
    for host in ["acme.localhost", "shop.example"] {
        until(&mut visitor, host, 200).await;
        store.suspend_tenant(&acme).await.unwrap();
        let suspended = until(&mut visitor, host, 403).await;
        assert_eq!(suspended.code(), "tenant_suspended");
        store.resume_tenant(&acme).await.unwrap();
        until(&mut visitor, host, 200).await;
        store.maintain_tenant(&acme).await.unwrap();
        let maintained = until(&mut visitor, host, 503).await;
        assert_eq!(maintained.code(), "tenant_maintenance");
        store.resume_tenant(&acme).await.unwrap();
        until(&mut visitor, host, 200).await;
    }
    store.remove_tenant(&acme).await.unwrap();
    let removed = until(&mut visitor, "acme.localhost", 410).await;
    assert_eq!(removed.code(), "tenant_removed");
    // Its custom domains stop at once.
    until(&mut visitor, "shop.example", 404).await;
    let other = visitor.ask(get("globex.localhost", "/", &[])).await;
    assert_eq!(other.status, 200, "nobody else notices");
}

#[tokio::test]
async fn a_removed_tenant_is_said_to_be_gone_and_then_is_unknown() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    edge.store.remove_tenant(&tenant("acme")).await.unwrap();
    until(&mut visitor, "acme.localhost", 410).await;
    edge.clock.shift(89 * DAY);
    until(&mut visitor, "acme.localhost", 410).await;
    edge.clock.shift(2 * DAY);
    let unknown = until(&mut visitor, "acme.localhost", 404).await;
    assert_eq!(unknown.code(), "unknown_tenant");
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_workspace_being_prepared_says_how_far_it_is_and_looks_again() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenant_in("acme", TenantState::Provisioning)
        .start()
        .await;
    let mut visitor = edge.visit().await;
    for percent in [10, 60] {
        edge.store
            .set_progress(&tenant("acme"), percent)
            .await
            .unwrap();
        while visitor.ask(get("acme.localhost", "/", &[])).await.json()["progress"] != percent {}
        let page = visitor.ask(get("acme.localhost", "/", HTML)).await;
        assert_eq!(page.status, 503);
        let wait = page.header("retry-after").unwrap();
        let refresh = format!("<meta http-equiv=\"refresh\" content=\"{wait}\">");
        assert!(page.text().contains(&refresh), "{}", page.text());
        let bar = format!("<progress max=\"100\" value=\"{percent}\">");
        assert!(page.text().contains(&bar), "{}", page.text());
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_workspace_that_could_not_be_prepared_does_not_say_why() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenant_in("acme", TenantState::Failed)
        .start()
        .await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/", &[]))
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "tenant_provisioning")
    );
    assert!(answer.json().get("progress").is_none());
}
