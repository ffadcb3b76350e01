//! CAA records: who may issue, and by which challenge.

use super::*;

/// What is found where everybody says `lines` besides what is well: the kinds that are ready, and the finding.
async fn caa(pattern: &str, lines: &str) -> (Vec<ChallengeKind>, bool, String) {
    let world = World::of(&format!("{WELL}\n{lines}")).await;
    let preflight = world.preflight(pattern).await;
    let told = world.told(&preflight.checks, CheckCode::Caa);
    (preflight.ready[0].clone(), preflight.unsure, told)
}

fn forbidden(at: &str, observed: &str, hint: &str) -> String {
    let expected = format!("expected: no CAA record, or {at} CAA 0 issue \"ca.test\"");
    format!("not ok\n{expected}\nobserved: {observed}\nhint: {hint}")
}

#[tokio::test]
async fn without_records_everybody_may_issue() {
    let (ready, unsure, told) = caa("app.acme.test", "").await;
    assert_eq!((ready, unsure), (ChallengeKind::ALL.to_vec(), false));
    let well = "ok
        expected: no CAA record, or app.acme.test CAA 0 issue \"ca.test\"
        observed: no CAA record at app.acme.test or above";
    assert_eq!(told, finding(well));
}

#[tokio::test]
async fn g17_records_above_the_name_that_name_others_forbid_ours() {
    let (ready, unsure, told) = caa("app.acme.test", "acme.test CAA 0 issue \"other.test\"").await;
    assert_eq!((ready, unsure), (vec![], false));
    let hint = "Add this record beside the others: acme.test CAA 0 issue \"ca.test\"";
    assert_eq!(
        told,
        forbidden("acme.test", "acme.test CAA 0 issue \"other.test\"", hint)
    );
}

#[tokio::test]
async fn the_records_nearest_to_the_name_count_alone_also_where_an_alias_leads_to_them() {
    let lines = "acme.test CAA 0 issue \"other.test\"\nedge.vestibule.test CAA 0 issue \"ca.test\"";
    let (ready, _, told) = caa("app.acme.test", lines).await;
    assert_eq!(ready, ChallengeKind::ALL);
    assert!(told.starts_with("ok\n"), "{told}");
    // What stands above where the alias leads does not count (RFC 8659 section 3).
    let (ready, _, _) = caa("app.acme.test", "vestibule.test CAA 0 issue \"other.test\"").await;
    assert_eq!(ready, ChallengeKind::ALL);
}

#[tokio::test]
async fn wildcards_have_records_of_their_own() {
    let lines = "acme.test CAA 0 issue \"ca.test\"\nacme.test CAA 0 issuewild \";\"\n*.acme.test A 198.51.100.7";
    let target = delegated_name(&hostname("acme.test"), &hostname("challenges.test")).unwrap();
    let lines = format!("{lines}\n_acme-challenge.acme.test CNAME {target}");
    let (ready, _, told) = caa("*.acme.test", &lines).await;
    assert_eq!(ready, []);
    assert_eq!(
        told,
        finding(
            "not ok
            expected: no CAA record, or acme.test CAA 0 issuewild \"ca.test\"
            observed: acme.test CAA 0 issue \"ca.test\" and acme.test CAA 0 issuewild \";\"
            hint: Add this record beside the others: acme.test CAA 0 issuewild \"ca.test\""
        )
    );
    let allowed = lines.replace("issuewild \";\"", "issuewild \"ca.test\"");
    assert_eq!(caa("*.acme.test", &allowed).await.0, [ChallengeKind::Dns01]);
}

#[tokio::test]
async fn a_critical_record_that_nobody_knows_forbids_everybody() {
    let lines = "acme.test CAA 0 issue \"ca.test\"\nacme.test CAA 128 future \"x\"";
    let (ready, _, told) = caa("app.acme.test", lines).await;
    assert_eq!(ready, []);
    let observed = "acme.test CAA 0 issue \"ca.test\" and acme.test CAA 128 future \"x\"";
    let hint = "The CAA record \"future\" at acme.test is marked critical and no CA knows it: remove it, or its mark.";
    assert_eq!(told, forbidden("acme.test", observed, hint));
}

