//! Requests per second: the configured ones, a tenant's own, and that nobody else feels them.

use vestibule::model::LimitOverrides;
use vestibule::store::{LimitPatch, TenantPatch};

use crate::harness::client::{Answer, Visitor, get};
use crate::harness::edge::Edge;
use crate::harness::frames::ask_h2;
use crate::harness::upstream::TestUpstream;

/// Asks until it is told that it was too much; answers with how often it was not.
async fn until_refused(visitor: &mut Visitor, host: &str) -> (usize, Answer) {
    for served in 0..100 {
        let answer = visitor.ask(get(host, "/", &[])).await;
        if answer.status != 200 {
            return (served, answer);
        }
    }
    panic!("a hundred requests were served");
}

fn assert_rate_limited(answer: &Answer) {
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.code(), "rate_limited");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
}

#[tokio::test]
async fn h19_only_the_noisy_tenant_is_slowed_down() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nrequests_per_second = 1\nburst = 5")
        .tenants(&["noisy", "quiet"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let (served, refused) = until_refused(&mut visitor, "noisy.localhost").await;
    assert!(served >= 5, "{served}");
    assert_rate_limited(&refused);
    // The same connection, another tenant.
    let quiet = visitor.ask(get("quiet.localhost", "/", &[])).await;
    assert_eq!(quiet.status, 200);
    assert_eq!(upstream.requests().len(), served + 1);
    let refusals = "vestibule_http_requests_total{listener=\"http\",refusal=\"rate_limited\"";
    edge.until_metric(refusals, 1.0).await;
}

#[tokio::test]
async fn h19_the_rate_is_the_tenants_on_whatever_connection_and_protocol() {
    let upstream = TestUpstream::echo();
    let edge = Edge::with(upstream.address)
        .config("[limits]\nrequests_per_second = 1")
        .tenants(&["acme"])
        .start()
        .await;
    until_refused(&mut edge.visit().await, "acme.localhost").await;
    loop {
        let request = http::Request::get("http://acme.localhost/").body(());
        let answer = ask_h2(edge.http(), request.unwrap(), b"").await;
        if answer.status != 200 {
            return assert_rate_limited(&answer);
        }
    }
}

#[tokio::test]
async fn a_tenants_own_rate_goes_over_the_configured_one_and_a_change_is_soon_in_force() {
    let upstream = TestUpstream::echo();
    let own = LimitOverrides {
        requests_per_second: Some(1),
        burst: Some(2),
        ..LimitOverrides::default()
    };
    let edge = Edge::with(upstream.address)
        .tenant_with("small", own)
        .tenants(&["large"])
        .start()
        .await;
    let mut visitor = edge.visit().await;
    let (served, refused) = until_refused(&mut visitor, "small.localhost").await;
    assert!(served >= 2, "{served}");
    assert_rate_limited(&refused);
    for _ in 0..20 {
        let large = visitor.ask(get("large.localhost", "/", &[])).await;
        assert_eq!(large.status, 200);
    }
    let lifted = patch(LimitPatch {
        requests_per_second: Some(Some(0)),
        ..LimitPatch::default()
    });
    edge.store
        .set_tenant(&"small".parse().unwrap(), lifted)
        .await
        .unwrap();
    // On the connection that is open already, twenty in a row: far more than the old burst.
    let mut in_a_row = 0;
    while in_a_row < 20 {
        let answer = visitor.ask(get("small.localhost", "/", &[])).await;
        in_a_row = if answer.status == 200 {
            in_a_row + 1
        } else {
            0
        };
    }
    let lowered = patch(LimitPatch {
        requests_per_second: Some(Some(1)),
        burst: Some(Some(1)),
        ..LimitPatch::default()
    });
    edge.store
        .set_tenant(&"large".parse().unwrap(), lowered)
        .await
        .unwrap();
    loop {
        let answer = visitor.ask(get("large.localhost", "/", &[])).await;
        if answer.status != 200 {
            assert_rate_limited(&answer);
            return;
        }
    }
}

pub(super) fn patch(limits: LimitPatch) -> TenantPatch {
    TenantPatch {
        limits,
        ..TenantPatch::default()
    }
}
