//! What a customer enters at their DNS provider, and the names at which it stands.

use std::net::IpAddr;

use super::{Claimed, Expected};
use crate::model::{DomainPattern, Hostname, HostnameError, delegation_label};

/// One record for the customer to set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordToSet {
    /// The record's full name.
    pub name: String,
    /// `TXT`, `CNAME`, `A`, `AAAA`, or `ALIAS` for what providers offer at a zone's own name in the place of a CNAME.
    pub kind: &'static str,
    /// The value to enter, without quotes.
    pub value: String,
    /// What it is for, in a few words.
    pub purpose: &'static str,
}

/// Where the proof of a claim stands: `_vestibule.<hostname>`, for `*.x` too. An error where that is longer than a name may be.
pub fn proof_name(pattern: &DomainPattern) -> Result<Hostname, HostnameError> {
    Hostname::parse(&format!("_vestibule.{}", named(pattern)))
}

/// What stands there as TXT.
pub fn proof_value(secret: &str) -> String {
    format!("vestibule-verify={secret}")
}

/// Where the challenges of a name stand (RFC 8555 section 8.4), for `*.x` at `x` too. An error where that is too long for a name.
pub fn challenge_name(pattern: &DomainPattern) -> Result<Hostname, HostnameError> {
    Hostname::parse(&format!("_acme-challenge.{}", named(pattern)))
}

/// Where in our own `zone` the challenges of `hostname` are answered. An error where the zone's name leaves no room.
pub fn delegated_name(hostname: &Hostname, zone: &Hostname) -> Result<Hostname, HostnameError> {
    Hostname::parse(&format!("{}.{zone}", delegation_label(hostname)))
}

/// The name of the pattern, without its star.
pub(super) fn named(pattern: &DomainPattern) -> &Hostname {
    let (DomainPattern::Exact(name) | DomainPattern::Wildcard(name)) = pattern;
    name
}

/// Everything the customer must enter, in the order in which it is best done: proof, challenges, pointing. Records that cannot be
/// (a name is too long) or are of no use (nothing is configured to point to) are left out.
pub fn records_to_set(claim: &Claimed, expected: &Expected) -> Vec<RecordToSet> {
    let proof = proof_name(&claim.pattern).ok().map(|name| RecordToSet {
        name: name.to_string(),
        kind: "TXT",
        value: proof_value(&claim.secret),
        purpose: "proves that the name is yours",
    });
    let mut records = Vec::from_iter(proof);
    records.extend(challenge_record(&claim.pattern, expected));
    records.extend(pointing_records(&claim.pattern, expected));
    records
}

/// The delegation of a name's challenges, where we answer them.
pub(super) fn challenge_record(
    pattern: &DomainPattern,
    expected: &Expected,
) -> Option<RecordToSet> {
    let zone = expected.challenge_zone.as_ref()?;
    if !expected.uses_dns01() {
        return None;
    }
    Some(RecordToSet {
        name: challenge_name(pattern).ok()?.to_string(),
        kind: "CNAME",
        value: delegated_name(named(pattern), zone).ok()?.to_string(),
        purpose: "lets us get and renew the certificate",
    })
}

/// How the name is made to lead here.
pub(super) fn pointing_records(pattern: &DomainPattern, expected: &Expected) -> Vec<RecordToSet> {
    let record = |kind, value| RecordToSet {
        name: pattern.to_string(),
        kind,
        value,
        purpose: "leads visitors here",
    };
    let by_address = expected.addresses.iter().map(|address| match address {
        IpAddr::V4(address) => record("A", address.to_string()),
        IpAddr::V6(address) => record("AAAA", address.to_string()),
    });
    let named_so = |target: &&Hostname| **target != *named(pattern);
    match (
        expected.cname_target.as_ref().filter(named_so),
        is_zone_apex(pattern),
    ) {
        (Some(target), false) => vec![record("CNAME", target.to_string())],
        // Beside a zone's SOA there can be no CNAME (RFC 1034 section 3.6.2).
        (Some(target), true) if expected.addresses.is_empty() => {
            vec![record("ALIAS", target.to_string())]
        }
        _ => by_address.collect(),
    }
}

