//! Whether a CA may be asked for a certificate: everything that it will look at itself, looked at before it does.

use super::caa::{self, CaaFound, CaaRefusal};
use super::challenge::{self, Delegated};
use super::dnssec::{self, Signed};
use super::pointing::{self, Pointed};
use super::words::{listed, quoted, shown};
use super::{CaExpectation, Expected, Preflight, Seen, Whose, records, zone};
use crate::clock::Timestamp;
use crate::dns::{
    Authority, CaaRecord, Inquiry, Question, RecordType, Said, ServerSaid, ZoneError,
};
use crate::model::{ChallengeKind, Check, CheckCode, DomainPattern, Hostname};

/// What was found for each CA: the kinds of challenge that its records allow, or why there are none.
type Allowed = Result<Vec<ChallengeKind>, CaaRefusal>;

/// All that a CA will look at.
pub(super) struct Survey {
    pub(super) pointed: Pointed,
    delegated: Option<Delegated>,
    signed: Signed,
    caa: CaaFound,
    zone: Check,
}

pub(super) async fn survey(
    inquiry: &Inquiry<'_>,
    pattern: &DomainPattern,
    expected: &Expected,
    now: Timestamp,
) -> Survey {
    let name = records::named(pattern);
    let (pointed, delegated, caa, (signed, zone)) = tokio::join!(
        pointing::look(inquiry, pattern, expected, now),
        challenge::look(inquiry, pattern, expected, now),
        caa::climb(inquiry, name),
        of_zone(inquiry, pattern, now),
    );
    Survey {
        pointed,
        delegated,
        signed,
        caa,
        zone,
    }
}

async fn of_zone(
    inquiry: &Inquiry<'_>,
    pattern: &DomainPattern,
    now: Timestamp,
) -> (Signed, Check) {
    let name = records::named(pattern);
    let authority = inquiry.authority(name).await;
    let known = authority.as_ref().ok();
    let (signed, said) = tokio::join!(
        dnssec::look(inquiry, pattern, known, now),
        said_of(inquiry, name, &authority)
    );
    (signed, zone::check(name, &authority, &said, now))
}

async fn said_of(
    inquiry: &Inquiry<'_>,
    name: &Hostname,
    authority: &Result<Authority, ZoneError>,
) -> Vec<ServerSaid> {
    match authority {
        Ok(Authority::Zone(zone)) => {
            let question = Question::new(name, RecordType::A);
            inquiry.of_zone(zone, &question).await
        }
        _ => Vec::new(),
    }
}

impl Survey {
    /// What follows for each CA.
    pub(super) fn conclude(
        self,
        pattern: &DomainPattern,
        expected: &Expected,
        now: Timestamp,
    ) -> Preflight {
        let allowed: Vec<Allowed> = expected
            .cas
            .iter()
            .map(|ca| self.allowed(pattern, ca))
            .collect();
        let underscore = underscore(pattern, now);
        let barred = underscore.is_some() || self.signed.seen == Seen::No;
        let failed = matches!(self.caa, CaaFound::Failed { .. });
        let ready = allowed.iter().map(|allowed| match allowed {
            Ok(kinds) if !barred && !failed => {
                let able = kinds
                    .iter()
                    .filter(|kind| self.leads(pattern, **kind) == Seen::Yes);
                able.copied().collect()
            }
            _ => Vec::new(),
        });
        let ready: Vec<Vec<ChallengeKind>> = ready.collect();
        let wanted = expected.cas.iter().flat_map(|ca| &ca.challenges);
        let unsure = failed
            || self.signed.seen == Seen::Unknown
            || wanted
                .clone()
                .any(|kind| self.leads(pattern, *kind) == Seen::Unknown);
        let mut checks = vec![self.zone.clone()];
        let of_pointing = self.pointed.checks.iter();
        let must_point = self.must_point(pattern, expected);
        checks.extend(of_pointing.filter(|it| it.ok || must_point).cloned());
        let stuck = allowed
            .iter()
            .zip(&ready)
            .filter(|(_, ready)| ready.is_empty());
        // Where one CA is ready nobody is asked to do something for another one.
        let any_ready = ready.iter().any(|kinds| !kinds.is_empty());
        let stuck: Vec<&Vec<ChallengeKind>> = match barred || failed || any_ready {
            true => Vec::new(),
            false => stuck.filter_map(|(kinds, _)| kinds.as_ref().ok()).collect(),
        };
        self.tell_of_delegation(&mut checks, (pattern, expected), &stuck);
        checks.push(self.signed.check.clone());
        if !expected.cas.is_empty() {
            checks.push(self.caa_check(pattern, expected, &allowed, now));
        }
        checks.extend(underscore);
        Preflight {
            checks,
            ready,
            unsure,
        }
    }

