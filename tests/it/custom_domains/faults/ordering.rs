//! A name that leads here and that no CA would certify.

use super::{Fault, PROVED};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        zone: "bogus.test",
        resolver: "
            {name} A {here}
            {name} A !BOGUS",
        found: "
            FIX pointing: answers SERVFAIL
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Not every resolver answered; it is looked at again by itself.
            FIX dnssec: resolver {resolver} refuses what it would answer unchecked
            expected: good signatures of the zone {zone}, or none
            hint: The signatures of {zone}, or of a zone above it, are bad. Remove the DS record of {zone} at the registrar, or have the DNS provider sign the zone anew.",
        ..PROVED
    },
    Fault {
        zone: "another-ca.test",
        records: r#"
            {name} A {here}
            {name} CAA 0 issue "other.test""#,
        found: r#"
            FIX caa: {name} CAA 0 issue "other.test"
            expected: no CAA record, or {name} CAA 0 issue "pebble.letsencrypt.org"
            hint: Add this record beside the others: {name} CAA 0 issue "pebble.letsencrypt.org""#,
        ..PROVED
    },
    Fault {
        zone: "critical.test",
        records: r#"
            {name} A {here}
            {name} CAA 0 issue "pebble.letsencrypt.org"
            {name} CAA 128 future "x""#,
        found: r#"
            FIX caa: {name} CAA 0 issue "pebble.letsencrypt.org" and {name} CAA 128 future "x"
            expected: no CAA record, or {name} CAA 0 issue "pebble.letsencrypt.org"
            hint: The CAA record "future" at {name} is marked critical and no CA knows it: remove it, or its mark."#,
        ..PROVED
    },
    Fault {
        zone: "another-account.test",
        records: r#"
            {name} A {here}
            {name} CAA 0 issue "pebble.letsencrypt.org; accounturi=https://ca.test/acct/2""#,
        found: r#"
            FIX caa: {name} CAA 0 issue "pebble.letsencrypt.org; accounturi=https://ca.test/acct/2"
            expected: no CAA record, or {name} CAA 0 issue "pebble.letsencrypt.org"
            hint: The CAA record at {name} lets only the account "https://ca.test/acct/2" in: write accounturi={account} instead, or leave it out."#,
        ..PROVED
    },
    Fault {
        zone: "another-method.test",
        records: r#"
            {name} A {here}
            {name} CAA 0 issue "pebble.letsencrypt.org; validationmethods=x-01""#,
        found: r#"
            FIX caa: {name} CAA 0 issue "pebble.letsencrypt.org; validationmethods=x-01"
            expected: no CAA record, or {name} CAA 0 issue "pebble.letsencrypt.org"
            hint: The CAA record at {name} allows only "x-01": write validationmethods=http-01,tls-alpn-01 instead, or leave it out."#,
        ..PROVED
    },
    // A way that this node does not have.
    Fault {
        zone: "only-dns01.test",
        records: r#"
            {name} A {here}
            {name} CAA 0 issue "pebble.letsencrypt.org; validationmethods=dns-01""#,
        found: r#"
            FIX caa: {name} CAA 0 issue "pebble.letsencrypt.org; validationmethods=dns-01"
            expected: no CAA record, or {name} CAA 0 issue "pebble.letsencrypt.org"
            hint: The CAA record at {name} allows only "dns-01": write validationmethods=http-01,tls-alpn-01 instead, or leave it out."#,
        ..PROVED
    },
    Fault {
        zone: "caa-fails.test",
        records: "
            {name} A {here}
            {name} CAA !SERVFAIL",
        found: r#"
            FIX caa: resolver {resolver} answers SERVFAIL
            expected: no CAA record, or {name} CAA 0 issue "pebble.letsencrypt.org"
            hint: It cannot be known whether {name} has CAA records, and then no CA issues. Its name servers must answer questions for CAA, if only with "none": ask the DNS provider."#,
        ..PROVED
    },
    Fault {
        zone: "underscore.test",
        label: "my_app",
        found: "
            FIX certificate: {name} has an underscore
            expected: a name of letters, digits and hyphens
            hint: No public CA certifies names with underscores: claim another name.",
        ..PROVED
    },
    Fault {
        zone: "no-dns01.test",
        label: "*",
        well: super::wildcard::WELL,
        found: r#"
            FIX challenge: dns-01 is not configured, and wildcards can have no other challenge
            expected: {name} can be certified by dns-01
            hint: This is the operator's to repair: set `acme_dns.listen` and `acme_dns.zone`, and "dns-01" in `acme.challenges`."#,
        refused: Some("challenge: a wildcard can have dns-01 only, and {ca} is not asked for it"),
        ..PROVED
    },
];
