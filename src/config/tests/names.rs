//! Settings that are right each by itself and not beside each other.

use super::*;
use crate::model::ChallengeKind;

const CA: &str = "[[acme]]\ndirectory_url = \"https://ca.test\"\n";
const HTTPS: &str = "[edge]\nhttps = [\"127.0.0.1:0\"]\n";
const DNS01: &str = "[[acme]]\ndirectory_url = \"https://ca.test\"\nchallenges = [\"dns-01\"]\n";
const DNS: &str =
    "[acme_dns]\nlisten = [\"127.0.0.1:5300\"]\nname_server = \"ns.elsewhere.test\"\nzone = ";

/// What is warned of, with its line.
fn warnings(text: &str) -> Vec<(usize, String)> {
    let config = parse(text).unwrap_or_else(|faults| panic!("{text}: {faults}"));
    let warnings = config.warnings.into_iter();
    warnings
        .inspect(|it| assert!(it.hint.is_some(), "{it:?}"))
        .map(|it| (it.line, it.reason))
        .collect()
}

#[test]
fn a_zone_of_our_own_takes_no_name_from_anybody() {
    let routing =
        "[routing]\nbase_domains = [\"apps.example.com\"]\nplatform_hosts = [\"my.example.net\"]\n";
    for (zone, what) in [
        ("apps.example.com", "is, or has in it, apps.example.com"),
        ("example.com", "is, or has in it, apps.example.com"),
        ("my.example.net", "is, or has in it, my.example.net"),
    ] {
        let found = reasons(&format!("{routing}{CA}{DNS}{zone:?}"));
        assert_eq!(found.len(), 1, "{zone}: {found:?}");
        assert!(
            found[0].contains(what) && found[0].contains("`acme_dns.zone`"),
            "{found:?}"
        );
        // Below the zone of proofs nothing is answered.
        parse(&format!("{routing}[domains]\nproof_zone = {zone:?}")).unwrap();
    }
    // Our own name's addresses are answered.
    let itself = "[routing]\nplatform_hosts = [\"ns.elsewhere.test\"]\n";
    parse(&format!("{itself}{CA}{DNS}\"elsewhere.test\"")).unwrap();
    // Most tenants are called something else.
    let found = warnings(&format!(
        "{HTTPS}{routing}{DNS01}{DNS}\"acme.apps.example.com\""
    ));
    assert!(
        found[0].1.contains("tenant is called \"acme\""),
        "{found:?}"
    );
    assert_eq!(found.len(), 1, "{found:?}");
    let reserved = format!("{routing}reserved_slugs = [\"acme\"]\n{CA}{DNS}");
    for zone in [
        "acme.apps.example.com",
        "a.b.apps.example.com",
        "challenges.example.net",
    ] {
        parse(&format!("{reserved}{zone:?}")).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

#[test]
fn customers_are_not_pointed_into_the_zone_of_challenges() {
    let text = |target: &str| {
        format!("[domains]\ncname_target = {target:?}\n{CA}{DNS}\"challenges.example.net\"")
    };
    let found = reasons(&text("edge.challenges.example.net"));
    assert!(found[0].contains("is in `acme_dns.zone`"), "{found:?}");
    parse(&text("edge.example.net")).unwrap();
    // Our name server knows the addresses of its own name.
    let itself =
        text("ns.challenges.example.net").replace("elsewhere.test", "challenges.example.net");
    parse(&itself).unwrap();
}

#[test]
fn challenges_are_those_that_somebody_answers_here() {
    let kinds = |text: &str| {
        let config = parse(text).unwrap_or_else(|faults| panic!("{faults}"));
        config.challenges_for(&config.acme[0])
    };
    let https = "[edge]\nhttp = []\nhttps = [\"127.0.0.1:0\"]\n";
    use ChallengeKind::{Dns01, Http01, TlsAlpn01};
    assert_eq!(kinds(CA), [Http01, TlsAlpn01]);
    assert_eq!(kinds(&format!("{https}{CA}")), [TlsAlpn01]);
    assert_eq!(
        kinds(&format!("{https}{CA}{DNS}\"acme.test\"")),
        [TlsAlpn01, Dns01]
    );
    let none = reasons(&format!(
        "{https}{CA}challenges = [\"http-01\", \"dns-01\"]"
    ));
    assert!(
        none[0].ends_with("has http-01, but `edge.http` is empty; dns-01, but [acme_dns] is off"),
        "{none:?}"
    );
}

#[test]
fn only_names_of_the_operators_own_are_left_out_of_what_is_ordered() {
    let routing = "[routing]\nbase_domains = [\"example.com\"]\nplatform_hosts = [\"my.example.net\"]\n[tls]\n";
    let all = "not_ordered = [\"example.com\", \"*.example.com\", \"my.example.net\"]";
    let config = parse(&format!("{routing}{all}")).unwrap();
    assert_eq!(config.tls.not_ordered.len(), 3);
    for name in ["www.example.com", "*.my.example.net", "customer.test"] {
        let found = reasons(&format!("{routing}not_ordered = [{name:?}]"));
        assert!(found[0].starts_with("5:16"), "{found:?}");
        assert!(found[0].contains("nothing is ordered anyway"), "{found:?}");
    }
}

#[test]
fn what_comes_to_nothing_is_warned_of() {
    let https = HTTPS;
    let told = "[domains]\ncname_target = \"edge.example.net\"\n";
    assert_eq!(warnings(""), []);
    assert_eq!(warnings(&format!("{https}{told}{CA}")), []);
    for (text, line, what) in [
        (CA.to_owned(), 1, "[[acme]] orders nothing"),
        (
            format!("{https}{CA}contact = \"ops@example.com\""),
            3,
            "is nobody's",
        ),
        (format!("{DNS}\"acme.test\""), 1, "nothing to answer"),
        ("[domains]\nrecheck = \"1h\"".to_owned(), 1, "says nowhere"),
    ] {
        let found = warnings(&text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(
            found[0].0 == line && found[0].1.contains(what),
            "{text}: {found:?}"
        );
    }
}
