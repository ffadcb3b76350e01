//! The proof, at the zone's name servers and at the resolvers.

use hickory_resolver::proto::op::ResponseCode;
use vestibule::domains::Seen;

use super::*;

const WANTED: &str =
    "_vestibule.app.acme.test TXT \"vestibule-verify=0123456789abcdef0123456789abcdef\"";
const EXPECTED: &str = "expected: _vestibule.app.acme.test TXT \"vestibule-verify=0123456789abcdef0123456789abcdef\", or \
                        _vestibule.app.acme.test CNAME 0123456789abcdef0123456789abcdef.proofs.test";

/// What is found where everybody says `lines` at the proof's name.
async fn proof(lines: &str) -> (Seen, String) {
    let world = World::of(&but(lines)).await;
    let looked = world.look().await;
    (looked.proof, world.told(&looked.checks, CheckCode::Proof))
}

fn not_ok(observed: &str, hint: &str) -> String {
    format!("not ok\n{EXPECTED}\nobserved: {observed}\nhint: {hint}")
}

fn without_proof() -> String {
    but("_vestibule.app.acme.test A 192.0.2.1")
}

#[tokio::test]
async fn a_name_that_is_as_it_should_be_is_seen_by_all_who_must_see_it() {
    let world = World::of(WELL).await;
    let looked = world.look().await;
    assert_eq!((looked.proof, looked.pointing), (Seen::Yes, Seen::Yes));
    let all_well =
        [CheckCode::Zone, CheckCode::Proof, CheckCode::Pointing].map(|code| (code, true));
    assert_eq!(codes(&looked.checks), all_well);
    let proof = &looked.checks[1];
    let resolver = format!("resolver {}", world.servers.resolver());
    let seen_by = [
        "ns1.acme.test (127.0.0.2)",
        "ns2.acme.test (127.0.0.3)",
        &resolver,
    ];
    assert_eq!(proof.seen_by, seen_by);
    assert_eq!(proof.observed, format!("\"vestibule-verify={SECRET}\""));
    assert_eq!(proof.hint, None);
}

#[tokio::test]
async fn other_records_beside_the_proof_do_no_harm_and_its_strings_are_joined() {
    let lines = r#"
        _vestibule.app.acme.test TXT "vestibule-verify=ffffffffffffffffffffffffffffffff"
        _vestibule.app.acme.test TXT "vestibule-" "verify=0123456789abcdef" "0123456789abcdef"
        _vestibule.app.acme.test TXT "v=spf1 -all"
    "#;
    assert_eq!(proof(lines).await.0, Seen::Yes);
}

#[tokio::test]
async fn an_alias_into_the_proof_zone_is_a_proof_though_nothing_stands_where_it_leads() {
    let lines = format!(
        "_vestibule.app.acme.test CNAME {}.PROOFS.test",
        SECRET.to_uppercase()
    );
    let (seen, told) = proof(&lines).await;
    assert_eq!(seen, Seen::Yes);
    // What stands there is said, not the TXT record that might.
    let there = format!("observed: CNAME {SECRET}.proofs.test");
    assert!(told.contains(&there), "{told}");
    // Not even a name server.
    let zone = but(&lines);
    let broken = format!("{zone}\n{SECRET}.proofs.test TXT !SERVFAIL");
    let broken = broken.replace(
        &format!("{}.PROOFS.test", SECRET.to_uppercase()),
        &format!("{SECRET}.proofs.test"),
    );
    let says = Says::lines(&broken.replace("TXT !SERVFAIL", "A 192.0.2.1"));
    let world = World::with(
        Says::lines(&broken),
        &[("127.0.0.2", says.clone()), ("127.0.0.3", says)],
    )
    .await;
    assert_eq!(world.look().await.proof, Seen::Yes);
}

#[tokio::test]
async fn no_record_at_all() {
    let (seen, told) = proof("_vestibule.app.acme.test A 192.0.2.1").await;
    assert_eq!(seen, Seen::No);
    let hint = format!("Set this record at the DNS provider: {WANTED}");
    assert_eq!(told, not_ok("no TXT record", &hint));
}