    /// Whether it is a fault where the name leads elsewhere. The operator may lead names of their own where they like: a certificate is
    /// all that is wanted, and only where none is to be had otherwise.
    fn must_point(&self, pattern: &DomainPattern, expected: &Expected) -> bool {
        let mut kinds = expected.cas.iter().flat_map(|ca| &ca.challenges);
        match (&expected.whose, pattern) {
            (Whose::Customer, _) => true,
            (Whose::Operator(_), DomainPattern::Wildcard(_)) => false,
            (Whose::Operator(_), DomainPattern::Exact(_)) => {
                !expected.cas.is_empty() && !kinds.any(|it| self.leads(pattern, *it) == Seen::Yes)
            }
        }
    }

    /// A delegation is asked for only where a CA cannot do without and could then be asked. `stuck`: the kinds of challenge that records allow
    /// each of those CAs that have none now.
    fn tell_of_delegation(
        &self,
        checks: &mut Vec<Check>,
        (pattern, expected): (&DomainPattern, &Expected),
        stuck: &[&Vec<ChallengeKind>],
    ) {
        let exact = matches!(pattern, DomainPattern::Exact(_));
        let dns01 = ChallengeKind::Dns01;
        let helps = stuck.iter().any(|kinds| !exact || kinds.contains(&dns01));
        let Some(delegated) = self.delegated.as_ref().filter(|it| it.check.ok || helps) else {
            return;
        };
        let others = stuck
            .iter()
            .any(|kinds| kinds.iter().any(|kind| *kind != dns01));
        let either = exact && others && delegated.seen == Seen::No;
        match self.in_the_way(checks).filter(|_| either) {
            Some(check) => either_is_enough(check, &delegated.check, expected),
            None => checks.push(delegated.check.clone()),
        }
    }

    /// What keeps a CA from reaching us by the name itself, which would do as well as a delegation.
    fn in_the_way<'c>(&self, checks: &'c mut [Check]) -> Option<&'c mut Check> {
        let stands =
            |it: &&mut Check| !it.ok && matches!(it.code, CheckCode::Pointing | CheckCode::Ipv6);
        match self.pointed.reachable {
            Seen::No => checks.iter_mut().find(stands),
            Seen::Yes | Seen::Unknown => None,
        }
    }

    /// Whether a challenge of this kind reaches us.
    fn leads(&self, pattern: &DomainPattern, kind: ChallengeKind) -> Seen {
        let exact = matches!(pattern, DomainPattern::Exact(_));
        match kind {
            ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 if exact => self.pointed.reachable,
            ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => Seen::No,
            ChallengeKind::Dns01 => self.delegated.as_ref().map_or(Seen::No, |it| it.seen),
        }
    }

    fn allowed(&self, pattern: &DomainPattern, ca: &CaExpectation) -> Allowed {
        let wildcard = matches!(pattern, DomainPattern::Wildcard(_));
        match &self.caa {
            CaaFound::At { records, .. } => caa::allowed(records, wildcard, ca),
            CaaFound::None | CaaFound::Failed { .. } => Ok(ca.challenges.clone()),
        }
    }

    /// Well where any of our CAs may issue.
    fn caa_check(
        &self,
        pattern: &DomainPattern,
        expected: &Expected,
        allowed: &[Allowed],
        now: Timestamp,
    ) -> Check {
        let name = records::named(pattern);
        let tag = match (pattern, &self.caa) {
            (DomainPattern::Wildcard(_), CaaFound::At { records, .. })
                if records.iter().any(|record| record.tag == "issuewild") =>
            {
                "issuewild"
            }
            _ => "issue",
        };
        let at = match &self.caa {
            CaaFound::At { name, .. } | CaaFound::Failed { name, .. } => name,
            CaaFound::None => name,
        };
        let identity = expected.cas.iter().flat_map(|ca| &ca.identities).next();
        let wanted = identity.map(|identity| format!("{at} CAA 0 {tag} \"{identity}\""));
        let mut check = Check {
            code: CheckCode::Caa,
            ok: false,
            expected: match &wanted {
                Some(wanted) => format!("no CAA record, or {wanted}"),
                None => "no CAA record that forbids our certificate authorities".to_owned(),
            },
            observed: String::new(),
            hint: None,
            seen_by: Vec::new(),
            at: now.0,
        };
        match &self.caa {
            CaaFound::None => {
                check.ok = true;
                check.observed = format!("no CAA record at {name} or above");
            }
            CaaFound::At { name, records } => {
                check.observed = records_text(name, records);
                check.ok = allowed.iter().any(Result::is_ok);
                let refusal = allowed.iter().find_map(|it| it.as_ref().err());
                let refusal = refusal.filter(|_| !check.ok);
                check.hint = refusal.map(|it| refusal_hint(it, name, wanted.as_deref(), expected));
            }
            CaaFound::Failed { name, said } => fail(&mut check, name, said),
        }
        check
    }
}

