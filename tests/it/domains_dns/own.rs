//! Names of the operator's own: base domains and platform hosts.

use std::net::UdpSocket;

use super::*;

/// Nothing is delegated, and the name leads elsewhere.
const ELSEWHERE: &str = "app.acme.test A 203.0.113.80\n_acme-challenge.app.acme.test A 192.0.2.1";

const NOWHERE: &str = "app.acme.test TXT nothing\n_acme-challenge.app.acme.test A 192.0.2.1";

/// A world where everybody says this, and the names are the operator's.
async fn world(lines: &str, here: Here) -> World {
    let mut world = World::of(&but(lines)).await;
    world.expected.whose = Whose::Operator(here);
    world
}

fn ready(preflight: &Preflight) -> Vec<ChallengeKind> {
    preflight.ready[0].clone()
}

#[tokio::test]
async fn one_that_leads_elsewhere_is_not_ordered_for_and_what_can_be_done_is_said() {
    let world = world(ELSEWHERE, Here::default()).await;
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!((ready(&preflight), preflight.unsure), (vec![], false));
    let delegated = delegated_name(&hostname("app.acme.test"), &hostname("challenges.test"));
    let expected = format!(
        "not ok
        expected: app.acme.test CNAME edge.vestibule.test, or A 198.51.100.7 and AAAA 2001:db8::7
        observed: A 203.0.113.80
        hint: No certificate can be ordered for app.acme.test while it leads elsewhere. Lead it here: app.acme.test CNAME \
         edge.vestibule.test. If it does lead here, by an address that this node does not know, add that to `domains.addresses`. \
         Should it lead elsewhere: set _acme-challenge.app.acme.test CNAME {} (dns-01), or bring its certificate (`cert import`, or \
         a file in `tls.directory`), or have none with \"app.acme.test\" in `tls.not_ordered`.",
        delegated.unwrap()
    );
    let told = world.told(&preflight.checks, CheckCode::Pointing);
    assert_eq!(told, finding(&expected));
}

#[tokio::test]
async fn one_that_leads_elsewhere_and_is_delegated_is_as_it_should_be() {
    let world = world("app.acme.test A 203.0.113.80", Here::default()).await;
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(ready(&preflight), [ChallengeKind::Dns01]);
    assert!(preflight.checks.iter().all(|it| it.ok), "{preflight:?}");
    // A star leads nobody to a challenge anyway.
    let preflight = world.preflight("*.app.acme.test").await;
    assert_eq!(ready(&preflight), [ChallengeKind::Dns01]);
    assert!(preflight.checks.iter().all(|it| it.ok), "{preflight:?}");
}

#[tokio::test]
async fn one_may_lead_to_a_listeners_own_address() {
    let here = Here {
        listeners: vec!["203.0.113.80".parse().unwrap()],
        machine: false,
    };
    let world = world(ELSEWHERE, here).await;
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(
        ready(&preflight),
        [ChallengeKind::Http01, ChallengeKind::TlsAlpn01]
    );
    let told = world.told(&preflight.checks, CheckCode::Pointing);
    assert!(
        told.contains("AAAA 2001:db8::7 and A 203.0.113.80"),
        "{told}"
    );
}

#[tokio::test]
async fn where_nobody_knows_where_here_is_it_may_lead_anywhere_but_nowhere() {
    for (lines, wanted) in [(ELSEWHERE, 2), (NOWHERE, 0)] {
        for machine in [false, true] {
            let here = Here {
                machine,
                ..Here::default()
            };
            let mut world = world(lines, here).await;
            world.expected.cname_target = None;
            world.expected.addresses.clear();
            let preflight = world.preflight("app.acme.test").await;
            assert_eq!(ready(&preflight).len(), wanted, "{preflight:?}");
        }
    }
}

#[tokio::test]
async fn one_may_lead_to_any_address_of_the_machine_where_all_are_listened_at() {
    // By which of its own the system would send, which it does not.
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = match probe.connect("198.51.100.1:9") {
        Ok(()) => probe.local_addr().unwrap().ip(),
        // A machine without a network has none that others could lead to.
        Err(_) => return,
    };
    for (machine, ready_kinds) in [(true, 2), (false, 0)] {
        for own in [own, "127.0.0.1".parse().unwrap()] {
            let here = Here {
                machine,
                ..Here::default()
            };
            let lines = ELSEWHERE.replace("203.0.113.80", &own.to_string());
            let world = world(&lines, here).await;
            let preflight = world.preflight("app.acme.test").await;
            assert_eq!(ready(&preflight).len(), ready_kinds, "{preflight:?}");
        }
    }
}
