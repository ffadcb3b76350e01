//! What a tenant has used, where it is kept at hand.

use std::time::Duration;

use super::{NONE, code, guard, rate, tenant};
use crate::guard::AtHand;
use crate::model::{Code, Limits};

/// Two threads, and whoever comes without anything at hand, must not each give the tenant an allowance of its own.
#[tokio::test(start_paused = true)]
async fn what_a_tenant_has_used_is_one_however_it_is_come_by() {
    let (guard, _) = guard();
    let limits = Limits {
        requests_per_second: 2,
        in_flight: 3,
        ..NONE
    };
    let [mut one, mut other] = [AtHand::default(), AtHand::default()];
    let mut held = Vec::new();
    held.extend(guard.admit_at_hand(&mut one, tenant(1), &limits).ok());
    // Idle tenants are looked for meanwhile, and the tenant's allowance is whole again but for what is in flight.
    tokio::time::advance(Duration::from_secs(1)).await;
    for number in 2..100_000 {
        assert!(guard.admit(tenant(number), &rate(1, 0)).is_ok());
    }
    held.extend(guard.admit_at_hand(&mut other, tenant(1), &limits).ok());
    held.extend(guard.admit(tenant(1), &limits).ok());
    assert_eq!(held.len(), 3);
    let mut refused = |limits: &Limits| {
        [
            code(guard.admit_at_hand(&mut one, tenant(1), limits)),
            code(guard.admit_at_hand(&mut other, tenant(1), limits)),
            code(guard.admit(tenant(1), limits)),
        ]
    };
    assert_eq!(refused(&limits), [Some(Code::RateLimited); 3]);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(refused(&limits), [Some(Code::TooManyInFlight); 3]);
    held.clear();
    assert_eq!(refused(&limits), [None, None, Some(Code::RateLimited)]);
    // What is at hand is another tenant's.
    assert!(guard.admit_at_hand(&mut one, tenant(2), &limits).is_ok());
}

/// What is at hand while its tenant is idle is what the next request without it finds.
#[tokio::test(start_paused = true)]
async fn what_is_at_hand_is_not_forgotten() {
    let (guard, _) = guard();
    let mut at_hand = AtHand::default();
    assert!(
        guard
            .admit_at_hand(&mut at_hand, tenant(1), &rate(1, 0))
            .is_ok()
    );
    tokio::time::advance(Duration::from_secs(10)).await;
    for number in 2..100_000 {
        assert!(guard.admit(tenant(number), &rate(1, 0)).is_ok());
    }
    assert!(
        guard
            .admit_at_hand(&mut at_hand, tenant(1), &rate(1, 0))
            .is_ok()
    );
    assert_eq!(
        code(guard.admit(tenant(1), &rate(1, 0))),
        Some(Code::RateLimited)
    );
}
