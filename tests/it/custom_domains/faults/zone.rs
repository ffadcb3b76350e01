//! A zone that cannot be asked, or whose name servers are not all of use.

use super::{CLAIMED, Fault};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        zone: "not-registered.test",
        well: "",
        found: r#"
            FIX zone: there is no {zone} (NXDOMAIN)
            expected: {zone} is registered
            hint: Register {zone}, or correct the spelling of {name}.
            FIX proof: no TXT record
            expected: _vestibule.{name} TXT "{proof}"
            hint: Set this record at the DNS provider: _vestibule.{name} TXT "{proof}"
            FIX pointing: no such name (NXDOMAIN)
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Set this record at the DNS provider: {name} CNAME edge.vestibule.test"#,
        ..CLAIMED
    },
    Fault {
        zone: "lost.example",
        resolver: "
            {name} A {here}
            {name} NS !SERVFAIL
            _vestibule.{name} TXT \"{proof}\"
            _vestibule.{name} NS !SERVFAIL
            {zone} NS !SERVFAIL
            example NS !SERVFAIL
            . NS !SERVFAIL",
        found: r#"
            FIX zone: resolver {resolver} answers SERVFAIL
            expected: name servers that answer for {name}
            hint: Nobody can find the name servers of {name}. Check at the registrar that the name servers entered for it are those of the DNS provider, and that the zone exists there.
            FIX proof: "{proof}"
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not enough servers answered to say anything; it is looked at again by itself."#,
        ..CLAIMED
    },
    Fault {
        zone: "refusing.test",
        records: "ns2.{zone} A 127.0.0.4",
        found: r#"
            FIX zone: ns2.{zone} (127.0.0.4) answers REFUSED
            expected: name servers that answer for {name}
            hint: Repair ns2.{zone}, or take it out of the name servers of {zone} at the registrar and in the zone.
            FIX proof: ns1.{zone} (127.0.0.2) and resolver {resolver}: "{proof}"; ns2.{zone} (127.0.0.4): answers REFUSED
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not enough servers answered to say anything; it is looked at again by itself."#,
        ..CLAIMED
    },
    Fault {
        zone: "silent.test",
        records: "ns2.{zone} A 127.0.0.5",
        found: r#"
            FIX zone: ns2.{zone} (127.0.0.5) does not answer
            expected: name servers that answer for {name}
            hint: Repair ns2.{zone}, or take it out of the name servers of {zone} at the registrar and in the zone.
            FIX proof: ns1.{zone} (127.0.0.2) and resolver {resolver}: "{proof}"; ns2.{zone} (127.0.0.5): does not answer
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not enough servers answered to say anything; it is looked at again by itself."#,
        ..CLAIMED
    },
    Fault {
        zone: "foreign.test",
        records: "ns2.{zone} A 127.0.0.6",
        found: r#"
            FIX zone: ns2.{zone} (127.0.0.6) does not hold the zone
            expected: name servers that answer for {name}
            hint: Repair ns2.{zone}, or take it out of the name servers of {zone} at the registrar and in the zone.
            FIX proof: ns1.{zone} (127.0.0.2) and resolver {resolver}: "{proof}"; ns2.{zone} (127.0.0.6): does not hold the zone
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not enough servers answered to say anything; it is looked at again by itself."#,
        ..CLAIMED
    },
    Fault {
        zone: "homeless.test",
        records: "ns2.{zone} TXT x",
        found: r#"
            FIX zone: ns2.{zone} has no address
            expected: name servers that answer for {name}
            hint: Repair ns2.{zone}, or take it out of the name servers of {zone} at the registrar and in the zone.
            FIX proof: ns1.{zone} (127.0.0.2) and resolver {resolver}: "{proof}"; ns2.{zone}: has no address
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not enough servers answered to say anything; it is looked at again by itself."#,
        ..CLAIMED
    },
    Fault {
        zone: "private.test",
        records: "ns2.{zone} A 10.0.0.1",
        found: r#"
            FIX zone: ns2.{zone} has a private address, 10.0.0.1
            expected: name servers that answer for {name}
            hint: Repair ns2.{zone}, or take it out of the name servers of {zone} at the registrar and in the zone. If that is a name server of yours in a network of your own, name the network in `domains.private_name_servers`.
            FIX proof: ns1.{zone} (127.0.0.2) and resolver {resolver}: "{proof}"; ns2.{zone}: has a private address, 10.0.0.1
            expected: _vestibule.{name} TXT "{proof}"
            hint: Not enough servers answered to say anything; it is looked at again by itself."#,
        ..CLAIMED
    },
];
