//! Whether the zone's signatures are good. A zone that is not signed is as well.

use super::words::listed;
use super::{Seen, records};
use crate::clock::Timestamp;
use crate::dns::{
    Authority, Flaw, Inquiry, Question, RecordType, Said, SignatureFault, Signatures, Zone,
};
use crate::model::{Check, CheckCode, DomainPattern, Hostname};

/// What was seen.
pub(super) struct Signed {
    /// `No`: validating resolvers refuse the name.
    pub(super) seen: Seen,
    pub(super) check: Check,
}

/// Looks at the signatures of the zone itself, and whether the resolvers refuse what they would give unchecked.
pub(super) async fn look(
    inquiry: &Inquiry<'_>,
    pattern: &DomainPattern,
    authority: Option<&Authority>,
    now: Timestamp,
) -> Signed {
    let name = records::named(pattern);
    let zone = match authority {
        Some(Authority::Zone(zone)) => Some(zone),
        _ => None,
    };
    let (refused, signatures) = tokio::join!(
        refused_by(inquiry, name),
        signatures(inquiry, name, zone, now)
    );
    let seen = match (&signatures, refused.is_empty()) {
        (Signatures::Bad(_), _) | (_, false) => Seen::No,
        (Signatures::Unknown, true) => Seen::Unknown,
        (Signatures::None | Signatures::Good, true) => Seen::Yes,
    };
    Signed {
        seen,
        check: check(name, zone, &signatures, refused, now),
    }
}

async fn signatures(
    inquiry: &Inquiry<'_>,
    name: &Hostname,
    zone: Option<&Zone>,
    now: Timestamp,
) -> Signatures {
    let Some(zone) = zone else {
        return Signatures::None;
    };
    let kinds = [RecordType::A, RecordType::AAAA, RecordType::CAA];
    let records = kinds.map(|kind| (name, kind));
    inquiry.signatures(zone, &records, now.seconds()).await
}

/// The resolvers that answer SERVFAIL, and answer once they are told not to check signatures (RFC 4035 section 3.2.2).
async fn refused_by(inquiry: &Inquiry<'_>, name: &Hostname) -> Vec<String> {
    let question = Question::new(name, RecordType::A);
    let checked = inquiry.of_resolvers(question.clone()).await;
    if !checked.iter().any(Said::is_servfail) {
        return Vec::new();
    }
    let unchecked = inquiry.of_resolvers(question.unchecked()).await;
    let both = checked.iter().zip(&unchecked);
    both.filter(|(checked, unchecked)| checked.is_servfail() && unchecked.reply.is_ok())
        .map(|(checked, _)| checked.by.clone())
        .collect()
}

fn check(
    name: &Hostname,
    zone: Option<&Zone>,
    signatures: &Signatures,
    refused: Vec<String>,
    now: Timestamp,
) -> Check {
    let zone = zone.map_or_else(|| name.to_string(), Zone::name);
    let (ok, observed, hint) = match signatures {
        Signatures::Bad(fault) => (false, told(fault), Some(hint(&zone, fault.flaw))),
        _ if !refused.is_empty() => (
            false,
            format!(
                "{} refuses what it would answer unchecked",
                listed(&refused)
            ),
            Some(format!(
                "The signatures of {zone}, or of a zone above it, are bad. Remove the DS record of {zone} at the registrar, or \
                 have the DNS provider sign the zone anew."
            )),
        ),
        Signatures::None => (true, "not signed".to_owned(), None),
        Signatures::Good => (true, "good signatures".to_owned(), None),
        Signatures::Unknown => (
            false,
            "nobody answered".to_owned(),
            Some("It could not be looked at; it is looked at again by itself.".to_owned()),
        ),
    };
    let seen_by = match signatures {
        Signatures::Bad(fault) => vec![fault.by.clone()],
        _ => refused,
    };
    Check {
        code: CheckCode::Dnssec,
        ok,
        expected: format!("good signatures of the zone {zone}, or none"),
        observed,
        hint,
        seen_by,
        at: now.0,
    }
}

fn told(fault: &SignatureFault) -> String {
    let records = &fault.records;
    match fault.flaw {
        Flaw::NoKey => {
            "no key of the zone is one that the DS record at the registrar names".to_owned()
        }
        Flaw::Missing => format!("{records} has no signature"),
        Flaw::Expired(at) => format!("the signature of {records} ended on {}", date(at)),
        Flaw::Early(at) => format!("the signature of {records} begins on {}", date(at)),
        Flaw::Wrong => format!("the signature of {records} does not fit the records"),
    }
}

fn hint(zone: &str, flaw: Flaw) -> String {
    match flaw {
        Flaw::NoKey => format!(
            "Remove the DS record of {zone} at the registrar, or enter there the one that the DNS provider gives."
        ),
        _ => format!(
            "Have the DNS provider sign {zone} anew, or remove its DS record at the registrar."
        ),
    }
}

fn date(seconds: i64) -> String {
    Timestamp(seconds.saturating_mul(1000)).http_date()
}
