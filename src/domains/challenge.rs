//! Whether `_acme-challenge` of the name leads to the zone that we answer, so that control can be shown by dns-01.

use super::records::{challenge_name, challenge_record, delegated_name, named};
use super::words::{listed, quoted, told};
use super::{Expected, RecordToSet, Seen};
use crate::clock::Timestamp;
use crate::dns::{Inquiry, Question, RecordType, Said};
use crate::model::{Check, CheckCode, DomainPattern, Hostname};

/// What was seen.
pub(super) struct Delegated {
    pub(super) seen: Seen,
    pub(super) check: Check,
}

/// What one resolver sees.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Leads {
    Here,
    /// The record is right, and nobody answers where it leads: here.
    Unanswered,
    Elsewhere(String),
    Leftover(Vec<String>),
    Nowhere,
    Unknown(String),
}

/// Nothing where nobody is shown anything by DNS records.
pub(super) async fn look(
    inquiry: &Inquiry<'_>,
    pattern: &DomainPattern,
    expected: &Expected,
    now: Timestamp,
) -> Option<Delegated> {
    let Some(record) = challenge_record(pattern, expected) else {
        return impossible(pattern, expected, now);
    };
    let zone = expected.challenge_zone.as_ref()?;
    let target = delegated_name(named(pattern), zone).ok()?;
    let name = challenge_name(pattern).ok()?;
    let ask = async |kind| inquiry.of_resolvers(Question::new(&name, kind)).await;
    let (texts, aliases) = tokio::join!(ask(RecordType::TXT), ask(RecordType::CNAME));
    let seen = texts.iter().zip(&aliases);
    let leads: Vec<(String, Leads)> = seen
        .map(|(text, alias)| (text.by.clone(), leads(text, alias, &name, &target)))
        .collect();
    Some(judge(&leads, &record, now))
}

fn leads(text: &Said, alias: &Said, name: &Hostname, target: &Hostname) -> Leads {
    let direct = alias
        .reply
        .as_ref()
        .ok()
        .and_then(|reply| reply.alias(name));
    match &text.reply {
        Ok(reply) => {
            let mut chain = reply.alias_chain(name);
            // Small servers leave out of the answer what they were not asked for.
            if chain.is_empty() {
                chain.extend(direct);
            }
            let values = reply.texts(name);
            match chain.last() {
                Some(_) if chain.iter().any(|it| it == target.as_str()) => Leads::Here,
                Some(last) => Leads::Elsewhere(last.clone()),
                None if values.is_empty() => Leads::Nowhere,
                None => Leads::Leftover(values),
            }
        }
        Err(error) => match direct {
            Some(direct) if direct == target.as_str() => Leads::Unanswered,
            Some(direct) => Leads::Elsewhere(direct),
            None => Leads::Unknown(error.to_string()),
        },
    }
}

fn judge(leads: &[(String, Leads)], record: &RecordToSet, now: Timestamp) -> Delegated {
    let every = |what: fn(&Leads) -> bool| leads.iter().all(|(_, it)| what(it));
    let seen = match () {
        () if leads.is_empty() => Seen::Unknown,
        () if every(|it| *it == Leads::Here) => Seen::Yes,
        () if every(|it| !matches!(it, Leads::Here | Leads::Unanswered | Leads::Unknown(_))) => {
            Seen::No
        }
        () => Seen::Unknown,
    };
    let texts: Vec<(String, String)> = leads
        .iter()
        .map(|(by, it)| (by.clone(), it.text()))
        .collect();
    let set = format!("{} CNAME {}", record.name, record.value);
    let wrong = leads
        .iter()
        .map(|(_, it)| it)
        .find(|it| **it != Leads::Here);
    let hint = wrong.map(|it| match it {
        Leads::Elsewhere(_) => format!("Change the CNAME record to: {set}"),
        Leads::Leftover(_) => format!(
            "Remove the TXT records at {}, which somebody else's certificate has left there, and set: {set}",
            record.name
        ),
        Leads::Unanswered => "The record is right. This is the operator's to repair: the resolvers find no answer in the zone of \
             `acme_dns.zone`; see that it is delegated to `acme_dns.name_server` and that its port 53 is reached."
            .to_owned(),
        Leads::Unknown(_) => "Not every resolver answered; it is looked at again by itself.".to_owned(),
        Leads::Nowhere | Leads::Here => format!("Set this record at the DNS provider: {set}"),
    });
    Delegated {
        seen,
        check: Check {
            code: CheckCode::Challenge,
            ok: seen == Seen::Yes,
            expected: set,
            observed: told(&texts),
            hint,
            seen_by: leads.iter().map(|(by, _)| by.clone()).collect(),
            at: now.0,
        },
    }
}

impl Leads {
    fn text(&self) -> String {
        match self {
            Self::Here => "it leads to our zone".to_owned(),
            Self::Unanswered => "it leads to our zone, of which nobody gets an answer".to_owned(),
            Self::Elsewhere(target) => format!("a CNAME record that leads to {target}"),
            Self::Leftover(values) => {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("TXT records: {}", listed(&values))
            }
            Self::Nowhere => "no CNAME record".to_owned(),
            Self::Unknown(error) => error.clone(),
        }
    }
}

/// A wildcard, which can have no other kind of challenge, or a name before which there is no room.
fn impossible(pattern: &DomainPattern, expected: &Expected, now: Timestamp) -> Option<Delegated> {
    let wildcard = matches!(pattern, DomainPattern::Wildcard(_));
    let (observed, hint) = match expected.uses_dns01() {
        false if wildcard => (
            "dns-01 is not configured, and wildcards can have no other challenge",
            "This is the operator's to repair: set `acme_dns.listen` and `acme_dns.zone`, and \"dns-01\" in `acme.challenges`.",
        ),
        true => (
            "the name is too long for _acme-challenge before it",
            "Claim a shorter name.",
        ),
        false => return None,
    };
    Some(Delegated {
        seen: Seen::No,
        check: Check {
            code: CheckCode::Challenge,
            ok: false,
            expected: format!("{pattern} can be certified by dns-01"),
            observed: observed.to_owned(),
            hint: Some(hint.to_owned()),
            seen_by: Vec::new(),
            at: now.0,
        },
    })
}