/// Whether the name is what a registrar sells, so that a zone surely starts there.
fn is_zone_apex(pattern: &DomainPattern) -> bool {
    let DomainPattern::Exact(name) = pattern else {
        return false;
    };
    psl::domain(name.as_str().as_bytes())
        .is_some_and(|it| it.as_bytes() == name.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::{CaExpectation, Whose};
    use crate::model::ChallengeKind;
    use proptest::prelude::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn hostname(text: &str) -> Hostname {
        Hostname::parse(text).unwrap()
    }

    fn everything() -> Expected {
        Expected {
            cname_target: Some(hostname("edge.vestibule.example")),
            addresses: vec![
                "198.51.100.7".parse().unwrap(),
                "2001:db8::7".parse().unwrap(),
            ],
            proof_zone: None,
            challenge_zone: Some(hostname("acme.vestibule.example")),
            cas: vec![CaExpectation {
                directory_url: "https://ca.example/directory".into(),
                identities: Vec::new(),
                account: None,
                challenges: ChallengeKind::ALL.to_vec(),
            }],
            whose: Whose::Customer,
        }
    }

    fn lines(pattern: &str, expected: &Expected) -> Vec<String> {
        let claim = Claimed {
            pattern: DomainPattern::parse(pattern).unwrap(),
            secret: SECRET.into(),
        };
        records_to_set(&claim, expected)
            .into_iter()
            .map(|record| format!("{} {} {}", record.name, record.kind, record.value))
            .collect()
    }

    #[test]
    fn a_subdomain_gets_a_cname_and_a_zones_own_name_addresses() {
        let app = [
            "_vestibule.app.acme.com TXT vestibule-verify=0123456789abcdef0123456789abcdef",
            "_acme-challenge.app.acme.com CNAME 6e44c1e62e83dd4dc9b5a2a6f4d4b5a5.acme.vestibule.example",
            "app.acme.com CNAME edge.vestibule.example",
        ];
        let label = delegation_label(&hostname("app.acme.com"));
        let app = app.map(|line| line.replace("6e44c1e62e83dd4dc9b5a2a6f4d4b5a5", &label));
        assert_eq!(lines("app.acme.com", &everything()), app);
        let apex = lines("acme.com", &everything());
        assert_eq!(
            apex[2..],
            ["acme.com A 198.51.100.7", "acme.com AAAA 2001:db8::7"]
        );
        let mut only_target = everything();
        only_target.addresses.clear();
        let alias = "acme.com ALIAS edge.vestibule.example";
        assert_eq!(lines("acme.com", &only_target)[2..], [alias]);
    }

    #[test]
    fn a_wildcards_records_stand_at_its_parent_but_for_the_star() {
        let records = lines("*.acme.com", &everything());
        assert!(records[0].starts_with("_vestibule.acme.com TXT "));
        assert!(records[1].starts_with("_acme-challenge.acme.com CNAME "));
        assert_eq!(records[2], "*.acme.com CNAME edge.vestibule.example");
    }

    #[test]
    fn what_is_not_configured_is_not_asked_for() {
        let none = Expected::default();
        assert_eq!(lines("app.acme.com", &none).len(), 1);
        let mut without_ca = everything();
        without_ca.cas.clear();
        assert_eq!(lines("app.acme.com", &without_ca).len(), 2);
    }

    proptest! {
        #[test]
        fn names_of_any_length_have_all_their_records_or_say_that_they_cannot(
            labels in proptest::collection::vec("[a-z][a-z0-9]{0,62}", 2..9)
        ) {
            let Ok(pattern) = DomainPattern::parse(&labels.join(".")) else { return Ok(()) };
            let length = named(&pattern).as_str().len();
            prop_assert_eq!(proof_name(&pattern).is_ok(), length + "_vestibule.".len() <= 253);
            prop_assert_eq!(challenge_name(&pattern).is_ok(), length + "_acme-challenge.".len() <= 253);
            prop_assert!(delegated_name(named(&pattern), &hostname("acme.vestibule.example")).is_ok());
        }
    }
}
