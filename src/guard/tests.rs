use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{ConnectionCap, Guard};
use crate::config::LimitDefaults;
use crate::metrics::Metrics;
use crate::model::{Code, Limits, Refusal, TenantId};

mod at_hand;

/// Requests in flight on the node.
const NODE_CAP: usize = 100;

const NONE: Limits = Limits {
    requests_per_second: 0,
    burst: 0,
    in_flight: 0,
    body: 0,
};

fn guard() -> (Arc<Guard>, Arc<Metrics>) {
    guard_with(0, 0, &[])
}

fn guard_with(connections: usize, per_ip: usize, proxies: &[&str]) -> (Arc<Guard>, Arc<Metrics>) {
    let metrics = Metrics::new(0).unwrap();
    let defaults = LimitDefaults {
        tenant: NONE,
        node_in_flight: NODE_CAP,
        body_rate: 0,
        header: 0,
        connections,
        connections_per_ip: per_ip,
    };
    let proxies: Vec<_> = proxies.iter().map(|net| net.parse().unwrap()).collect();
    (
        Guard::new(&defaults, &proxies, Arc::clone(&metrics)),
        metrics,
    )
}

fn tenant(number: u128) -> Option<TenantId> {
    Some(TenantId(Uuid::from_u128(
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
    )))
}

fn rate(requests_per_second: u32, burst: u32) -> Limits {
    Limits {
        requests_per_second,
        burst,
        ..NONE
    }
}

fn in_flight(in_flight: u32) -> Limits {
    Limits { in_flight, ..NONE }
}

fn admitted(guard: &Guard, who: Option<TenantId>, limits: &Limits, tries: usize) -> usize {
    (0..tries)
        .filter(|_| guard.admit(who, limits).is_ok())
        .count()
}

fn code(result: Result<impl Sized, Refusal>) -> Option<Code> {
    result.err().map(|refusal| refusal.code)
}

#[tokio::test(start_paused = true)]
async fn a_rate_admits_one_second_s_worth_at_once_and_says_how_long_to_wait() {
    let (guard, _) = guard();
    assert_eq!(admitted(&guard, tenant(1), &rate(4, 0), 9), 4);
    let refusal = guard.admit(tenant(1), &rate(4, 0)).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.retry_after),
        (Code::RateLimited, Some(Duration::from_millis(250)))
    );
    tokio::time::advance(Duration::from_millis(249)).await;
    assert_eq!(admitted(&guard, tenant(1), &rate(4, 0), 9), 0);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(admitted(&guard, tenant(1), &rate(4, 0), 9), 1);
}

#[tokio::test(start_paused = true)]
async fn burst_is_what_may_come_at_once() {
    let (guard, _) = guard();
    assert_eq!(admitted(&guard, tenant(1), &rate(2, 10), 99), 10);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(admitted(&guard, tenant(1), &rate(2, 10), 99), 6);
}

