//! The delegation of `_acme-challenge` into our own zone.

use super::*;

/// What is found where everybody says this at `_acme-challenge`.
async fn challenge(lines: &str) -> (bool, bool, String) {
    let mut world = World::of(&but(lines)).await;
    world.expected.cas[0].challenges = vec![ChallengeKind::Dns01];
    let preflight = world.preflight("app.acme.test").await;
    let ready = preflight.ready[0].contains(&ChallengeKind::Dns01);
    let told = world.told(&preflight.checks, CheckCode::Challenge);
    (ready, preflight.unsure, told.replace(&target(), "OURS"))
}

fn target() -> String {
    let target = delegated_name(&hostname("app.acme.test"), &hostname("challenges.test"));
    target.unwrap().to_string()
}

fn not_ok(observed: &str, hint: &str) -> String {
    let expected = "expected: _acme-challenge.app.acme.test CNAME OURS";
    format!("not ok\n{expected}\nobserved: {observed}\nhint: {hint}")
}

#[tokio::test]
async fn a_delegated_challenge_is_ready_also_by_way_of_another_name() {
    let ours = target();
    for lines in [
        // A server that leaves the alias out where it was asked for TXT.
        format!(
            "_acme-challenge.app.acme.test CNAME {ours}\n_acme-challenge.app.acme.test TXT !NONE"
        ),
        format!("_acme-challenge.app.acme.test CNAME {ours}"),
        format!(
            "_acme-challenge.app.acme.test CNAME acme.elsewhere.test\nacme.elsewhere.test CNAME {ours}"
        ),
    ] {
        let (ready, unsure, told) = challenge(&lines).await;
        assert!(ready && !unsure);
        let well = "ok
            expected: _acme-challenge.app.acme.test CNAME OURS
            observed: it leads to our zone";
        assert_eq!(told, finding(well));
    }
}

#[tokio::test]
async fn a_challenge_that_is_not_delegated() {
    let (ready, unsure, told) = challenge("_acme-challenge.app.acme.test A 192.0.2.1").await;
    assert!(!ready && !unsure);
    let hint = "Set this record at the DNS provider: _acme-challenge.app.acme.test CNAME OURS";
    assert_eq!(told, not_ok("no CNAME record", hint));
}

#[tokio::test]
async fn what_another_certificate_has_left_there() {
    let (ready, _, told) = challenge("_acme-challenge.app.acme.test TXT \"gfj9Xq...Rg85nM\"").await;
    assert!(!ready);
    let hint = "Remove the TXT records at _acme-challenge.app.acme.test, which somebody else's certificate has left there, and \
                set: _acme-challenge.app.acme.test CNAME OURS";
    assert_eq!(told, not_ok("TXT records: \"gfj9Xq...Rg85nM\"", hint));
}

#[tokio::test]
async fn a_challenge_that_leads_to_somebody_else() {
    let (ready, _, told) =
        challenge("_acme-challenge.app.acme.test CNAME app.other-host.test").await;
    assert!(!ready);
    let hint = "Change the CNAME record to: _acme-challenge.app.acme.test CNAME OURS";
    assert_eq!(
        told,
        not_ok("a CNAME record that leads to app.other-host.test", hint)
    );
}

#[tokio::test]
async fn a_zone_of_ours_that_nobody_reaches_is_not_the_customers_fault() {
    let ours = target();
    let (ready, unsure, told) = challenge(&format!(
        "_acme-challenge.app.acme.test CNAME {ours}\n{ours} TXT !SERVFAIL"
    ))
    .await;
    assert!(!ready && unsure);
    let hint = "The record is right. This is the operator's to repair: the resolvers find no answer in the zone of \
                `acme_dns.zone`; see that it is delegated to `acme_dns.name_server` and that its port 53 is reached.";
    assert_eq!(
        told,
        not_ok("it leads to our zone, of which nobody gets an answer", hint)
    );
}

#[tokio::test]
async fn a_delegation_is_not_asked_for_where_another_challenge_is_ready() {
    let world = World::of(&but("_acme-challenge.app.acme.test TXT x")).await;
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(
        preflight.ready[0],
        [ChallengeKind::Http01, ChallengeKind::TlsAlpn01]
    );
    assert_eq!(world.told(&preflight.checks, CheckCode::Challenge), "");
    assert!(world.doctor().await.iter().all(|check| check.ok));
}

#[tokio::test]
async fn a_wildcard_without_dns01_is_told_whose_fault_it_is() {
    let mut world = World::of(WELL).await;
    world.expected.challenge_zone = None;
    let preflight = world.preflight("*.acme.test").await;
    assert_eq!(preflight.ready[0], []);
    assert_eq!(
        world.told(&preflight.checks, CheckCode::Challenge),
        finding(
            "not ok
            expected: *.acme.test can be certified by dns-01
            observed: dns-01 is not configured, and wildcards can have no other challenge
            hint: This is the operator's to repair: set `acme_dns.listen` and `acme_dns.zone`, and \"dns-01\" in `acme.challenges`."
        )
    );
    let plain = world.preflight("app.acme.test").await;
    assert_eq!(
        plain.ready[0],
        [ChallengeKind::Http01, ChallengeKind::TlsAlpn01]
    );
    assert_eq!(world.told(&plain.checks, CheckCode::Challenge), "");
}

#[tokio::test]
async fn where_either_of_two_is_enough_there_is_one_thing_to_fix() {
    let elsewhere = "app.acme.test A 203.0.113.80\n_acme-challenge.app.acme.test A 192.0.2.1";
    let world = World::of(&but(elsewhere)).await;
    let preflight = world.preflight("app.acme.test").await;
    let wrong: Vec<&Check> = preflight.checks.iter().filter(|it| !it.ok).collect();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert_eq!(wrong[0].code, CheckCode::Pointing);
    let hint = format!(
        "Change the records of app.acme.test at the DNS provider to: app.acme.test CNAME edge.vestibule.test (For a certificate either \
         this is enough or a delegation. Set this record at the DNS provider: _acme-challenge.app.acme.test CNAME {})",
        target()
    );
    assert_eq!(wrong[0].hint.as_ref(), Some(&hint));
}

#[tokio::test]
async fn a_delegation_is_not_asked_for_where_it_would_not_help() {
    let undelegated = "_acme-challenge.app.acme.test A 192.0.2.1";
    for caa in [
        "CAA 0 issue \";\"",
        "CAA 128 future \"x\"",
        "CAA 0 issue \"ca.test; validationmethods=http-01\"",
        "CAA !SERVFAIL",
    ] {
        let zone = but(&format!(
            "{undelegated}\napp.acme.test A 203.0.113.80\napp.acme.test {caa}"
        ));
        let mut world = World::of(&zone).await;
        world.expected.cas[0].challenges = vec![ChallengeKind::Dns01];
        let preflight = world.preflight("app.acme.test").await;
        assert_eq!(preflight.ready[0], []);
        assert_eq!(
            world.told(&preflight.checks, CheckCode::Challenge),
            "",
            "{caa}"
        );
        assert!(
            world
                .told(&preflight.checks, CheckCode::Caa)
                .contains("not ok")
        );
    }
    let mut world = World::of(&but(undelegated)).await;
    world.expected.cas[0].challenges = vec![ChallengeKind::Dns01];
    let preflight = world.preflight("my_app.acme.test").await;
    assert_eq!(world.told(&preflight.checks, CheckCode::Challenge), "");
    assert!(
        world
            .told(&preflight.checks, CheckCode::Certificate)
            .contains("underscore")
    );
}