#[tokio::test]
async fn g8_another_tenants_proof_and_an_old_one_count_for_nothing() {
    let (seen, told) =
        proof("_vestibule.app.acme.test TXT \"vestibule-verify=ffffffffffffffffffffffffffffffff\"")
            .await;
    assert_eq!(seen, Seen::No);
    let observed = "other TXT records: \"vestibule-verify=ffffffffffffffffffffffffffffffff\"";
    let hint = format!("Set this record at the DNS provider: {WANTED}");
    assert_eq!(told, not_ok(observed, &hint));
}

#[tokio::test]
async fn a_value_entered_with_something_around_it_is_told_apart() {
    let (seen, told) = proof(&format!("_vestibule.app.acme.test TXT \"{SECRET}\"")).await;
    assert_eq!(seen, Seen::No);
    let hint =
        format!("Enter the value exactly, without quotes, blanks or anything left out: {WANTED}");
    assert_eq!(
        told,
        not_ok(&format!("other TXT records: \"{SECRET}\""), &hint)
    );
}

#[tokio::test]
async fn an_alias_that_leads_elsewhere_is_not_followed() {
    let lines = format!(
        "_vestibule.app.acme.test CNAME x.elsewhere.test\nx.elsewhere.test TXT \"vestibule-verify={SECRET}\""
    );
    let (seen, told) = proof(&lines).await;
    assert_eq!(seen, Seen::No);
    let hint = format!(
        "Remove the CNAME record at _vestibule.app.acme.test, which leads to x.elsewhere.test, and set: {WANTED}"
    );
    assert_eq!(
        told,
        not_ok("a CNAME record that leads to x.elsewhere.test", &hint)
    );
}

/// What is found where the two name servers say this, and the resolver as the first.
async fn split(ns1: Says, ns2: Says) -> (World, Looked) {
    let world = World::with(
        Says::lines(&right(WELL)),
        &[("127.0.0.2", ns1), ("127.0.0.3", ns2)],
    )
    .await;
    let looked = world.look().await;
    (world, looked)
}

#[tokio::test]
async fn name_servers_that_disagree_prove_nothing() {
    let (world, looked) = split(Says::lines(&right(WELL)), Says::lines(&without_proof())).await;
    assert_eq!(looked.proof, Seen::Unknown, "and they take nothing away");
    let observed = format!(
        "ns1.acme.test (127.0.0.2) and resolver R: \"vestibule-verify={SECRET}\"; ns2.acme.test (127.0.0.3): no TXT record"
    );
    let hint = "Not all name servers of the zone have the record. If it was set within the last hour, wait; else see why the \
                zone is not copied to the others.";
    assert_eq!(
        world.told(&looked.checks, CheckCode::Proof),
        not_ok(&observed, hint)
    );
}

#[tokio::test]
async fn one_of_two_name_servers_is_too_few_and_no_reason_to_say_no() {
    for trouble in [
        Says::Code(ResponseCode::Refused),
        Says::Foreign(right(WELL)),
    ] {
        let (_, looked) = split(Says::lines(&right(WELL)), trouble.clone()).await;
        assert_eq!(looked.proof, Seen::Unknown, "{trouble:?}");
        let (_, looked) = split(trouble, Says::lines(&without_proof())).await;
        assert_eq!(looked.proof, Seen::Unknown);
    }
}

#[tokio::test]
async fn name_servers_that_are_silent_say_neither_yes_nor_no() {
    let (world, looked) = split(Says::Silent, Says::Silent).await;
    assert_eq!((looked.proof, looked.pointing), (Seen::Unknown, Seen::Yes));
    let observed = format!(
        "resolver R: \"vestibule-verify={SECRET}\"; ns1.acme.test (127.0.0.2) and ns2.acme.test (127.0.0.3): does not answer"
    );
    let hint = "Not enough servers answered to say anything; it is looked at again by itself.";
    assert_eq!(
        world.told(&looked.checks, CheckCode::Proof),
        not_ok(&observed, hint)
    );
}

