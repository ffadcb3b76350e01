//! The main job, end to end: a visitor's request reaches the right tenant's upstream, once, with the identity on it.

use crate::harness::client::get;
use crate::harness::edge::Edge;
use crate::harness::upstream::TestUpstream;

#[tokio::test]
async fn a_subdomain_leads_to_its_tenant_and_the_identity_goes_with_the_request() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .tenants(&["acme", "globex"])
        .start()
        .await;
    let answer = edge
        .visit()
        .await
        .ask(get("acme.localhost", "/hello?x=1", &[]))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = upstream.seen().await;
    assert_eq!(seen.target, "/hello?x=1");
    assert_eq!(seen.header("host"), Some("acme.localhost"));
    assert_eq!(seen.header("x-tenant-slug"), Some("acme"));
    assert!(seen.header("x-tenant-assertion").is_some());
    let unknown = edge
        .visit()
        .await
        .ask(get("nobody.localhost", "/", &[]))
        .await;
    assert_eq!(
        (unknown.status, unknown.code().as_str()),
        (404, "unknown_tenant")
    );
    assert_eq!(upstream.connections(), 1);
}
