//! Zones that cannot be asked, or not fully.

use hickory_resolver::proto::op::ResponseCode;
use vestibule::domains::Seen;

use super::*;

async fn zone(ns2: Says) -> String {
    let says = Says::lines(&right(WELL));
    let world = World::with(says.clone(), &[("127.0.0.2", says), ("127.0.0.3", ns2)]).await;
    world.told(&world.look().await.checks, CheckCode::Zone)
}

fn lame(observed: &str) -> String {
    finding(&format!(
        "not ok
        expected: name servers that answer for app.acme.test
        observed: {observed}
        hint: Repair ns2.acme.test, or take it out of the name servers of acme.test at the registrar and in the zone."
    ))
}

#[tokio::test]
async fn a_name_server_of_no_use_is_named_with_what_it_says() {
    let refused = zone(Says::Code(ResponseCode::Refused)).await;
    assert_eq!(refused, lame("ns2.acme.test (127.0.0.3) answers REFUSED"));
    let foreign = zone(Says::Foreign(right(WELL))).await;
    assert_eq!(
        foreign,
        lame("ns2.acme.test (127.0.0.3) does not hold the zone")
    );
    let silent = zone(Says::Silent).await;
    assert_eq!(silent, lame("ns2.acme.test (127.0.0.3) does not answer"));
}

#[tokio::test]
async fn a_zone_in_good_order_is_told_with_its_servers() {
    let told = zone(Says::lines(&right(WELL))).await;
    let well = "ok
        expected: name servers that answer for app.acme.test
        observed: ns1.acme.test and ns2.acme.test of the zone acme.test";
    assert_eq!(told, finding(well));
}

#[tokio::test]
async fn a_name_server_without_an_address_is_one_that_is_missing() {
    let zone = but("ns2.acme.test TXT x");
    let says = Says::lines(&zone);
    let world = World::with(says.clone(), &[("127.0.0.2", says)]).await;
    let looked = world.look().await;
    assert_eq!(looked.proof, Seen::Unknown);
    let told = world.told(&looked.checks, CheckCode::Zone);
    assert_eq!(told, lame("ns2.acme.test has no address"));
}

#[tokio::test]
async fn one_server_under_two_names_counts_once() {
    let says = Says::lines(&but("ns2.acme.test A 127.0.0.2"));
    let world = World::with(says.clone(), &[("127.0.0.2", says)]).await;
    let looked = world.look().await;
    assert_eq!(looked.proof, Seen::Yes);
    assert_eq!(looked.checks[1].seen_by[0], "ns1.acme.test (127.0.0.2)");
    assert_eq!(looked.checks[1].seen_by.len(), 2);
}

#[tokio::test]
async fn name_servers_in_private_networks_are_not_asked_unless_allowed() {
    let world = World::of(WELL).await;
    let strict = looker(&world.servers, "");
    let looked = strict
        .look(&claim("app.acme.test"), &world.expected, NOW)
        .await;
    assert_eq!(looked.proof, Seen::Unknown);
    let told = world.told(&looked.checks, CheckCode::Zone);
    let observed = "observed: ns1.acme.test has a private address, 127.0.0.2 and ns2.acme.test has a private address, 127.0.0.3";
    assert!(told.contains(observed), "{told}");
    assert!(told.contains("`domains.private_name_servers`"), "{told}");
    assert_eq!(
        [
            world.servers.asked("127.0.0.2"),
            world.servers.asked("127.0.0.3")
        ],
        [0, 0]
    );
}

#[tokio::test]
async fn resolvers_that_fail_say_neither_yes_nor_no() {
    let zone = but("_vestibule.app.acme.test TXT !SERVFAIL
         app.acme.test A !SERVFAIL
         app.acme.test AAAA !SERVFAIL
         * NS !SERVFAIL");
    let says = Says::lines(&zone);
    let world = World::with(says.clone(), &[("127.0.0.2", says)]).await;
    let looked = world.look().await;
    assert_eq!(
        (looked.proof, looked.pointing),
        (Seen::Unknown, Seen::Unknown)
    );
    assert_eq!(
        world.told(&looked.checks, CheckCode::Zone),
        finding(
            "not ok
            expected: name servers that answer for app.acme.test
            observed: resolver R answers SERVFAIL
            hint: Nobody can find the name servers of _vestibule.app.acme.test. Check at the registrar that the name servers \
             entered for it are those of the DNS provider, and that the zone exists there."
        )
    );
    assert_eq!(
        world.told(&looked.checks, CheckCode::Pointing),
        finding(
            "not ok
            expected: app.acme.test CNAME edge.vestibule.test, or A 198.51.100.7 and AAAA 2001:db8::7
            observed: answers SERVFAIL
            hint: Not every resolver answered; it is looked at again by itself."
        )
    );
}

#[tokio::test]
async fn of_resolvers_that_say_nothing_at_all_the_name_is_not_to_blame() {
    for says in [Says::Silent, Says::Code(ResponseCode::Refused)] {
        let world = World::with(says, &[]).await;
        let looked = world.look().await;
        assert_eq!(
            (looked.proof, looked.pointing),
            (Seen::Unknown, Seen::Unknown)
        );
        let told = world.told(&looked.checks, CheckCode::Zone);
        assert!(!told.contains("registrar"), "{told}");
        assert!(told.contains("`domains.resolvers`"), "{told}");
    }
}

/// The resolver fails below `test`, whose server refers to the customer's.
#[tokio::test]
async fn where_resolvers_fail_the_servers_above_say_who_is_to_blame() {
    let resolver = "
        test SOA
        test NS ns.test
        ns.test A 127.0.0.4
        acme.test NS !SERVFAIL
        app.acme.test NS !SERVFAIL
        _vestibule.app.acme.test NS !SERVFAIL
        _vestibule.app.acme.test TXT !SERVFAIL
        ns1.acme.test A !SERVFAIL
        ns1.acme.test AAAA !SERVFAIL
        app.acme.test A !SERVFAIL";
    let parent = "
        test SOA
        acme.test REFER ns1.acme.test
        ns1.acme.test A 127.0.0.2";
    let servers = [
        ("127.0.0.2", Says::Code(ResponseCode::Refused)),
        ("127.0.0.4", Says::lines(parent)),
    ];
    let world = World::with(Says::lines(resolver), &servers).await;
    let looked = world.look().await;
    assert_eq!(looked.proof, Seen::Unknown);
    assert_eq!(
        world.told(&looked.checks, CheckCode::Zone),
        finding(
            "not ok
            expected: name servers that answer for app.acme.test
            observed: ns1.acme.test (127.0.0.2) answers REFUSED
            hint: Repair ns1.acme.test, or take it out of the name servers of acme.test at the registrar and in the zone."
        )
    );
}

#[tokio::test]
async fn a_domain_that_nobody_has_registered_is_told_so() {
    let zone = "
        test SOA
        test NS ns.test
        ns.test A 127.0.0.4
        edge.vestibule.test A 198.51.100.7";
    let says = Says::lines(zone);
    let world = World::with(says.clone(), &[("127.0.0.4", says)]).await;
    let looked = world.look().await;
    assert_eq!((looked.proof, looked.pointing), (Seen::No, Seen::No));
    assert_eq!(
        world.told(&looked.checks, CheckCode::Zone),
        finding(
            "not ok
            expected: acme.test is registered
            observed: there is no acme.test (NXDOMAIN)
            hint: Register acme.test, or correct the spelling of app.acme.test."
        )
    );
}
