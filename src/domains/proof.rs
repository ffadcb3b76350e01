//! Whether the tenant's own proof stands: a TXT record, or an alias into our proof zone, at `_vestibule.<hostname>`.
//!
//! An alias that leads anywhere else is not followed. A wildcard CNAME in the customer's zone covers `_vestibule` too, and whoever
//! can set a TXT record where it leads would otherwise prove every name below it.

use super::records::{named, proof_name, proof_value};
use super::words::{listed, quoted, told};
use super::{Claimed, Expected, Seen};
use crate::clock::Timestamp;
use crate::dns::{Authority, Inquiry, Question, RecordType, Reply, Said, ServerSaid, ZoneError};
use crate::model::{Check, CheckCode, Hostname};

/// What was seen at the name of the proof.
pub(super) struct Proof {
    pub(super) seen: Seen,
    pub(super) check: Check,
    /// Whose word it is.
    pub(super) authority: Option<Result<Authority, ZoneError>>,
    /// What they said.
    pub(super) said: Vec<ServerSaid>,
    /// A resolver has failed, which it does of bad signatures too.
    pub(super) servfail: bool,
}

/// What must stand there.
struct Wanted {
    name: Hostname,
    value: String,
    /// Where the name may lead instead.
    alias: Option<String>,
}

/// What stands there, as one server says.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stands {
    Right,
    /// It leads into our proof zone, which counts as much.
    Delegated(String),
    Other(Vec<String>),
    Alias(String),
    Nothing,
}

pub(super) async fn look(
    inquiry: &Inquiry<'_>,
    claim: &Claimed,
    expected: &Expected,
    now: Timestamp,
) -> Proof {
    let Ok(name) = proof_name(&claim.pattern) else {
        return Proof {
            seen: Seen::No,
            check: too_long(claim, now),
            authority: None,
            said: Vec::new(),
            servfail: false,
        };
    };
    let wanted = Wanted {
        name,
        value: proof_value(&claim.secret),
        alias: (expected.proof_zone.as_ref()).map(|zone| format!("{}.{zone}", claim.secret)),
    };
    let authority = inquiry.authority(&wanted.name).await;
    let question = Question::new(&wanted.name, RecordType::TXT);
    let (resolvers, said) = match &authority {
        Ok(Authority::Zone(zone)) => {
            let said = inquiry.of_zone(zone, &question).await;
            // A resolver that is asked too early remembers that nothing is there, for as long as the zone lets it.
            let resolvers = match wanted.is_absent(&said) {
                true => Vec::new(),
                false => of_resolvers(inquiry, &wanted).await,
            };
            (resolvers, said)
        }
        _ => (of_resolvers(inquiry, &wanted).await, Vec::new()),
    };
    let alone = matches!(authority, Ok(Authority::Resolvers));
    let judged = wanted.judge(&said, &resolvers, alone);
    Proof {
        seen: judged.seen,
        check: wanted.check(judged, now),
        servfail: resolvers.iter().any(Said::is_servfail),
        authority: Some(authority),
        said,
    }
}

/// What the resolvers say of TXT; where they fail, what they say of the alias alone: where that leads need not answer.
async fn of_resolvers(inquiry: &Inquiry<'_>, wanted: &Wanted) -> Vec<Said> {
    let question = Question::new(&wanted.name, RecordType::TXT);
    let mut said = inquiry.of_resolvers(question).await;
    if wanted.alias.is_none() || said.iter().all(|said| said.reply.is_ok()) {
        return said;
    }
    let question = Question::new(&wanted.name, RecordType::CNAME);
    let aliases = inquiry.of_resolvers(question).await;
    for (said, alias) in said.iter_mut().zip(aliases) {
        let leads = |reply: &Reply| reply.alias(&wanted.name).is_some();
        if said.reply.is_err() && alias.reply.as_ref().is_ok_and(leads) {
            *said = alias;
        }
    }
    said
}

/// What came of all that was said, and why.
struct Judged {
    seen: Seen,
    why: Why,
    observed: String,
    seen_by: Vec<String>,
    stands: Vec<Stands>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Agreed,
    Split,
    ResolversBehind,
    TooFew,
}

