//! Where a name leads.

use vestibule::domains::Seen;

use super::*;

const EXPECTED: &str =
    "expected: app.acme.test CNAME edge.vestibule.test, or A 198.51.100.7 and AAAA 2001:db8::7";

/// What is found where everybody says `lines` of the name: whether it points here, whether http-01 can succeed, and the findings.
async fn look(lines: &str) -> (Seen, bool, Vec<Check>, World) {
    let world = World::of(&but(lines)).await;
    let looked = world.look().await;
    let preflight = world.preflight("app.acme.test").await;
    let ready = preflight.ready[0].contains(&ChallengeKind::Http01);
    let same = |code| world.told(&looked.checks, code) == world.told(&preflight.checks, code);
    assert!(same(CheckCode::Pointing) && same(CheckCode::Ipv6) && same(CheckCode::Cdn));
    (looked.pointing, ready, looked.checks, world)
}

fn not_ok(observed: &str, hint: &str) -> String {
    format!("not ok\n{EXPECTED}\nobserved: {observed}\nhint: {hint}")
}

#[tokio::test]
async fn a_name_leads_here_by_our_name_by_our_addresses_or_by_those_of_our_name() {
    for (lines, observed) in [
        (
            "app.acme.test CNAME edge.vestibule.test",
            "CNAME edge.vestibule.test",
        ),
        (
            "app.acme.test CNAME www.acme.test\nwww.acme.test CNAME edge.vestibule.test",
            "CNAME www.acme.test and CNAME edge.vestibule.test",
        ),
        ("app.acme.test A 198.51.100.7", "A 198.51.100.7"),
        ("app.acme.test AAAA 2001:db8::7", "AAAA 2001:db8::7"),
        (
            "app.acme.test A 198.51.100.7\napp.acme.test AAAA 2001:db8::7",
            "A 198.51.100.7 and AAAA 2001:db8::7",
        ),
        // Made of a CNAME by the provider: today's addresses of our name, whatever the configuration says.
        (
            "app.acme.test A 203.0.113.80\nedge.vestibule.test A 203.0.113.80",
            "A 203.0.113.80",
        ),
    ] {
        let (seen, ready, checks, world) = look(lines).await;
        assert_eq!((seen, ready), (Seen::Yes, true), "{lines}");
        assert_eq!(
            world.told(&checks, CheckCode::Pointing),
            format!("ok\n{EXPECTED}\nobserved: {observed}")
        );
        assert_eq!(world.told(&checks, CheckCode::Ipv6), "");
    }
}

