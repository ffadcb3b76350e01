//! A wildcard, which can be certified by dns-01 alone, where that does not work.

use super::{Fault, PROVED};

/// A zone with a wildcard in order.
pub(super) const WELL: &str = r#"
    {zone} SOA
    {zone} NS ns1.{zone}
    {zone} NS ns2.{zone}
    ns1.{zone} A 127.0.0.2
    ns2.{zone} A 127.0.0.3
    {name} CNAME edge.vestibule.test
    _acme-challenge.{zone} CNAME {ours}
    _vestibule.{zone} TXT "{proof}""#;

const WILDCARD: Fault = Fault {
    label: "*",
    well: WELL,
    ..PROVED
};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        zone: "undelegated.test",
        records: "_acme-challenge.{zone} A 192.0.2.1",
        found: "
            FIX challenge: no CNAME record
            expected: _acme-challenge.{zone} CNAME {ours}
            hint: Set this record at the DNS provider: _acme-challenge.{zone} CNAME {ours}",
        ..WILDCARD
    },
    Fault {
        zone: "left-over.test",
        records: r#"_acme-challenge.{zone} TXT "gfj9Xq...Rg85nM""#,
        found: r#"
            FIX challenge: TXT records: "gfj9Xq...Rg85nM"
            expected: _acme-challenge.{zone} CNAME {ours}
            hint: Remove the TXT records at _acme-challenge.{zone}, which somebody else's certificate has left there, and set: _acme-challenge.{zone} CNAME {ours}"#,
        ..WILDCARD
    },
    Fault {
        zone: "delegated-elsewhere.test",
        records: "_acme-challenge.{zone} CNAME app.other-host.test",
        found: "
            FIX challenge: a CNAME record that leads to app.other-host.test
            expected: _acme-challenge.{zone} CNAME {ours}
            hint: Change the CNAME record to: _acme-challenge.{zone} CNAME {ours}",
        ..WILDCARD
    },
    Fault {
        zone: "unanswered.test",
        records: "
            _acme-challenge.{zone} CNAME {ours}
            {ours} TXT !SERVFAIL",
        found: "
            FIX challenge: it leads to our zone, of which nobody gets an answer
            expected: _acme-challenge.{zone} CNAME {ours}
            hint: The record is right. This is the operator's to repair: the resolvers find no answer in the zone of `acme_dns.zone`; see that it is delegated to `acme_dns.name_server` and that its port 53 is reached.",
        ..WILDCARD
    },
    Fault {
        zone: "challenge-fails.test",
        records: "
            _acme-challenge.{zone} CNAME !SERVFAIL
            _acme-challenge.{zone} TXT !SERVFAIL",
        found: "
            FIX challenge: answers SERVFAIL
            expected: _acme-challenge.{zone} CNAME {ours}
            hint: Not every resolver answered; it is looked at again by itself.",
        ..WILDCARD
    },
    Fault {
        zone: "no-wildcards.test",
        records: r#"
            {zone} SOA
            {zone} NS ns1.{zone}
            {zone} NS ns2.{zone}
            {zone} CAA 0 issue "pebble.letsencrypt.org"
            {zone} CAA 0 issuewild ";""#,
        found: r#"
            FIX caa: {zone} CAA 0 issue "pebble.letsencrypt.org" and {zone} CAA 0 issuewild ";"
            expected: no CAA record, or {zone} CAA 0 issuewild "pebble.letsencrypt.org"
            hint: Add this record beside the others: {zone} CAA 0 issuewild "pebble.letsencrypt.org""#,
        ..WILDCARD
    },
];