/// One thing to be fixed, and two ways. What is said to the operator of a name of their own has both already.
fn either_is_enough(check: &mut Check, delegated: &Check, expected: &Expected) {
    let (Whose::Customer, Some(hint), Some(other)) =
        (&expected.whose, &mut check.hint, &delegated.hint)
    else {
        return;
    };
    hint.push_str(&format!(
        " (For a certificate either this is enough or a delegation. {other})"
    ));
}

/// Nobody certifies while it is not known who may.
fn fail(check: &mut Check, name: &Hostname, said: &[Said]) {
    let each = said.iter().filter_map(|said| {
        let error = said.reply.as_ref().err()?;
        Some(format!("{} {error}", said.by))
    });
    check.observed = listed(&each.collect::<Vec<_>>());
    check.seen_by = said.iter().map(|said| said.by.clone()).collect();
    check.hint = Some(format!(
        "It cannot be known whether {name} has CAA records, and then no CA issues. Its name servers must answer questions for CAA, \
         if only with \"none\": ask the DNS provider."
    ));
}

fn records_text(name: &Hostname, records: &[CaaRecord]) -> String {
    let lines = records.iter().map(|record| {
        let flag = if record.critical { 128 } else { 0 };
        let tag = record.tag.escape_debug();
        format!("{name} CAA {flag} {tag} {}", quoted(&record.value))
    });
    listed(&lines.collect::<Vec<_>>())
}

fn refusal_hint(
    refusal: &CaaRefusal,
    name: &Hostname,
    wanted: Option<&str>,
    expected: &Expected,
) -> String {
    let add = wanted.map_or_else(
        || format!("Remove the CAA records at {name}, or let our certificate authority issue."),
        |wanted| format!("Add this record beside the others: {wanted}"),
    );
    match refusal {
        CaaRefusal::Others => add,
        CaaRefusal::Critical(tag) => format!(
            "The CAA record {} at {name} is marked critical and no CA knows it: remove it, or its mark.",
            quoted(tag)
        ),
        CaaRefusal::Account(account) => {
            let own = expected.cas.iter().find_map(|ca| ca.account.as_deref());
            format!(
                "The CAA record at {name} lets only the account {} in: write accounturi={} instead, or leave it out.",
                quoted(account),
                own.unwrap_or("(our account, once there is one)")
            )
        }
        CaaRefusal::Methods(methods) => {
            let kinds = expected.cas.iter().flat_map(|ca| &ca.challenges);
            let mut kinds: Vec<&str> = kinds.map(|kind| kind.as_str()).collect();
            kinds.sort_unstable();
            kinds.dedup();
            format!(
                "The CAA record at {name} allows only {}: write validationmethods={} instead, or leave it out.",
                quoted(methods),
                kinds.join(",")
            )
        }
    }
}

/// Routes may have underscores, certificates may not (CA/Browser Forum ballot SC12).
fn underscore(pattern: &DomainPattern, now: Timestamp) -> Option<Check> {
    let name = records::named(pattern);
    name.as_str().contains('_').then(|| Check {
        code: CheckCode::Certificate,
        ok: false,
        expected: "a name of letters, digits and hyphens".to_owned(),
        observed: format!("{} has an underscore", shown(name)),
        hint: Some("No public CA certifies names with underscores: claim another name.".to_owned()),
        seen_by: Vec::new(),
        at: now.0,
    })
}
