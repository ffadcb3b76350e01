//! Which CAs may issue for a name, by its CAA records (RFC 8659, RFC 8657).

use super::CaExpectation;
use crate::dns::{CaaRecord, Inquiry, Question, RecordType, Reply, Said};
use crate::model::{ChallengeKind, Hostname};

/// The records that count for a name.
#[derive(Debug)]
pub(super) enum CaaFound {
    /// Nobody is kept from issuing.
    None,
    /// Those at `name`, which is the name itself or the nearest above it that has any.
    At {
        name: Hostname,
        records: Vec<CaaRecord>,
    },
    /// Nobody could say whether there are records at `name`: then no CA issues (RFC 8659 section 3).
    Failed { name: Hostname, said: Vec<Said> },
}

/// Why a CA must not issue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CaaRefusal {
    /// A record that it does not understand and may not pass over.
    Critical(String),
    /// Others are named, or nobody.
    Others,
    /// It is named, for another account.
    Account(String),
    /// It is named, for no kind of challenge that it is configured for.
    Methods(String),
}

/// Climbs from `name` to the records that count (RFC 8659 section 3): at each step aliases are followed, but what lies above what
/// they lead to does not count.
pub(super) async fn climb(inquiry: &Inquiry<'_>, name: &Hostname) -> CaaFound {
    let mut at = Some(name.clone());
    while let Some(name) = at {
        let question = Question::new(&name, RecordType::CAA);
        match inquiry
            .of_a_resolver(question)
            .await
            .map(|reply| Reply::caa(&reply))
        {
            Err(said) => return CaaFound::Failed { name, said },
            Ok(records) if !records.is_empty() => return CaaFound::At { name, records },
            Ok(_) => at = name.parent_name(),
        }
    }
    CaaFound::None
}

/// The kinds of challenge by which `ca` may issue for the name, or for names below it where it is a `wildcard`.
pub(super) fn allowed(
    records: &[CaaRecord],
    wildcard: bool,
    ca: &CaExpectation,
) -> Result<Vec<ChallengeKind>, CaaRefusal> {
    let unknown = |record: &&CaaRecord| record.critical && !KNOWN.contains(&record.tag.as_str());
    if let Some(record) = records.iter().find(unknown) {
        return Err(CaaRefusal::Critical(record.tag.clone()));
    }
    let of = |tag: &str| {
        records
            .iter()
            .filter(|record| record.tag == tag)
            .collect::<Vec<_>>()
    };
    // For wildcards `issuewild` takes the place of `issue`, where it is there (RFC 8659 section 4.3).
    let relevant = match of("issuewild") {
        wild if wildcard && !wild.is_empty() => wild,
        _ => of("issue"),
    };
    if relevant.is_empty() {
        return Ok(ca.challenges.clone());
    }
    let mut kinds = Vec::new();
    let mut refusal = CaaRefusal::Others;
    for record in relevant {
        let Some(issue) = Issue::parse(&record.value) else {
            continue;
        };
        match issue.allows(ca) {
            Ok(some) => kinds.extend(some),
            Err(CaaRefusal::Others) => {}
            Err(closer) => refusal = closer,
        }
    }
    let allowed = ca.challenges.iter().filter(|kind| kinds.contains(kind));
    match allowed.copied().collect::<Vec<_>>() {
        none if none.is_empty() => Err(refusal),
        some => Ok(some),
    }
}

/// The value of `issue` and `issuewild`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Issue {
    /// Nobody, where there is none.
    issuer: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Issue {
    /// Reads RFC 8659 section 4.2; what does not follow it names nobody.
    fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split(';');
        let issuer = trim(parts.next()?);
        let parts: Vec<&str> = parts.map(trim).collect();
        let parameters = match parts.as_slice() {
            [""] => Vec::new(),
            some => some
                .iter()
                .map(|part| parameter(part))
                .collect::<Option<_>>()?,
        };
        let named = !issuer.is_empty();
        if named && !issuer.split('.').all(is_tag) {
            return None;
        }
        Some(Self {
            issuer: named.then(|| issuer.to_ascii_lowercase()),
            parameters,
        })
    }

    fn allows(&self, ca: &CaExpectation) -> Result<Vec<ChallengeKind>, CaaRefusal> {
        let issuer = self.issuer.as_ref().ok_or(CaaRefusal::Others)?;
        // A CA that has not said by which name it is meant has to read the record itself.
        let named = ca.identities.is_empty()
            || ca
                .identities
                .iter()
                .any(|it| it.eq_ignore_ascii_case(issuer));
        if !named {
            return Err(CaaRefusal::Others);
        }
        match self.only("accounturi").as_slice() {
            [] => {}
            [account] if ca.account.as_deref() == Some(*account) => {}
            wrong => return Err(CaaRefusal::Account(wrong.join(" "))),
        }
        let kinds = ca.challenges.iter().copied();
        let kinds: Vec<ChallengeKind> = match self.only("validationmethods").as_slice() {
            [] => kinds.collect(),
            [methods] => kinds
                .filter(|kind| methods.split(',').any(|it| trim(it) == kind.as_str()))
                .collect(),
            _ => Vec::new(),
        };
        match kinds.is_empty() {
            true => Err(CaaRefusal::Methods(
                self.only("validationmethods").join(" "),
            )),
            false => Ok(kinds),
        }
    }

    fn only(&self, tag: &str) -> Vec<&str> {
        let with_tag = self.parameters.iter().filter(|(name, _)| name == tag);
        with_tag.map(|(_, value)| value.as_str()).collect()
    }
}

fn parameter(text: &str) -> Option<(String, String)> {
    let (tag, value) = text.split_once('=')?;
    let (tag, value) = (trim(tag), trim(value));
    let plain = value.bytes().all(|byte| byte.is_ascii_graphic());
    (is_tag(tag) && plain).then(|| (tag.to_ascii_lowercase(), value.to_owned()))
}

/// Letters and digits, hyphens between them; a label of an issuer's name has the same form.
fn is_tag(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Properties that a CA understands, if only so far as to pass over them (RFC 8659, RFC 9495, CA/Browser Forum).
const KNOWN: &[&str] = &[
    "issue",
    "issuewild",
    "iodef",
    "issuemail",
    "contactemail",
    "contactphone",
];

#[cfg(test)]
mod tests;