#[tokio::test]
async fn another_account_is_another_customer() {
    let value = "ca.test; accounturi=https://ca.test/acct/2";
    let (ready, _, told) = caa(
        "app.acme.test",
        &format!("acme.test CAA 0 issue \"{value}\""),
    )
    .await;
    assert_eq!(ready, []);
    let hint = "The CAA record at acme.test lets only the account \"https://ca.test/acct/2\" in: write \
                accounturi=https://ca.test/acct/1 instead, or leave it out.";
    assert_eq!(
        told,
        forbidden(
            "acme.test",
            &format!("acme.test CAA 0 issue \"{value}\""),
            hint
        )
    );
    let ours = "acme.test CAA 0 issue \"ca.test; accounturi=https://ca.test/acct/1\"";
    assert_eq!(caa("app.acme.test", ours).await.0, ChallengeKind::ALL);
}

#[tokio::test]
async fn only_the_kinds_of_challenge_that_are_allowed_are_ready() {
    let line =
        |methods: &str| format!("acme.test CAA 0 issue \"ca.test; validationmethods={methods}\"");
    assert_eq!(
        caa("app.acme.test", &line("dns-01,x-01")).await.0,
        [ChallengeKind::Dns01]
    );
    let (ready, _, told) = caa("app.acme.test", &line("x-01")).await;
    assert_eq!(ready, []);
    let hint = "The CAA record at acme.test allows only \"x-01\": write validationmethods=dns-01,http-01,tls-alpn-01 instead, \
                or leave it out.";
    let observed = "acme.test CAA 0 issue \"ca.test; validationmethods=x-01\"";
    assert_eq!(told, forbidden("acme.test", observed, hint));
}

#[tokio::test]
async fn g17_where_nobody_can_say_whether_there_are_records_nothing_is_ordered() {
    let (ready, unsure, told) = caa("app.acme.test", "acme.test CAA !SERVFAIL").await;
    assert_eq!((ready, unsure), (vec![], true));
    let hint = "It cannot be known whether acme.test has CAA records, and then no CA issues. Its name servers must answer \
                questions for CAA, if only with \"none\": ask the DNS provider.";
    assert_eq!(
        told,
        forbidden("acme.test", "resolver R answers SERVFAIL", hint)
    );
}

#[tokio::test]
async fn a_second_ca_that_may_issue_is_enough() {
    let mut world = World::of(&format!("{WELL}\nacme.test CAA 0 issue \"other.test\"")).await;
    let mut second = world.expected.cas[0].clone();
    second.identities = vec!["other.test".into()];
    second.challenges = vec![ChallengeKind::TlsAlpn01];
    world.expected.cas.push(second);
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(preflight.ready, [vec![], vec![ChallengeKind::TlsAlpn01]]);
    assert_eq!(
        preflight.first_ready(),
        Some((1, [ChallengeKind::TlsAlpn01].as_slice()))
    );
    assert!(
        world
            .told(&preflight.checks, CheckCode::Caa)
            .starts_with("ok\n")
    );
}

#[tokio::test]
async fn c9_no_ca_certifies_an_underscore() {
    let world = World::of(&format!(
        "{WELL}\nmy_app.acme.test CNAME edge.vestibule.test"
    ))
    .await;
    let preflight = world.preflight("my_app.acme.test").await;
    assert_eq!(preflight.ready[0], []);
    assert_eq!(
        world.told(&preflight.checks, CheckCode::Certificate),
        finding(
            "not ok
            expected: a name of letters, digits and hyphens
            observed: my_app.acme.test has an underscore
            hint: No public CA certifies names with underscores: claim another name."
        )
    );
}

#[tokio::test]
async fn a_ca_that_is_forbidden_asks_for_nothing_where_another_may_issue() {
    let mut world = World::of(&format!(
        "{WELL}\nacme.test CAA 0 issue \"second.test\"\n_acme-challenge.app.acme.test TXT x"
    ))
    .await;
    let mut second = world.expected.cas[0].clone();
    second.identities = vec!["second.test".to_owned()];
    world.expected.cas.push(second);
    let preflight = world.preflight("app.acme.test").await;
    assert_eq!(preflight.first_ready().map(|it| it.0), Some(1));
    let told = world.told(&preflight.checks, CheckCode::Caa);
    assert!(told.starts_with("ok\n") && !told.contains("hint"), "{told}");
    assert!(preflight.checks.iter().all(|check| check.ok));
}