impl Wanted {
    fn stands(&self, reply: &Reply) -> Stands {
        if let Some(alias) = reply.alias(&self.name) {
            return match self.alias.as_deref() == Some(&alias) {
                true => Stands::Delegated(alias),
                false => Stands::Alias(alias),
            };
        }
        let values = reply.texts(&self.name);
        match values.is_empty() {
            true => Stands::Nothing,
            false if values.contains(&self.value) => Stands::Right,
            false => Stands::Other(values),
        }
    }

    /// Whether the name servers agree that there is none.
    fn is_absent(&self, servers: &[ServerSaid]) -> bool {
        verdict(&self.right_of(servers), &[], false).0 == Seen::No
    }

    /// Of each name server what was right of what it answered.
    fn right_of(&self, servers: &[ServerSaid]) -> Vec<Vec<bool>> {
        let right = |reply: &Reply| self.stands(reply).is_right();
        let of = |server: &ServerSaid| server.replies().map(|(_, reply)| right(reply)).collect();
        servers.iter().map(of).collect()
    }

    /// `alone`: the resolvers decide, as there are no name servers.
    fn judge(&self, servers: &[ServerSaid], resolvers: &[Said], alone: bool) -> Judged {
        let of_servers = servers.iter().flat_map(ServerSaid::replies);
        let of_servers: Vec<(String, Stands)> = of_servers
            .map(|(by, reply)| (by.to_owned(), self.stands(reply)))
            .collect();
        let of_resolvers = resolvers.iter().filter_map(|said| {
            let reply = said.reply.as_ref().ok()?;
            Some((said.by.clone(), self.stands(reply)))
        });
        let of_resolvers: Vec<(String, Stands)> = of_resolvers.collect();
        let right = |reply: &Reply| self.stands(reply).is_right();
        let by_resolver = resolvers
            .iter()
            .map(|said| said.reply.as_ref().ok().map(right));
        let (seen, why) = verdict(
            &self.right_of(servers),
            &by_resolver.collect::<Vec<_>>(),
            alone,
        );
        let mut shown = of_servers;
        // Where the name servers say no, what resolvers remember is beside the point.
        if seen != Seen::No || alone {
            shown.extend(of_resolvers);
        }
        let mut told_by: Vec<(String, String)> = shown
            .iter()
            .map(|(by, stands)| (by.clone(), stands.text(self)))
            .collect();
        if seen == Seen::Unknown {
            told_by.extend(failures(servers, resolvers));
        }
        Judged {
            seen,
            why,
            observed: told(&told_by),
            seen_by: shown.iter().map(|(by, _)| by.clone()).collect(),
            stands: shown.iter().map(|(_, stands)| stands.clone()).collect(),
        }
    }

    fn record(&self) -> String {
        format!("{} TXT \"{}\"", self.name, self.value)
    }

    fn check(&self, judged: Judged, now: Timestamp) -> Check {
        let mut expected = self.record();
        if let Some(alias) = &self.alias {
            expected = format!("{expected}, or {} CNAME {alias}", self.name);
        }
        Check {
            code: CheckCode::Proof,
            ok: judged.seen == Seen::Yes,
            expected,
            hint: self.hint(&judged),
            observed: judged.observed,
            seen_by: judged.seen_by,
            at: now.0,
        }
    }

    fn hint(&self, judged: &Judged) -> Option<String> {
        let record = self.record();
        let hint = match (judged.seen, judged.why) {
            (Seen::Yes, _) => return None,
            (_, Why::Split) => "Not all name servers of the zone have the record. If it was set within the last hour, \
                 wait; else see why the zone is not copied to the others."
                .to_owned(),
            (_, Why::ResolversBehind) => "The name servers have the record, and a resolver still remembers that it was not \
                 there. Nothing is to be done but to wait; at most as long as the zone's SOA says for denials."
                .to_owned(),
            (Seen::Unknown, _) => "Not enough servers answered to say anything; it is looked at again by itself.".to_owned(),
            (Seen::No, _) => match judged.stands.iter().find(|stands| **stands != Stands::Nothing) {
                Some(Stands::Alias(target)) => format!(
                    "Remove the CNAME record at {}, which leads to {target}, and set: {record}",
                    self.name
                ),
                Some(Stands::Other(values)) if values.iter().any(|value| self.is_nearly(value)) => format!(
                    "Enter the value exactly, without quotes, blanks or anything left out: {record}"
                ),
                _ => format!("Set this record at the DNS provider: {record}"),
            },
        };
        Some(hint)
    }

