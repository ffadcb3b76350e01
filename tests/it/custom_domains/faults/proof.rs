//! A claim that is not proved.

use super::{CLAIMED, Fault, VERIFIED};
use vestibule::store::Claim;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        zone: "no-proof.test",
        records: "_vestibule.{name} A 192.0.2.1",
        found: r#"
            FIX proof: no TXT record
            expected: _vestibule.{name} TXT "{proof}"
            hint: Set this record at the DNS provider: _vestibule.{name} TXT "{proof}""#,
        ..CLAIMED
    },
    Fault {
        zone: "somebody-elses-proof.test",
        records: r#"_vestibule.{name} TXT "vestibule-verify=ffffffffffffffffffffffffffffffff""#,
        found: r#"
            FIX proof: other TXT records: "vestibule-verify=ffffffffffffffffffffffffffffffff"
            expected: _vestibule.{name} TXT "{proof}"
            hint: Set this record at the DNS provider: _vestibule.{name} TXT "{proof}""#,
        ..CLAIMED
    },
    Fault {
        zone: "half-a-proof.test",
        records: r#"_vestibule.{name} TXT "{secret}""#,
        found: r#"
            FIX proof: other TXT records: "{secret}"
            expected: _vestibule.{name} TXT "{proof}"
            hint: Enter the value exactly, without quotes, blanks or anything left out: _vestibule.{name} TXT "{proof}""#,
        ..CLAIMED
    },
    Fault {
        zone: "proof-elsewhere.test",
        records: r#"
            _vestibule.{name} CNAME x.not-{zone}
            x.not-{zone} TXT "{proof}""#,
        found: r#"
            FIX proof: a CNAME record that leads to x.not-{zone}
            expected: _vestibule.{name} TXT "{proof}"
            hint: Remove the CNAME record at _vestibule.{name}, which leads to x.not-{zone}, and set: _vestibule.{name} TXT "{proof}""#,
        ..CLAIMED
    },
    Fault {
        zone: "zone-twice.test",
        records: r#"
            _vestibule.{name} A 192.0.2.1
            _vestibule.{name}.{zone} TXT "{proof}""#,
        found: r#"
            FIX proof: no TXT record
            expected: _vestibule.{name} TXT "{proof}"
            hint: The record stands at _vestibule.{name}.{zone}; it must stand at _vestibule.{name}."#,
        ..CLAIMED
    },
    Fault {
        zone: "proof-at-the-name.test",
        records: r#"
            _vestibule.{name} A 192.0.2.1
            {name} A {here}
            {name} TXT "{proof}""#,
        found: r#"
            FIX proof: no TXT record
            expected: _vestibule.{name} TXT "{proof}"
            hint: The record stands at {name}; it must stand at _vestibule.{name}."#,
        ..CLAIMED
    },
    Fault {
        zone: "not-copied.test",
        records: "ns2.{zone} A 127.0.0.7",
        found: r#"
            FIX proof: ns1.{zone} (127.0.0.2) and resolver {resolver}: "{proof}"; ns2.{zone} (127.0.0.7): no TXT record
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not all name servers of the zone have the record. If it was set within the last hour, wait; else see why the zone is not copied to the others."#,
        ..CLAIMED
    },
    Fault {
        zone: "remembered.test",
        resolver: "_vestibule.{name} A 192.0.2.1",
        found: r#"
            FIX proof: ns1.{zone} (127.0.0.2) and ns2.{zone} (127.0.0.3): "{proof}"; resolver {resolver}: no TXT record
            expected: _vestibule.{name} TXT "{proof}"
            hint: The name servers have the record, and a resolver still remembers that it was not there. Nothing is to be done but to wait; at most as long as the zone's SOA says for denials."#,
        ..CLAIMED
    },
    Fault {
        zone: "held-by-trust.test",
        holder: Some(Claim::TRUSTED),
        found: "
            FIX holder: another tenant has the name and has not lost control of it
            expected: a name that no other tenant has
            hint: an operator vouched for the other tenant: only an operator can move the name (`domain move`)",
        ..CLAIMED
    },
    Fault {
        zone: "held-by-proof.test",
        holder: Some(VERIFIED),
        records: r#"
            _vestibule.{name} TXT "{proof}"
            _vestibule.{name} TXT "{holder}""#,
        found: "
            FIX holder: another tenant has the name and has not lost control of it
            expected: a name that no other tenant has
            hint: take the other tenant's `_vestibule` record away, or have an operator move the name (`domain move`)",
        ..CLAIMED
    },
];