#[tokio::test(start_paused = true)]
async fn h19_a_tenant_at_ten_times_its_rate_hits_only_itself() {
    let (guard, _) = guard();
    let limits = rate(10, 0);
    let (mut noisy, mut quiet) = (0, 0);
    for _ in 0..100 {
        noisy += admitted(&guard, tenant(1), &limits, 10);
        quiet += admitted(&guard, tenant(2), &limits, 1);
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(quiet, 100);
    assert_eq!(noisy, 10 + 99);
}

#[tokio::test(start_paused = true)]
async fn changed_limits_hold_from_the_next_request_on() {
    let (guard, _) = guard();
    assert_eq!(admitted(&guard, tenant(1), &rate(2, 0), 5), 2);
    assert_eq!(admitted(&guard, tenant(1), &rate(3, 0), 5), 3);
    assert_eq!(admitted(&guard, tenant(1), &rate(3, 1), 5), 1);
    assert_eq!(admitted(&guard, tenant(1), &NONE, 5), 5);

    let held: Vec<_> = (0..3)
        .map(|_| guard.admit(tenant(2), &in_flight(3)).unwrap())
        .collect();
    assert_eq!(
        code(guard.admit(tenant(2), &in_flight(2))),
        Some(Code::TooManyInFlight)
    );
    assert!(guard.admit(tenant(2), &in_flight(4)).is_ok());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_are_given_back_when_the_permit_goes() {
    let (guard, metrics) = guard();
    let first = guard.admit(tenant(1), &in_flight(2)).unwrap();
    let _second = guard.admit(tenant(1), &in_flight(2)).unwrap();
    assert_eq!(
        code(guard.admit(tenant(1), &in_flight(2))),
        Some(Code::TooManyInFlight)
    );
    assert!(guard.admit(tenant(2), &in_flight(2)).is_ok());
    assert_eq!(metrics.in_flight.get(), 2);
    drop(first);
    assert!(guard.admit(tenant(1), &in_flight(2)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_consumes_nothing() {
    let (guard, metrics) = guard();
    let limits = Limits {
        requests_per_second: 2,
        in_flight: 1,
        ..NONE
    };
    let held = guard.admit(tenant(1), &limits).unwrap();
    for _ in 0..5 {
        assert_eq!(
            code(guard.admit(tenant(1), &limits)),
            Some(Code::TooManyInFlight)
        );
    }
    drop(held);
    // One of the two is left, because the five took none; then the rate comes first, and it leaves the slot free.
    drop(guard.admit(tenant(1), &limits).unwrap());
    for _ in 0..5 {
        assert_eq!(
            code(guard.admit(tenant(1), &limits)),
            Some(Code::RateLimited)
        );
    }
    assert_eq!(metrics.in_flight.get(), 0);
    tokio::time::advance(Duration::from_millis(500)).await;
    let _held = guard.admit(tenant(1), &limits).unwrap();
    assert_eq!(
        code(guard.admit(tenant(1), &limits)),
        Some(Code::RateLimited),
        "the rate comes before the slots"
    );
}

#[tokio::test(start_paused = true)]
async fn the_node_s_cap_comes_last_and_consumes_nothing() {
    let (guard, metrics) = guard();
    let held: Vec<_> = (0..NODE_CAP)
        .map(|_| guard.admit(None, &NONE).unwrap())
        .collect();
    assert_eq!(code(guard.admit(None, &NONE)), Some(Code::Overloaded));
    assert_eq!(code(guard.check(None, &NONE)), Some(Code::Overloaded));
    assert_eq!(
        code(guard.admit(tenant(1), &rate(1, 0))),
        Some(Code::Overloaded)
    );
    drop(held);
    assert_eq!(metrics.in_flight.get(), 0);
    assert!(
        guard.admit(tenant(1), &rate(1, 0)).is_ok(),
        "being turned away by the node cost no rate"
    );
    metrics.in_flight.set(NODE_CAP as i64);
    assert_eq!(
        code(guard.admit(tenant(1), &rate(1, 0))),
        Some(Code::RateLimited)
    );
}

#[tokio::test(start_paused = true)]
async fn looking_consumes_nothing_and_leaves_no_trace() {
    let (guard, metrics) = guard();
    let limits = Limits {
        requests_per_second: 1,
        in_flight: 1,
        ..NONE
    };
    for _ in 0..5 {
        assert!(guard.check(tenant(1), &limits).is_ok());
    }
    assert_eq!((guard.tenants_tracked(), metrics.in_flight.get()), (0, 0));
    let held = guard.admit(tenant(1), &limits).unwrap();
    assert_eq!(
        code(guard.check(tenant(1), &limits)),
        Some(Code::RateLimited)
    );
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(
        code(guard.check(tenant(1), &limits)),
        Some(Code::TooManyInFlight)
    );
    drop(held);
    assert!(guard.check(tenant(1), &limits).is_ok());
    assert!(guard.admit(tenant(1), &limits).is_ok());
}

#[tokio::test(start_paused = true)]
async fn tenants_without_limits_are_not_even_looked_up() {
    let (guard, _) = guard();
    for number in 0..1000 {
        assert!(guard.admit(tenant(number), &NONE).is_ok());
    }
    assert_eq!(guard.tenants_tracked(), 0);
}

#[tokio::test(start_paused = true)]
async fn idle_tenants_are_forgotten_and_busy_ones_are_not() {
    let (guard, _) = guard();
    let busy = guard.admit(tenant(u128::MAX), &in_flight(1)).unwrap();
    let mut most = 0;
    for number in 0..1_000_000 {
        assert!(guard.admit(tenant(number), &rate(1, 0)).is_ok());
        if number % 1000 == 0 {
            most = most.max(guard.tenants_tracked());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
    }
    // 10,000 come in a second, so that many at a time make a difference.
    assert!(most < 50_000, "{most}");
    assert_eq!(
        code(guard.admit(tenant(u128::MAX), &in_flight(1))),
        Some(Code::TooManyInFlight)
    );
    drop(busy);
}

#[test]
fn permits_may_cross_threads_and_are_small() {
    fn is_send<T: Send + 'static>() {}
    is_send::<super::Permit>();
    is_send::<super::ConnectionPermit>();
    assert!(size_of::<super::Permit>() <= 16);
}

#[test]
fn racing_threads_never_admit_more_than_the_limit() {
    let (guard, _) = guard();
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..100)
                        .filter_map(|_| guard.admit(tenant(1), &in_flight(50)).ok())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(held.len(), 50);
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn h13_one_address_cannot_take_every_connection() {
    let (guard, metrics) = guard_with(5, 2, &["10.0.0.0/8"]);
    let mut held: Vec<_> = ["192.0.2.1", "::ffff:192.0.2.1"]
        .map(|from| guard.connection(ip(from)).unwrap())
        .into();
    assert_eq!(
        guard.connection(ip("192.0.2.1")).unwrap_err(),
        ConnectionCap::Address
    );
    held.extend(
        ["2001:db8::1", "2001:db8::2:1:1:1"].map(|from| guard.connection(ip(from)).unwrap()),
    );
    assert_eq!(
        guard.connection(ip("2001:db8::3")).unwrap_err(),
        ConnectionCap::Address
    );
    held.push(guard.connection(ip("2001:db8:0:1::1")).unwrap());
    assert_eq!(
        guard.connection(ip("192.0.2.2")).unwrap_err(),
        ConnectionCap::Node
    );
    assert_eq!(
        metrics
            .connections_refused
            .with_label_values(&["address"])
            .get(),
        2
    );
    assert_eq!(
        metrics
            .connections_refused
            .with_label_values(&["node"])
            .get(),
        1
    );
    drop(held);
    assert!(guard.connection(ip("192.0.2.1")).is_ok());
}

#[test]
fn proxies_are_exempt_by_address_but_not_from_the_node_s_cap() {
    let (guard, _) = guard_with(3, 1, &["10.0.0.0/8"]);
    let _held: Vec<_> = (0..3)
        .map(|_| guard.connection(ip("::ffff:10.1.2.3")).unwrap())
        .collect();
    assert_eq!(
        guard.connection(ip("10.1.2.3")).unwrap_err(),
        ConnectionCap::Node
    );
}

#[test]
fn addresses_without_connections_are_forgotten() {
    let (guard, _) = guard_with(0, 1, &[]);
    for last in 0..=255 {
        drop(guard.connection(IpAddr::from([192, 0, 2, last])).unwrap());
    }
    assert_eq!(guard.network.addresses(), 0);
}