    /// Whether the value is ours but for how it was entered.
    fn is_nearly(&self, value: &str) -> bool {
        let secret = self.value.rsplit('=').next().unwrap_or_default();
        let letters = |text: &str| text.to_ascii_lowercase();
        letters(value).contains(&letters(secret))
    }
}

/// What follows from who has the proof: of each name server what was answered at each of its addresses, of each resolver what it
/// answered if it did.
fn verdict(servers: &[Vec<bool>], resolvers: &[Option<bool>], alone: bool) -> (Seen, Why) {
    let answering = servers.iter().filter(|replies| !replies.is_empty());
    let enough = match alone {
        true => !resolvers.is_empty() && resolvers.iter().all(Option::is_some),
        // Two where there are two: else whoever runs one of them, or its address, decides alone.
        false => answering.count() >= servers.len().clamp(1, 2),
    };
    let deciding: Vec<bool> = match alone {
        true => resolvers.iter().flatten().copied().collect(),
        false => servers.iter().flatten().copied().collect(),
    };
    match () {
        () if !enough => (Seen::Unknown, Why::TooFew),
        () if !deciding.contains(&true) => (Seen::No, Why::Agreed),
        () if deciding.contains(&false) => (Seen::Unknown, Why::Split),
        () if resolvers.contains(&Some(false)) => (Seen::Unknown, Why::ResolversBehind),
        () if resolvers.contains(&None) => (Seen::Unknown, Why::TooFew),
        () => (Seen::Yes, Why::Agreed),
    }
}

impl Stands {
    fn is_right(&self) -> bool {
        matches!(self, Self::Right | Self::Delegated(_))
    }

    fn text(&self, wanted: &Wanted) -> String {
        match self {
            Self::Right => quoted(&wanted.value),
            Self::Delegated(alias) => format!("CNAME {alias}"),
            Self::Other(values) => {
                let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                format!("other TXT records: {}", listed(&values))
            }
            Self::Alias(target) => format!("a CNAME record that leads to {target}"),
            Self::Nothing => "no TXT record".to_owned(),
        }
    }
}

/// Those that gave no answer, and why.
fn failures(servers: &[ServerSaid], resolvers: &[Said]) -> Vec<(String, String)> {
    let all = servers
        .iter()
        .flat_map(|server| &server.said)
        .chain(resolvers);
    let failed = all.filter_map(|said| {
        let error = said.reply.as_ref().err()?;
        Some((said.by.clone(), error.to_string()))
    });
    let unasked = servers
        .iter()
        .filter_map(|server| Some((server.name.clone(), server.fault.clone()?)));
    failed.chain(unasked).collect()
}

fn too_long(claim: &Claimed, now: Timestamp) -> Check {
    let length = named(&claim.pattern).as_str().len();
    Check {
        code: CheckCode::Proof,
        ok: false,
        expected: "a name of at most 242 bytes, so that _vestibule. fits before it".to_owned(),
        observed: format!("a name of {length} bytes"),
        hint: Some("Claim a shorter name.".to_owned()),
        seen_by: Vec::new(),
        at: now.0,
    }
}

/// Where the proof stands by mistake: at the name itself, or with the zone's name twice, as panels make of a full name.
pub(super) async fn misplaced(
    inquiry: &Inquiry<'_>,
    claim: &Claimed,
    proof: &Proof,
) -> Option<String> {
    let right = proof_name(&claim.pattern).ok()?;
    let value = proof_value(&claim.secret);
    let Some(Ok(Authority::Zone(zone))) = &proof.authority else {
        return None;
    };
    let doubled = Hostname::parse(&format!("{right}.{}", zone.name())).ok();
    let bare = Some(named(&claim.pattern).clone());
    for wrong in [doubled, bare].into_iter().flatten() {
        let reply = inquiry
            .of_a_resolver(Question::new(&wrong, RecordType::TXT))
            .await
            .ok()?;
        if reply.texts(&wrong).contains(&value) {
            return Some(format!(
                "The record stands at {wrong}; it must stand at {right}."
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests;