#[tokio::test]
async fn a_name_of_ours_without_any_address_is_the_operators_fault_and_nothing_is_ordered() {
    let hint = "The record is right. This is the operator's to repair: `domains.cname_target` has no address; give that name its A \
                and AAAA records, or name another.";
    for nothing in ["edge.vestibule.test TXT x", "edge.vestibule.test A !NONE"] {
        let (seen, ready, checks, world) = look(nothing).await;
        // The customer has done what was asked: nothing is taken from them.
        assert_eq!((seen, ready), (Seen::Yes, false), "{nothing}");
        assert_eq!(
            world.told(&checks, CheckCode::Pointing),
            not_ok("CNAME edge.vestibule.test, which has no address", hint)
        );
        assert!(world.looker.target_is_dead(&world.expected).await);
    }
    // Nor is a customer to blame who has not pointed yet, or whose provider flattens the record.
    let (seen, _, checks, world) = look("app.acme.test TXT x\nedge.vestibule.test TXT x").await;
    assert_eq!(seen, Seen::No);
    let hint = "Set this record at the DNS provider: app.acme.test CNAME edge.vestibule.test. But edge.vestibule.test, \
                `domains.cname_target`, has no address: that is the operator's to repair first";
    assert_eq!(
        world.told(&checks, CheckCode::Pointing),
        not_ok("no A or AAAA record", hint)
    );
    for (lines, dead) in [
        ("edge.vestibule.test AAAA 2001:db8::7", false),
        ("edge.vestibule.test A !SERVFAIL", false),
    ] {
        let world = World::of(&but(lines)).await;
        assert_eq!(
            world.looker.target_is_dead(&world.expected).await,
            dead,
            "{lines}"
        );
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere() {
    let (seen, ready, checks, world) =
        look("app.acme.test CNAME shops.other.test\nshops.other.test A 192.0.2.80").await;
    assert_eq!((seen, ready), (Seen::No, false));
    let hint = "Change the records of app.acme.test at the DNS provider to: app.acme.test CNAME edge.vestibule.test";
    let told = world.told(&checks, CheckCode::Pointing);
    assert_eq!(
        told,
        not_ok("CNAME shops.other.test and A 192.0.2.80", hint)
    );
}

#[tokio::test]
async fn a_name_that_leads_here_only_in_part() {
    let (seen, ready, checks, world) =
        look("app.acme.test A 198.51.100.7\napp.acme.test A 192.0.2.80").await;
    assert_eq!((seen, ready), (Seen::No, false));
    let hint = "Some records of app.acme.test lead here and some elsewhere: remove the others, and keep: app.acme.test CNAME \
                edge.vestibule.test";
    let told = world.told(&checks, CheckCode::Pointing);
    assert_eq!(told, not_ok("A 198.51.100.7 and A 192.0.2.80", hint));
}

#[tokio::test]
async fn a_name_that_leads_nowhere_or_is_not_there() {
    let hint = "Set this record at the DNS provider: app.acme.test CNAME edge.vestibule.test";
    let (seen, _, checks, world) = look("app.acme.test TXT x").await;
    assert_eq!(seen, Seen::No);
    assert_eq!(
        world.told(&checks, CheckCode::Pointing),
        not_ok("no A or AAAA record", hint)
    );
    let gone = "app.acme.test CNAME gone.acme.test";
    let (seen, _, checks, world) = look(gone).await;
    assert_eq!(seen, Seen::No);
    let told = world.told(&checks, CheckCode::Pointing);
    assert_eq!(told, not_ok("CNAME gone.acme.test", hint));
}

#[tokio::test]
async fn g17_a_stale_aaaa_record_has_a_finding_of_its_own_and_keeps_challenges_away() {
    let (seen, ready, checks, world) =
        look("app.acme.test A 198.51.100.7\napp.acme.test AAAA 2001:db8::666").await;
    assert_eq!((seen, ready), (Seen::Yes, false));
    assert_eq!(
        world.told(&checks, CheckCode::Ipv6),
        finding(
            "not ok
            expected: no AAAA record at app.acme.test, or AAAA 2001:db8::7
            observed: AAAA 2001:db8::666
            hint: Remove the AAAA record of app.acme.test: whoever has IPv6, a CA first of all, is led there and not here."
        )
    );
}

#[tokio::test]
async fn g17_an_aaaa_question_that_fails_keeps_challenges_away_for_now() {
    let world = World::of(&but(
        "app.acme.test A 198.51.100.7\napp.acme.test AAAA !SERVFAIL",
    ))
    .await;
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(
        (preflight.ready[0].as_slice(), preflight.unsure),
        ([ChallengeKind::Dns01].as_slice(), true)
    );
    assert_eq!(
        world.told(&preflight.checks, CheckCode::Ipv6),
        finding(
            "not ok
            expected: no AAAA record at app.acme.test, or AAAA 2001:db8::7
            observed: answers SERVFAIL
            hint: The name servers answer for A and not for AAAA; a CA refuses a name of which it cannot know whether it has \
             IPv6. Ask the DNS provider of app.acme.test."
        )
    );
}

#[tokio::test]
async fn a_proxy_before_the_name_is_named_with_what_to_switch() {
    let (seen, ready, checks, world) = look("app.acme.test A 104.16.132.229").await;
    assert_eq!((seen, ready), (Seen::No, false));
    let cloudflare = "At Cloudflare, switch the record of app.acme.test from \"Proxied\" to \"DNS only\" (the grey cloud), with: \
                      app.acme.test CNAME edge.vestibule.test";
    let told = world.told(&checks, CheckCode::Cdn);
    assert_eq!(
        told,
        not_ok("app.acme.test is served by Cloudflare", cloudflare)
    );
    let (_, _, checks, world) =
        look("app.acme.test CNAME d111.cloudfront.net\nd111.cloudfront.net A 192.0.2.80").await;
    let cloudfront = "Take app.acme.test out of Amazon CloudFront and set: app.acme.test CNAME edge.vestibule.test";
    let told = world.told(&checks, CheckCode::Cdn);
    assert_eq!(
        told,
        not_ok("app.acme.test is served by Amazon CloudFront", cloudfront)
    );
}

#[tokio::test]
async fn a_wildcard_is_asked_for_by_a_name_that_nobody_has() {
    let world = World::of(&but(
        "*.acme.test A 198.51.100.7\nwww.acme.test A 192.0.2.80",
    ))
    .await;
    let looked = world
        .looker
        .look(&claim("*.acme.test"), &world.expected, NOW)
        .await;
    assert_eq!(looked.pointing, Seen::Yes);
    let without = World::of(&but("www.acme.test A 198.51.100.7")).await;
    let looked = without
        .looker
        .look(&claim("*.acme.test"), &without.expected, NOW)
        .await;
    assert_eq!(looked.pointing, Seen::No);
    let hint = "Set this record at the DNS provider: *.acme.test CNAME edge.vestibule.test";
    let told = without.told(&looked.checks, CheckCode::Pointing);
    assert_eq!(
        told,
        not_ok("no such name (NXDOMAIN)", hint).replace("app.acme", "*.acme")
    );
}

#[tokio::test]
async fn resolvers_that_see_different_records_are_waited_for() {
    let [here, elsewhere] = [WELL.to_owned(), but("app.acme.test A 192.0.2.80")];
    let first = World::of(&here).await;
    let second = World::of(&elsewhere).await;
    let both = settings(&format!(
        "resolvers = [\"{}\", \"{}\"]",
        first.servers.resolver(),
        second.servers.resolver()
    ));
    let looker = Looker::new(&both).unwrap();
    let looked = looker
        .look(&claim("app.acme.test"), &first.expected, NOW)
        .await;
    assert_eq!(looked.pointing, Seen::Unknown);
    let told = first.told(&looked.checks, CheckCode::Pointing);
    let told = told.replace(&second.servers.resolver().to_string(), "R2");
    let observed = "resolver R: CNAME edge.vestibule.test; resolver R2: A 192.0.2.80";
    let hint = "Resolvers still remember different records; it is looked at again by itself.";
    assert_eq!(told, not_ok(observed, hint));
}

#[tokio::test]
async fn where_nobody_has_said_where_names_lead_none_is_held_back() {
    let mut world = World::of(WELL).await;
    world.expected.cname_target = None;
    world.expected.addresses.clear();
    assert_eq!(world.look().await.pointing, Seen::Unknown);
    assert_eq!(
        world.preflight("app.acme.test").await.ready[0],
        ChallengeKind::ALL
    );
}
