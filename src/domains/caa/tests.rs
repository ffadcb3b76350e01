use proptest::prelude::*;

use super::*;

const ACCOUNT: &str = "https://ca.example/acct/1";

fn ca() -> CaExpectation {
    CaExpectation {
        directory_url: "https://ca.example/directory".into(),
        identities: vec!["ca.example".into(), "ca-alias.example".into()],
        account: Some(ACCOUNT.into()),
        challenges: ChallengeKind::ALL.to_vec(),
    }
}

fn records(lines: &[&str]) -> Vec<CaaRecord> {
    let record = |line: &&str| {
        let (tag, value) = line.split_once(' ').unwrap();
        CaaRecord {
            critical: tag.starts_with('!'),
            tag: tag.trim_start_matches('!').into(),
            value: value.into(),
        }
    };
    lines.iter().map(record).collect()
}

fn exact(lines: &[&str]) -> Result<Vec<ChallengeKind>, CaaRefusal> {
    allowed(&records(lines), false, &ca())
}

fn wildcard(lines: &[&str]) -> Result<Vec<ChallengeKind>, CaaRefusal> {
    allowed(&records(lines), true, &ca())
}

fn all() -> Result<Vec<ChallengeKind>, CaaRefusal> {
    Ok(ChallengeKind::ALL.to_vec())
}

#[test]
fn who_is_named_may_issue_and_others_may_not() {
    assert_eq!(exact(&["issue ca.example"]), all());
    assert_eq!(exact(&["issue CA-Alias.example"]), all());
    assert_eq!(exact(&["issue other.example", "issue ca.example"]), all());
    assert_eq!(exact(&["issue other.example"]), Err(CaaRefusal::Others));
    assert_eq!(exact(&["issue ;"]), Err(CaaRefusal::Others));
    assert_eq!(exact(&["iodef mailto:a@b.example"]), all());
    // Whoever is named in a record that cannot be read is not named.
    assert_eq!(
        exact(&["issue ca.example; broken"]),
        Err(CaaRefusal::Others)
    );
}

#[test]
fn wildcards_have_their_own_records_where_there_are_any() {
    assert_eq!(wildcard(&["issue ca.example"]), all());
    assert_eq!(
        wildcard(&["issue ca.example", "issuewild ;"]),
        Err(CaaRefusal::Others)
    );
    assert_eq!(wildcard(&["issue ;", "issuewild ca.example"]), all());
    assert_eq!(exact(&["issuewild ;"]), all());
}

#[test]
fn a_critical_property_that_nobody_knows_forbids_everybody() {
    let critical = exact(&["issue ca.example", "!future x"]);
    assert_eq!(critical, Err(CaaRefusal::Critical("future".into())));
    assert_eq!(exact(&["issue ca.example", "future x"]), all());
    assert_eq!(exact(&["!issue ca.example", "!iodef x"]), all());
}

#[test]
fn accounts_and_methods_are_heeded() {
    let ours = format!("issue ca.example; accounturi={ACCOUNT}");
    assert_eq!(exact(&[&ours]), all());
    let other = "https://ca.example/acct/2";
    let refused = exact(&[&format!("issue ca.example;accounturi={other}")]);
    assert_eq!(refused, Err(CaaRefusal::Account(other.into())));
    let mut without = ca();
    without.account = None;
    assert!(allowed(&records(&[&ours]), false, &without).is_err());
    let dns = exact(&["issue ca.example; validationmethods=dns-01,foo-01"]);
    assert_eq!(dns, Ok(vec![ChallengeKind::Dns01]));
    let none = exact(&["issue ca.example; validationmethods=foo-01"]);
    assert_eq!(none, Err(CaaRefusal::Methods("foo-01".into())));
    let both = exact(&[
        "issue ca.example; validationmethods=http-01",
        "issue ca.example; validationmethods=dns-01",
    ]);
    assert_eq!(both, Ok(vec![ChallengeKind::Http01, ChallengeKind::Dns01]));
    // Said twice is said not at all (RFC 8657 section 3).
    let twice = format!("issue ca.example; accounturi={ACCOUNT}; accounturi={ACCOUNT}");
    assert!(matches!(exact(&[&twice]), Err(CaaRefusal::Account(_))));
}

#[test]
fn a_ca_that_does_not_say_its_name_reads_the_records_itself() {
    let mut unnamed = ca();
    unnamed.identities.clear();
    assert_eq!(
        allowed(&records(&["issue other.example"]), false, &unnamed),
        all()
    );
    assert!(allowed(&records(&["issue ;"]), false, &unnamed).is_err());
}

proptest! {
    #[test]
    fn what_is_written_by_the_grammar_is_read_as_written(
        issuer in "([a-z0-9](-?[a-z0-9]){0,5}(\\.[a-z]{1,5}){0,2})?",
        parameters in proptest::collection::vec(("[a-z0-9]{1,8}", "[!-:<-~]{0,12}"), 0..4),
        space in "[ \t]{0,2}",
    ) {
        let mut value = format!("{space}{issuer}{space}");
        for (tag, text) in &parameters {
            value.push_str(&format!(";{space}{tag}{space}={space}{text}{space}"));
        }
        let issue = Issue::parse(&value).unwrap();
        prop_assert_eq!(issue.issuer, (!issuer.is_empty()).then_some(issuer));
        prop_assert_eq!(issue.parameters, parameters);
    }

    #[test]
    fn whatever_stands_in_a_record_it_lets_nobody_in_by_mistake(value in "\\PC{0,60}") {
        let named = value.to_ascii_lowercase().contains("ca.example") || value.to_ascii_lowercase().contains("ca-alias.example");
        let line = CaaRecord { critical: false, tag: "issue".into(), value };
        prop_assert!(named || allowed(&[line], false, &ca()).is_err());
    }
}
