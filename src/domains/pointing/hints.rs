//! What is told of where a name leads: what would be right, what was seen, and what to do.

use super::super::records::{challenge_record, pointing_records};
use super::super::words::{listed, shown, told};
use super::super::{Expected, Seen, Whose};
use super::view::{Leads, Ours, View, record};
use crate::model::DomainPattern;

/// How the name could lead here; nothing where we do not know it ourselves and need not.
pub(super) fn wanted(pattern: &DomainPattern, expected: &Expected) -> Option<String> {
    let target = expected
        .cname_target
        .iter()
        .map(|target| format!("CNAME {target}"));
    let mut addresses: Vec<String> = expected.addresses.iter().map(record).collect();
    if target.len() == 0 && addresses.is_empty() {
        return None;
    }
    let mut machine = None;
    if let Whose::Operator(here) = &expected.whose {
        let listeners = here.listeners.iter().map(record);
        addresses.extend(listeners);
        let mut seen = std::collections::BTreeSet::new();
        addresses.retain(|it| seen.insert(it.clone()));
        machine = here
            .machine
            .then(|| "an address of this machine".to_owned());
    }
    let by_address = (!addresses.is_empty()).then(|| listed(&addresses));
    let ways: Vec<String> = target.chain(by_address).chain(machine).collect();
    Some(format!("{pattern} {}", ways.join(", or ")))
}

/// What should be entered, of the ways there are.
pub(super) fn to_set(pattern: &DomainPattern, expected: &Expected) -> String {
    let records = pointing_records(pattern, expected).into_iter();
    let lines: Vec<String> = records
        .map(|it| format!("{} {} {}", it.name, it.kind, it.value))
        .collect();
    listed(&lines)
}

pub(super) fn hint(
    seen: Seen,
    (leads, ours): (&[Leads], &Ours<'_>),
    pattern: &DomainPattern,
    expected: &Expected,
) -> Option<String> {
    let mut set = to_set(pattern, expected);
    if let Some(target) = ours
        .target
        .filter(|it| ours.target_is_dead && set.contains(it))
    {
        set.push_str(&format!(
            ". But {target}, `domains.cname_target`, has no address: that is the operator's to repair first"
        ));
    }
    let name = match pattern {
        DomainPattern::Exact(name) => shown(name),
        DomainPattern::Wildcard(_) => pattern.to_string(),
    };
    match seen {
        Seen::Yes if leads.contains(&Leads::DeadEnd) => Some(
            "The record is right. This is the operator's to repair: `domains.cname_target` has no address; give that name its A \
             and AAAA records, or name another."
                .to_owned(),
        ),
        Seen::Yes => None,
        Seen::No if expected.whose != Whose::Customer => Some(own(&name, &set, pattern, expected)),
        Seen::No if leads.contains(&Leads::Partly) => Some(format!(
            "Some records of {name} lead here and some elsewhere: remove the others, and keep: {set}"
        )),
        Seen::No if leads.contains(&Leads::Elsewhere) => Some(format!(
            "Change the records of {name} at the DNS provider to: {set}"
        )),
        Seen::No => Some(format!("Set this record at the DNS provider: {set}")),
        Seen::Unknown if leads.contains(&Leads::Unknown) => {
            Some("Not every resolver answered; it is looked at again by itself.".to_owned())
        }
        Seen::Unknown => Some(
            "Resolvers still remember different records; it is looked at again by itself."
                .to_owned(),
        ),
    }
}

/// The operator has more ways than to change where a name leads, which may well be as it should be.
fn own(name: &str, set: &str, pattern: &DomainPattern, expected: &Expected) -> String {
    let delegate = match challenge_record(pattern, expected) {
        Some(it) => format!("set {} {} {} (dns-01)", it.name, it.kind, it.value),
        None => "set up [acme_dns] and dns-01".to_owned(),
    };
    format!(
        "No certificate can be ordered for {name} while it leads elsewhere. Lead it here: {set}. If it does lead here, by an address \
         that this node does not know, add that to `domains.addresses`. Should it lead elsewhere: {delegate}, or bring its certificate \
         (`cert import`, or a file in `tls.directory`), or have none with {pattern:?} in `tls.not_ordered`.",
        pattern = pattern.to_string()
    )
}

/// What the resolvers say, and which of them where they do not say the same.
pub(super) fn told_of(views: &[View], text: impl Fn(&View) -> String) -> String {
    let said = views.iter().map(|view| (view.by.clone(), text(view)));
    told(&said.collect::<Vec<_>>())
}
