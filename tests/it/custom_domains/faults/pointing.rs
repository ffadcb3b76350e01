//! A name that does not lead here, or not all of it.

use super::{Fault, PROVED};

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        zone: "elsewhere.test",
        records: "
            {name} CNAME shops.not-{zone}
            shops.not-{zone} A 192.0.2.80",
        found: "
            FIX pointing: CNAME shops.not-{zone} and A 192.0.2.80
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Change the records of {name} at the DNS provider to: {name} CNAME edge.vestibule.test",
        ..PROVED
    },
    Fault {
        zone: "in-part.test",
        records: "
            {name} A {here}
            {name} A 192.0.2.80",
        found: "
            FIX pointing: A {here} and A 192.0.2.80
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Some records of {name} lead here and some elsewhere: remove the others, and keep: {name} CNAME edge.vestibule.test",
        ..PROVED
    },
    Fault {
        zone: "nowhere.test",
        records: "{name} TXT x",
        found: "
            FIX pointing: no A or AAAA record
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Set this record at the DNS provider: {name} CNAME edge.vestibule.test",
        ..PROVED
    },
    Fault {
        zone: "dangling.test",
        records: "{name} CNAME gone.{zone}",
        found: "
            FIX pointing: CNAME gone.{zone}
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Set this record at the DNS provider: {name} CNAME edge.vestibule.test",
        ..PROVED
    },
    Fault {
        zone: "unresolved.test",
        resolver: "
            {name} A !SERVFAIL
            {name} AAAA !SERVFAIL",
        found: "
            FIX pointing: answers SERVFAIL
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Not every resolver answered; it is looked at again by itself.",
        ..PROVED
    },
    Fault {
        zone: "stale-aaaa.test",
        records: "
            {name} A {here}
            {name} AAAA 2001:db8::666",
        found: "
            FIX ipv6: AAAA 2001:db8::666
            expected: no AAAA record at {name}
            hint: Remove the AAAA record of {name}: whoever has IPv6, a CA first of all, is led there and not here.",
        ..PROVED
    },
    Fault {
        zone: "aaaa-fails.test",
        records: "
            {name} A {here}
            {name} AAAA !SERVFAIL",
        found: "
            FIX ipv6: answers SERVFAIL
            expected: no AAAA record at {name}
            hint: The name servers answer for A and not for AAAA; a CA refuses a name of which it cannot know whether it has IPv6. Ask the DNS provider of {name}.",
        ..PROVED
    },
    Fault {
        zone: "cloudflare.test",
        records: "{name} A 104.16.132.229",
        found: r#"
            FIX pointing: A 104.16.132.229
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Change the records of {name} at the DNS provider to: {name} CNAME edge.vestibule.test
            FIX cdn: {name} is served by Cloudflare
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: At Cloudflare, switch the record of {name} from "Proxied" to "DNS only" (the grey cloud), with: {name} CNAME edge.vestibule.test"#,
        ..PROVED
    },
    Fault {
        zone: "cloudfront.test",
        records: "
            {name} CNAME d111.cloudfront.net
            d111.cloudfront.net A 192.0.2.80",
        found: "
            FIX pointing: CNAME d111.cloudfront.net and A 192.0.2.80
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Change the records of {name} at the DNS provider to: {name} CNAME edge.vestibule.test
            FIX cdn: {name} is served by Amazon CloudFront
            expected: {name} CNAME edge.vestibule.test, or A {here}
            hint: Take {name} out of Amazon CloudFront and set: {name} CNAME edge.vestibule.test",
        ..PROVED
    },
];