#[tokio::test]
async fn a_resolver_that_remembers_the_time_before_is_waited_for() {
    let says = Says::lines(&right(WELL));
    let servers = [("127.0.0.2", says.clone()), ("127.0.0.3", says)];
    let world = World::with(Says::lines(&without_proof()), &servers).await;
    let looked = world.look().await;
    assert_eq!(looked.proof, Seen::Unknown);
    let observed = format!(
        "ns1.acme.test (127.0.0.2) and ns2.acme.test (127.0.0.3): \"vestibule-verify={SECRET}\"; resolver R: no TXT record"
    );
    let hint = "The name servers have the record, and a resolver still remembers that it was not there. Nothing is to be done \
                but to wait; at most as long as the zone's SOA says for denials.";
    assert_eq!(
        world.told(&looked.checks, CheckCode::Proof),
        not_ok(&observed, hint)
    );
}

#[tokio::test]
async fn an_answer_that_fits_no_datagram_is_fetched_over_tcp() {
    let says = Says::OverTcp(right(WELL));
    let world = World::with(
        says.clone(),
        &[("127.0.0.2", says.clone()), ("127.0.0.3", says)],
    )
    .await;
    assert_eq!(world.look().await.proof, Seen::Yes);
}

#[tokio::test]
async fn a_wildcards_proof_stands_at_its_parent() {
    let zone = r#"
        acme.test SOA
        acme.test NS ns1.acme.test
        ns1.acme.test A 127.0.0.2
        *.acme.test CNAME edge.vestibule.test
        _vestibule.acme.test TXT "vestibule-verify=0123456789abcdef0123456789abcdef"
    "#;
    let says = Says::lines(zone);
    let world = World::with(says.clone(), &[("127.0.0.2", says)]).await;
    let looked = world
        .looker
        .look(&claim("*.acme.test"), &world.expected, NOW)
        .await;
    assert_eq!((looked.proof, looked.pointing), (Seen::Yes, Seen::Yes));
}

#[tokio::test]
async fn a_name_before_which_the_proof_has_no_room_is_told_so() {
    let world = World::of(WELL).await;
    let long = vec!["a".repeat(60); 4].join(".");
    let looked = world
        .looker
        .look(&claim(&format!("{long}.test")), &world.expected, NOW)
        .await;
    assert_eq!(looked.proof, Seen::No);
    assert_eq!(
        world.told(&looked.checks, CheckCode::Proof),
        finding(
            "not ok
            expected: a name of at most 242 bytes, so that _vestibule. fits before it
            observed: a name of 248 bytes
            hint: Claim a shorter name."
        )
    );
}

#[tokio::test]
async fn a_proof_set_at_the_wrong_name_is_found_by_the_doctor() {
    for wrong in ["_vestibule.app.acme.test.acme.test", "app.acme.test"] {
        let lines = format!(
            "_vestibule.app.acme.test A 192.0.2.1\n{wrong} TXT \"vestibule-verify={SECRET}\""
        );
        let world = World::of(&but(&lines)).await;
        let told = world.told(&world.doctor().await, CheckCode::Proof);
        let hint =
            format!("The record stands at {wrong}; it must stand at _vestibule.app.acme.test.");
        assert_eq!(told, not_ok("no TXT record", &hint));
    }
}

#[tokio::test]
async fn resolvers_alone_decide_in_a_name_space_without_any_name_server() {
    // As pebble-challtestsrv answers: it knows no such kinds of records, and no name that does not exist.
    let deaf = "* SOA !NOTIMP\n* NS !NOTIMP\n* DS !NOTIMP";
    let well = format!(
        "{deaf}\n{}",
        right(WELL)
            .replace("acme.test SOA", "")
            .replace("acme.test NS ", "x.test NS ")
    );
    let world = World::with(Says::lines(&well), &[]).await;
    let looked = world.look().await;
    assert_eq!((looked.proof, looked.pointing), (Seen::Yes, Seen::Yes));
    let zone = "ok
        expected: name servers that answer for app.acme.test
        observed: the configured resolvers know no name server of any zone, so they alone are asked";
    assert_eq!(world.told(&looked.checks, CheckCode::Zone), finding(zone));
    let without = World::with(
        Says::lines(&format!("{deaf}\napp.acme.test A 198.51.100.7")),
        &[],
    )
    .await;
    assert_eq!(without.look().await.proof, Seen::No);
}
